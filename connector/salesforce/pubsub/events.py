"""Events as they arrive: decoded payloads, and the header of a change event. PURE.

Change events are those of Change Data Capture (Change Data Capture developer guide, "Change Event Header Fields").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

CHANGE_HEADER = "ChangeEventHeader"
WILDCARD = "*"
OVERFLOW_RECORD_ID = "000000000000000AAA"


class ChangeType(StrEnum):
    """What happened to the records. A gap event says so much only: the records must be read. An overflow stands for
    more than 100,000 changes of an object in one transaction."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"
    GAP_CREATE = "GAP_CREATE"
    GAP_UPDATE = "GAP_UPDATE"
    GAP_DELETE = "GAP_DELETE"
    GAP_UNDELETE = "GAP_UNDELETE"
    GAP_OVERFLOW = "GAP_OVERFLOW"
    SNAPSHOT = "SNAPSHOT"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedEvent:
    """One event. `replay_id` is opaque: it is stored and given back, never computed or compared. `payload` are the
    fields by name, as Avro has them: times in milliseconds since 1970."""

    replay_id: bytes
    id: str
    payload: Mapping[str, Any]

    @property
    def created_at(self) -> datetime | None:
        """When a platform event was published."""
        milliseconds = self.payload.get("CreatedDate")
        return None if milliseconds is None else _moment(milliseconds)

    @property
    def change(self) -> ChangeHeader | None:
        """The header of a change event; None for a platform event."""
        header = self.payload.get(CHANGE_HEADER)
        return None if header is None else ChangeHeader.read(header)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadableEvent:
    """An event that could not be decoded, and why."""

    replay_id: bytes
    id: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeHeader:
    """Which records changed, when, and by whom. One event names several records where the same change hit them in one
    transaction. `concerns_all`: the org does not name them (an overflow, a conversion of a whole object)."""

    sobject: str
    record_ids: tuple[str, ...]
    change_type: ChangeType
    committed_at: datetime
    user_id: str
    transaction: str

    @classmethod
    def read(cls, header: Mapping[str, Any]) -> ChangeHeader:
        """Read the header of a payload. KeyError or ValueError if it is not one."""
        return cls(
            sobject=header["entityName"],
            record_ids=tuple(header["recordIds"]),
            change_type=ChangeType(header["changeType"]),
            committed_at=_moment(header["commitTimestamp"]),
            user_id=header["commitUser"],
            transaction=header["transactionKey"],
        )

    @property
    def concerns_all(self) -> bool:
        return self.change_type is ChangeType.GAP_OVERFLOW or any(
            WILDCARD in record_id or record_id == OVERFLOW_RECORD_ID for record_id in self.record_ids
        )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
