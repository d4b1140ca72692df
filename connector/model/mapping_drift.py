"""What an admin's change in the org breaks, or will break, in the active mappings. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DriftKind(StrEnum):
    """What changed in the org. `other`: another problem of the mappings with the org as it is now."""

    OBJECT_GONE = "object_gone"
    FIELD_GONE = "field_gone"
    FIELD_REQUIRED = "field_required"
    PERMISSION = "permission"
    TYPE = "type"
    LENGTH = "length"
    PICKLIST = "picklist"
    RECORD_TYPE = "record_type"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """One change. `level`: `error` breaks the sending of records, `warning` of some, or is to be looked at. `text` says
    what changed, and what to do; `places` are the lines of the mappings that are concerned."""

    level: str
    kind: DriftKind
    sobject: str
    field: str
    text: str
    places: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredDrift:
    """A drift as it is kept: of an org, since `first_seen`; `healed_at` is None while it lasts."""

    id: int
    org_id: str
    drift: Drift
    first_seen: datetime
    healed_at: datetime | None
