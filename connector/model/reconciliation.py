"""What a comparison of both sides found: counts by entity, and the differences, one finding for each record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from connector.model.record import FieldValue, owner_of


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
    HELD = "held"
    """An undo has put back the org's value, and ours is another one: it is not sent until it changes."""
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
    REMOVED_HERE = "removed_here"
    """It was linked, and was removed here; the record is still in the org."""
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
        RecordState.REMOVED_HERE,
        RecordState.DUPLICATE,
    }
)
"""The states that are differences which nobody is working on."""

UNHEALABLE = frozenset({RecordState.MISSING_HERE, RecordState.DUPLICATE})
"""The findings about records of the org that belong to nothing here: a person decides what they are."""

OPEN = frozenset(
    {RecordState.PENDING, RecordState.REFUSED, RecordState.IN_CONFLICT, RecordState.HELD, RecordState.NOT_SYNCED}
)
"""The states that are neither equal nor a difference: why, stands in `detail`."""
OPEN_LISTED = 100
"""Records in such a state that are listed, of each entity and state."""

_HEALABLE = FINDINGS - UNHEALABLE

UNCOUNTED = UNHEALABLE | {RecordState.NOT_SYNCED, RecordState.REMOVED_HERE}
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

    @property
    def owner(self) -> tuple[str, str]:
        """The entity that it belongs to."""
        key = self.key or ""
        return owner_of(self.entity, key) or (self.entity, key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """A finding without its values: what healing needs to find it again. `record_id` is None for a part that is missing
    together with its owner. `key` is None for a part that was added in the org to `owner`."""

    entity: str
    key: str | None
    state: RecordState
    sobject: str = ""
    record_id: str | None = None
    fields: tuple[str, ...] = ()
    added_to: tuple[str, str] | None = None

    @property
    def owner(self) -> tuple[str, str]:
        """The entity that it belongs to."""
        key = self.key or ""
        return self.added_to or owner_of(self.entity, key) or (self.entity, key)


@dataclass(kw_only=True)
class Reconciliation:
    """The counts of a comparison, by entity and state, with a bounded list of findings.

    `fields` counts drifted fields by `Object.Field`. `findings` has the first `limit` of them, `open` the first records
    of each entity that are in one of the states OPEN, `outlines` the first `outline_limit` of what can be healed.
    `states` has the state of each entity that was counted, if that is wanted.
    """

    limit: int
    outline_limit: int = 0
    counts: dict[str, Counter[RecordState]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    open: list[Finding] = field(default_factory=list)
    outlines: list[Outline] = field(default_factory=list)
    states: dict[tuple[str, str], RecordState] | None = None
    _listed: Counter[tuple[str, RecordState]] = field(default_factory=Counter)

    def count(self, entity: str, state: RecordState, key: str | None, detail: str = "") -> None:
        """Count an entity or record. One that is a difference is outlined as well; of one that is open, `detail` says
        why."""
        self._count(entity, state, key)
        if state in OPEN:
            self._list_open(Finding(entity=entity, key=key, state=state, sobject="", record_id=None, detail=detail))
        if state in FINDINGS and key is not None:
            self._outline(Outline(entity=entity, key=key, state=state))

    def add(self, finding: Finding, *, added_to: tuple[str, str] | None = None) -> None:
        """Count a finding, and list it while there is room. A part without a key was added in the org to an entity."""
        self._count(finding.entity, finding.state, finding.key)
        if finding.state in OPEN:
            self._list_open(finding)
            return
        self.fields.update(f"{finding.sobject}.{item.field}" for item in finding.fields)
        if len(self.findings) < self.limit:
            self.findings.append(finding)
        if finding.state in FINDINGS:
            self._outline(
                Outline(
                    entity=finding.entity,
                    key=finding.key,
                    state=finding.state,
                    sobject=finding.sobject,
                    record_id=finding.record_id,
                    fields=tuple(item.field for item in finding.fields),
                    added_to=added_to,
                )
            )

    def _count(self, entity: str, state: RecordState, key: str | None) -> None:
        self.counts.setdefault(entity, Counter())[state] += 1
        if self.states is not None and key is not None and state not in UNHEALABLE:
            self.states[entity, key] = state

    def _list_open(self, finding: Finding) -> None:
        place = finding.entity, finding.state
        self._listed[place] += 1
        if self._listed[place] <= OPEN_LISTED:
            self.open.append(finding)

    def _outline(self, outline: Outline) -> None:
        healable = outline.state not in UNHEALABLE or outline.added_to is not None
        if healable and len(self.outlines) < self.outline_limit:
            self.outlines.append(outline)

    def replace_with(self, later: Reconciliation, outlines: Iterable[Outline]) -> int:
        """Replace what was found of these by what a later comparison found, and return how many are no difference any
        more. `later` has `states`."""
        healed = 0
        added = {item.record_id for item in later.findings if item.key is None}
        names = {(item.entity, item.key) for item in outlines}
        for item in outlines:
            state = item.state if item.record_id in added else (later.states or {}).get((item.entity, item.key or ""))
            self.counts[item.entity][item.state] -= 1
            if state is not None:
                self.counts[item.entity][state] += 1
            healed += state in {None, RecordState.VERIFIED, RecordState.NOT_SYNCED}
            self.fields.subtract(f"{item.sobject}.{name}" for name in item.fields)
        remaining = [item for item in later.findings if (item.entity, item.key) in names and item.state in _HEALABLE]
        for finding in remaining:
            self.fields.update(f"{finding.sobject}.{item.field}" for item in finding.fields)
        self.fields = +self.fields
        self.counts = {entity: +counter for entity, counter in self.counts.items()}
        records = {item.record_id for item in outlines if item.added_to is not None} - added
        others = [
            item
            for item in self.findings
            if item.record_id not in records and (item.state in UNHEALABLE or (item.entity, item.key) not in names)
        ]
        self.findings = [*remaining, *others][: self.limit]
        still = [item for item in self.open if (item.entity, item.key) not in names]
        self.open = [*still, *(item for item in later.open if (item.entity, item.key) in names)]
        return healed

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
        return not self.total([*FINDINGS, RecordState.REFUSED, RecordState.IN_CONFLICT, RecordState.HELD])


class RunState(StrEnum):
    """The state of a stored run."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    """It was stopped, killed, or failed before the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileRun:
    """A run as it is stored. `counts` are by entity and state, `fields` by `Object.Field`. `full` is False if only some
    entities or keys were compared. `compared` of `planned` records were read so far, None if they were not counted."""

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
    compared: int = 0
    planned: int | None = None

    @property
    def verified(self) -> int:
        return sum(counts.get(RecordState.VERIFIED, 0) for counts in self.counts.values())

    @property
    def total(self) -> int:
        return sum(n for counts in self.counts.values() for state, n in counts.items() if state not in UNCOUNTED)

    @property
    def differing(self) -> int:
        return sum(n for counts in self.counts.values() for state, n in counts.items() if state in FINDINGS)
