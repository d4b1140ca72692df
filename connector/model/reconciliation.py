"""What a comparison of both sides found: counts by entity, and the differences, one finding for each record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from connector.model.record import FieldValue


class RecordState(StrEnum):
    """What the comparison says of one entity or record. Each value is the name of a count."""

    VERIFIED = "verified"
    """Both sides hold the same."""
    PENDING = "pending"
    """The difference is on its way: due here, or just changed in the org."""
    REFUSED = "refused"
    """The change was refused, discarded or parked, and waits for a person."""
    IN_CONFLICT = "in_conflict"
    """Both sides changed the same field, and a person decides."""
    DRIFTED = "drifted"
    """Linked, and fields differ although nothing is on its way."""
    MISSING_IN_ORG = "missing_in_org"
    """It should be in the org, and is not there."""
    DELETED_IN_ORG = "deleted_in_org"
    """Its record is deleted in the org."""
    UNLINKED = "unlinked"
    """It is linked to nothing, although a record of the org has its key."""
    MISSING_HERE = "missing_here"
    """The record in the org belongs to nothing here."""
    DUPLICATE = "duplicate"
    """The record in the org has the key of an entity that is linked to another record."""
    NOT_SYNCED = "not_synced"
    """The mapping leaves it out (`when`)."""


FINDINGS = frozenset(
    {
        RecordState.DRIFTED,
        RecordState.MISSING_IN_ORG,
        RecordState.DELETED_IN_ORG,
        RecordState.UNLINKED,
        RecordState.MISSING_HERE,
        RecordState.DUPLICATE,
    }
)
"""The states that are differences which nobody is working on."""

UNCOUNTED = frozenset({RecordState.NOT_SYNCED, RecordState.MISSING_HERE, RecordState.DUPLICATE})
"""The states of what is not to be equal on both sides: left out here, or in the org alone."""


class Healing(StrEnum):
    """Which way `reconcile --heal` would heal a field."""

    PUSH = "push"
    """Our value is sent."""
    TAKE = "take"
    """The org's value is applied here."""
    ASK = "ask"
    """A conflict is opened, or is open: a person decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldDifference:
    """One field whose values differ. `base` is what both sides last agreed on; without `has_base` they never did."""

    field: str
    owner: str
    base: FieldValue
    local: FieldValue
    remote: FieldValue
    has_base: bool
    healing: Healing


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One entity or record that differs. `key` is None for a record without a key of ours, `record_id` for an entity
    without a record. `detail` says more, in one sentence."""

    entity: str
    key: str | None
    state: RecordState
    sobject: str
    record_id: str | None
    fields: tuple[FieldDifference, ...] = ()
    detail: str = ""


@dataclass(kw_only=True)
class Reconciliation:
    """The counts of a comparison, by entity and state, with a bounded list of findings.

    `fields` counts drifted fields by `Object.Field`. `findings` has the first `limit` of them.
    """

    limit: int
    counts: dict[str, Counter[RecordState]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def count(self, entity: str, state: RecordState, number: int = 1) -> None:
        self.counts.setdefault(entity, Counter())[state] += number

    def add(self, finding: Finding) -> None:
        """Count a finding, and list it while there is room."""
        self.count(finding.entity, finding.state)
        self.fields.update(f"{finding.sobject}.{item.field}" for item in finding.fields)
        if len(self.findings) < self.limit:
            self.findings.append(finding)

    def total(self, states: Iterable[RecordState] | None = None) -> int:
        """The number of entities and records in these states; without `states`, of all that are to be equal."""
        wanted = set(RecordState) - UNCOUNTED if states is None else set(states)
        return sum(number for counter in self.counts.values() for state, number in counter.items() if state in wanted)

    @property
    def verified(self) -> int:
        return self.total([RecordState.VERIFIED])

    @property
    def differing(self) -> int:
        """Differences that nobody is working on."""
        return self.total(FINDINGS)

    @property
    def in_sync(self) -> bool:
        """Whether nothing differs, apart from what is on its way."""
        return not self.total([*FINDINGS, RecordState.REFUSED, RecordState.IN_CONFLICT])


class RunState(StrEnum):
    """The state of a stored run."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    """It was stopped, killed, or failed before the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileRun:
    """A run as it is stored. `counts` are by entity and state, `fields` by `Object.Field`. `full` is False if only some
    entities or keys were compared."""

    id: int
    org_id: str
    state: RunState
    full: bool
    scope: Mapping[str, list[str]]
    started_at: datetime
    finished_at: datetime | None
    calls: int
    healed: int
    counts: Mapping[str, Mapping[str, int]]
    fields: Mapping[str, int]

    @property
    def verified(self) -> int:
        return sum(counts.get(RecordState.VERIFIED, 0) for counts in self.counts.values())

    @property
    def total(self) -> int:
        return sum(n for counts in self.counts.values() for state, n in counts.items() if state not in UNCOUNTED)

    @property
    def differing(self) -> int:
        return sum(n for counts in self.counts.values() for state, n in counts.items() if state in FINDINGS)
