"""The outcomes of one call, stored in one transaction, and their journal entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from connector.model.change import Change, EntityKind
from connector.model.observed_value import ObservedValues
from connector.model.record import Link
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.salesforce.fault import Fault
from connector.store import journal


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
    not_created: list[Change] = field(default_factory=list)
    """Those of them whose record the org had before: nothing in it was sent by us."""

    @property
    def waiting(self) -> list[tuple[PendingEntity, Fault]]:
        return [*self.postponed, *self.blocked_by_org]


def journal_entries(outcomes: Outcomes, org_id: str) -> Iterator[journal.JournalEntry]:
    """The journal entries for these outcomes."""
    for entry in _entries(outcomes):
        yield replace(entry, org_id=org_id)


def _entries(outcomes: Outcomes) -> Iterator[journal.JournalEntry]:
    for link in outcomes.links:
        if link.entity in set(EntityKind):
            detail = {"sobject": link.sobject, "id": link.salesforce_id}
            yield journal.JournalEntry(entity=link.entity, key=link.key, action="written", detail=detail)
    for entity, key in outcomes.dropped_links:
        yield journal.JournalEntry(entity=entity, key=key, action="unlinked", detail={})
    for link, merged_id in outcomes.merged_links:
        detail = {"sobject": link.sobject, "before": merged_id, "id": link.salesforce_id}
        yield journal.JournalEntry(entity=link.entity, key=link.key, action="relinked", detail=detail)
    for item in outcomes.refused:
        change, refusal = item.pending.change, item.refusal
        why = {"code": refusal.code, "message": refusal.message, "field": refusal.field}
        yield journal.JournalEntry(entity=change.entity, key=change.key, action="refused", detail=why)
    for pending, fault in outcomes.postponed:
        detail = {"code": fault.code}
        yield journal.JournalEntry(
            entity=pending.change.entity, key=pending.change.key, action="postponed", detail=detail
        )
