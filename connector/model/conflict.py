"""A conflict: one field that both sides changed to different values, and that a person decides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.model.record import FieldValue, dump_value


class ConflictState(StrEnum):
    """`open` waits for a person; `local` and `salesforce` say whose value was chosen; `closed`: both sides came to the
    same value before anybody chose."""

    OPEN = "open"
    LOCAL = "local"
    SALESFORCE = "salesforce"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """`base` is what both sides last agreed on, `local` the value here, `remote` the value in the org, all as the field
    `field` of the record `record_id` holds them. Times are when each side changed last, as far as known."""

    id: int
    org_id: str
    entity: str
    key: str
    field: str
    sobject: str
    record_id: str
    base: FieldValue
    local: FieldValue
    remote: FieldValue
    opened_at: datetime
    state: ConflictState = ConflictState.OPEN
    local_changed_at: datetime | None = None
    remote_changed_at: datetime | None = None
    remote_changed_by: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None

    @property
    def version(self) -> int:
        """Another one whenever a value, or the state, has changed."""
        seen = repr((self.state.value, dump_value(self.local), dump_value(self.remote)))
        return int.from_bytes(hashlib.blake2b(seen.encode(), digest_size=7).digest())


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictRule:
    """Whose value stands whenever both sides change a field whose owner is `ask`: `local` or `salesforce`."""

    org_id: str
    sobject: str
    field: str
    choice: ConflictState
    made_by: str
    made_at: datetime
