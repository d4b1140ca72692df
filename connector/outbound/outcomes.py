"""The outcomes of one call, stored in one transaction, and their journal entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connector.metrics import PUSH_DELAY
from connector.model.change import Change, EntityKind
from connector.model.field_notes import PersonalFields
from connector.model.lane import Lane, call_lane
from connector.model.observed_value import ObservedValues
from connector.model.record import Link
from connector.model.sync_delay import DelayBucket, Direction, bucket_of
from connector.outbound.mapping_version import ActiveMappingVersion
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.outbound.send_notes import SendNote, describe_call
from connector.salesforce.fault import Fault
from connector.store import journal

_KINDS = frozenset(EntityKind)
_OF_SENDS = frozenset({"written", "refused", "postponed"})


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalContext:
    """What the entries of a push have in common."""

    org_id: str
    mapping_version: ActiveMappingVersion | None
    personal: PersonalFields


@dataclass(kw_only=True)
class Outcomes:
    """The outcomes of one call. All of them are stored in one transaction."""

    links: list[Link] = field(default_factory=list)
    dropped_links: list[tuple[str, str]] = field(default_factory=list)
    unconfirmed: list[tuple[str, str]] = field(default_factory=list)
    """Entities (kind, key) whose records must be read back before anything else is written."""
    confirmed: list[Change] = field(default_factory=list)
    """Changes whose links, as in `links`, say what the org holds."""
    merged_links: list[tuple[Link, str]] = field(default_factory=list)
    """Links, each with the ID of the record that was merged into theirs."""
    done: list[Change] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)
    postponed: list[tuple[PendingEntity, Fault]] = field(default_factory=list)
    blocked_by_org: list[tuple[PendingEntity, Fault]] = field(default_factory=list)
    """Not accepted for a reason that concerns the whole org: due as before, and no attempt is counted."""
    deprioritized: list[tuple[Change, bool]] = field(default_factory=list)
    """Waiting changes that may be the cause of a failed call, and whether each was sent itself. All other changes go
    first."""
    changed_in_org: dict[tuple[str, str], ObservedValues] = field(default_factory=dict)
    """Records (object, ID) in which somebody else changed these shared fields: inbound sync decides whose value
    stands."""
    to_read_back: list[Change] = field(default_factory=list)
    """Changes whose answer contradicts our links: they are read back before they are sent again."""
    continued: list[Change] = field(default_factory=list)
    """Changes of which a part was written: more of them follows."""
    sends: dict[tuple[str, str], SendNote] = field(default_factory=dict)
    """What was sent, by entity (kind, key)."""
    not_created: list[Change] = field(default_factory=list)
    """Those of them whose record the org had before: nothing in it was sent by us."""

    @property
    def waiting(self) -> list[tuple[PendingEntity, Fault]]:
        return [*self.postponed, *self.blocked_by_org]


def journal_entries(outcomes: Outcomes, context: JournalContext) -> Iterator[journal.JournalEntry]:
    """The journal entries for these outcomes: one by entity and send."""
    sends, changes = dict(outcomes.sends), _changes_of(outcomes)
    for entity, key, action, detail in _actions(outcomes):
        note, change = None, None
        if action in _OF_SENDS:
            note, change = sends.pop((entity, key), None), changes.get((entity, key))
        yield _entry(entity, key, action, detail, note, change, context)
    for (entity, key), note in sends.items():  # only lines or prices were written
        if (change := changes.get((entity, key))) is not None:
            yield _entry(entity, key, "written", {}, note, change, context)


def _changes_of(outcomes: Outcomes) -> dict[tuple[str, str], Change]:
    """The changes whose sends are in the journal, by entity. What waits for the org is not: it would fill the journal
    while nothing happens."""
    found = [*outcomes.done, *outcomes.confirmed, *outcomes.continued]
    found += [item.pending.change for item in outcomes.refused]
    found += [pending.change for pending, _ in outcomes.postponed]
    return {(change.entity, change.key): change for change in found}


def _entry(
    entity: str,
    key: str,
    action: str,
    detail: dict[str, object],
    note: SendNote | None,
    change: Change | None,
    context: JournalContext,
) -> journal.JournalEntry:
    """An entry with what was sent, by which call and mapping version, and since when the change has waited."""
    if change is not None and change.version:
        detail["captured_at"] = change.captured_at
        if change.lane is not None:
            detail["lane"] = change.lane
        if change.attempts:
            detail["attempts"] = change.attempts
    if note is None:
        return journal.JournalEntry(entity=entity, key=key, action=action, detail=detail, org_id=context.org_id)
    detail["call"] = describe_call(note.call)
    if note.run is not None and change is not None and change.version > 1:
        detail["changes"] = change.version  # of the run, and of others that were sent together with it
    if context.mapping_version is not None:
        detail["mapping_version"] = context.mapping_version.number
    return journal.JournalEntry(
        entity=entity, key=key, action=action, detail=detail, org_id=context.org_id, sent=note.records,
        personal=context.personal, run=note.run,
    )  # fmt: skip


def _actions(outcomes: Outcomes) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """Kind and key of an entity, what became of it, and the details."""
    for link in outcomes.links:
        if link.entity in _KINDS:
            yield link.entity, link.key, "written", {"sobject": link.sobject, "id": link.salesforce_id}
    for entity, key in outcomes.dropped_links:
        yield entity, key, "unlinked", {}
    for link, merged_id in outcomes.merged_links:
        detail: dict[str, object] = {"sobject": link.sobject, "before": merged_id, "id": link.salesforce_id}
        yield link.entity, link.key, "relinked", detail
    for item in outcomes.refused:
        change, refusal = item.pending.change, item.refusal
        why: dict[str, object] = {"code": refusal.code, "message": refusal.message, "field": refusal.field}
        yield change.entity, change.key, "refused", why
    for pending, fault in outcomes.postponed:
        yield pending.change.entity, pending.change.key, "postponed", {"code": fault.code}


def measure_delays(done: Sequence[Change], now: datetime) -> None:
    """Measure how long after they were made these changes were sent."""
    for change in done:
        lane = Lane.PROFILE if change.lane is None else call_lane(change.lane)
        delay = max(0.0, (now - change.captured_at).total_seconds())
        PUSH_DELAY.observe(delay, change.entity.value, lane.word, change.stage or "")


def delay_buckets(done: Sequence[Change], now: datetime) -> Iterator[DelayBucket]:
    """How long these changes took, as it is stored: without what a resync or a backfill made due."""
    for change in done:
        is_backfill = change.lane is Lane.BACKFILL and not change.deprioritized
        if change.version and change.run is None and not is_backfill:
            kind = change.entity.value if change.stage is None else change.stage.value
            yield bucket_of(Direction.TO_ORG, kind, now - change.captured_at)
