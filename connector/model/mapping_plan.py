"""What a version of the mappings would change, as it is computed before anybody applies it. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

PLAN_LIFETIME = timedelta(days=1)
"""How long a plan can be applied."""
PLAN_LIFETIME_TEXT = "a day"


class Direction(StrEnum):
    """`to_org`: a value would be sent. `from_org`: a value of the org would mean something else here."""

    TO_ORG = "to_org"
    FROM_ORG = "from_org"


class Effect(StrEnum):
    """What would become of a record: a field of it changes, it is created, it is no longer synced, or it is refused."""

    CHANGED = "changed"
    CREATED = "created"
    LEFT_OUT = "left_out"
    REFUSED = "refused"


class Risk(StrEnum):
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordEffect:
    """One field of one record. `before` is what the org has by our last agreed values (`from_org`: what its value means
    here now), `after` what it would be. Without a field it is about the whole record, and `after` says why. `personal`:
    the values may be about a person. `source` is the line that maps the field."""

    direction: Direction
    effect: Effect
    entity: str
    key: str
    sobject: str
    record_id: str | None = None
    field: str = ""
    before: str | None = None
    after: str | None = None
    personal: bool = False
    source: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EntityCount:
    """How many entities of a kind there are, how many were computed, and what would become of all of them. `estimated`:
    the numbers of effects are projected from those that were computed. `rewrites`: activated orders that would be
    reopened, because the field is frozen."""

    org: str
    entity: str
    total: int
    examined: int
    changed: int
    created: int
    left_out: int
    refused: int
    rewrites: int
    records: int
    estimated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldCount:
    """In how many of the computed records a field would change."""

    direction: Direction
    sobject: str
    field: str
    count: int
    source: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FormerValues:
    """What the org holds in a field that was not read before, and that would be written. `asked`: in how many records
    it was read. In `same` of them our value stands already; in `overwritten` ones another value would be replaced by
    ours, in `emptied` ones by nothing; the others hold nothing. `unasked`: records in which it was not read."""

    org: str
    sobject: str
    field: str
    asked: int
    same: int
    overwritten: int
    emptied: int
    unasked: int

    @property
    def lost(self) -> int:
        """How many values of the org would no longer stand there."""
        return self.overwritten + self.emptied


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanCost:
    """About how many API calls sending it takes, in how many minutes; `calls_left`: of today's budget, None if nothing
    limits us. `deliveries`: events that we would get because of it: none, because our own changes are left out in the
    org."""

    calls: int
    calls_left: int | None
    minutes: float
    deliveries: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanNumbers:
    """What was computed. `effects` is a sample; named entities come first. `former`: what orgs hold in fields that were
    not read before, and `reads` how many API calls that took; `unread`: why an org could not be asked."""

    entities: Sequence[EntityCount]
    fields: Sequence[FieldCount]
    effects: Sequence[RecordEffect]
    cost: PlanCost
    risk: Risk
    reasons: Sequence[str]
    warnings: Sequence[str]
    former: Sequence[FormerValues] = ()
    reads: int = 0
    unread: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPlan:
    """A plan as it is kept: of the files with `digest`, in place of version `base`. `rollback_to`: the version whose
    content it is, if it is to be rolled back to. `affected`: by kind the keys of all entities that the files change, or
    may change; not of a kind of which only a part was computed."""

    id: str
    created_at: datetime
    expires_at: datetime
    actor: str
    base: int | None
    digest: str
    rollback_to: int | None
    numbers: PlanNumbers
    applied_as: int | None = None
    affected: Mapping[str, Sequence[str]] = field(default_factory=dict)
