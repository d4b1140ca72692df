"""Which records of an object were deleted lately, also those that are no longer in the recycle bin (REST API Developer
Guide, "sObject Get Deleted"). Lines of orders have no recycle bin, so no query finds them."""

from __future__ import annotations

from collections.abc import Sequence
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


def read_deleted(outcome: SubOutcome) -> dict[str, datetime]:
    """The IDs of deleted records, with the time of their deletion; empty if the org does not answer this."""
    if not outcome.success or not isinstance(outcome.body, dict):
        return {}
    return {
        str(row["id"]): datetime.fromisoformat(row["deletedDate"]).astimezone(UTC)
        for row in outcome.body.get("deletedRecords", [])
    }


async def list_deleted(client: CompositeClient, sobject: str, *, since: datetime, now: datetime) -> dict[str, datetime]:
    """The same for one object, with one call."""
    [outcome] = await client.composite(
        [deleted_request(sobject, since=since, now=now)], all_or_none=False, collate=True
    )
    return read_deleted(outcome)


def _encode(moment: datetime) -> str:
    return quote(moment.astimezone(UTC).isoformat(timespec="seconds"), safe="")
