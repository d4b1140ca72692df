"""Which records of an object were deleted lately, also those that are no longer in the recycle bin (REST API Developer
Guide, "sObject Get Deleted"). Lines of orders have no recycle bin, so no query finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import quote

from connector.salesforce.composite import SubOutcome, SubRequest

LONGEST_WINDOW = timedelta(days=14)
"""The org keeps deletions for 15 days."""


class CompositeClient(Protocol):
    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]: ...


def deleted_request(sobject: str, *, since: datetime, now: datetime) -> SubRequest:
    """Ask which records of `sobject` were deleted from `since` on. The org ignores seconds, so the window ends with the
    next full minute."""
    start, end = max(since, now - LONGEST_WINDOW), now + timedelta(minutes=1)
    window = f"start={_encode(min(start, now - timedelta(minutes=1)))}&end={_encode(end)}"
    return SubRequest(reference=f"deleted{sobject}", method="GET", path=f"sobjects/{quote(sobject)}/deleted/?{window}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedRecords:
    """The IDs of deleted records, with the time of their deletion, and until when (by the org's clock) the list is
    complete: writes that are still open in the org may delete more after that."""

    deleted_at: Mapping[str, datetime]
    complete_until: datetime


def read_deleted(outcome: SubOutcome) -> DeletedRecords | None:
    """The answer; None if the org did not give one."""
    if not outcome.success or not isinstance(outcome.body, dict):
        return None
    return DeletedRecords(
        deleted_at={str(row["id"]): _moment(row["deletedDate"]) for row in outcome.body.get("deletedRecords", [])},
        complete_until=_moment(outcome.body["latestDateCovered"]),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


async def list_deleted(client: CompositeClient, sobject: str, *, since: datetime, now: datetime) -> dict[str, datetime]:
    """The deleted records of one object, with one call; none if the org does not answer this."""
    [outcome] = await client.composite(
        [deleted_request(sobject, since=since, now=now)], all_or_none=False, collate=True
    )
    found = read_deleted(outcome)
    return {} if found is None else dict(found.deleted_at)


def _encode(moment: datetime) -> str:
    return quote(moment.astimezone(UTC).isoformat(timespec="seconds"), safe="")
