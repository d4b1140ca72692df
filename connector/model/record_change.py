"""What applying a record of the org does to it or to one of its fields, for a person to read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connector.model.record import FieldValue


class Effect(StrEnum):
    """What becomes of a field or a record."""

    TAKEN = "taken"
    """The value of the org is applied here; of a line without a field: it is added here."""
    RESTORED = "restored"
    """The value here is sent to the org again."""
    REFUSED = "refused"
    """The order forbids the change: the value here is sent again, or an added line is removed in the org."""
    OVERRULED = "overruled"
    """Something in the org changes what we send: the value here is no longer sent."""
    CONFLICT = "conflict"
    """Both sides changed the field, and a person decides."""
    PARKED = "parked"
    """The record cannot be applied, and waits for a person."""
    READ_AGAIN = "read again"
    """A write of ours was in flight: the record is read again."""
    ADOPTED = "adopted"
    """The record was created in the org, and becomes an entity here."""
    DELETED = "deleted"
    """The record was deleted in the org; `why` says what is done here."""
    MERGED = "merged"
    """The record was merged into another one."""
    UNDELETED = "undeleted"
    """The record came back out of the recycle bin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordChange:
    """One field of a record, or the whole record if `field` is None. `here` and `in_org` are the values of both sides;
    `changed_by` changed the record in the org; `why` is the reason, and `fix` what a person can do."""

    effect: Effect
    sobject: str
    record_id: str
    entity: str | None = None
    key: str | None = None
    field: str | None = None
    here: FieldValue = None
    in_org: FieldValue = None
    changed_by: str | None = None
    why: str | None = None
    fix: str | None = None
