"""What one call came to, to be stored in one transaction, and what the journal tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from connector.model.change import Change, EntityKind
from connector.model.record import Link
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.salesforce.fault import Fault
from connector.store import journal


@dataclass(kw_only=True)
class Outcomes:
    """What one call came to, to be stored in one transaction."""

    put: list[Link] = field(default_factory=list)
    drop: list[tuple[str, str]] = field(default_factory=list)
    doubt: list[tuple[str, str]] = field(default_factory=list)
    """Entities whose records must be looked at before anything else is written."""
    seen: list[Change] = field(default_factory=list)
    """Changes whose links, as they are in `put`, say what the org holds."""
    replaced: list[tuple[Link, str]] = field(default_factory=list)
    """Links with the ID of the record that was merged into theirs."""
    done: list[Change] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)
    later: list[tuple[PendingEntity, Fault]] = field(default_factory=list)
    held: list[tuple[PendingEntity, Fault]] = field(default_factory=list)
    """Not taken for a reason that concerns every record: due as before, and no attempt is counted."""
    behind: list[tuple[Change, bool]] = field(default_factory=list)
    """Of those that wait: what may be the reason, and whether it was tried itself. All others go first."""
    looked: list[Change] = field(default_factory=list)
    """Answered by something that must be looked at before it is sent again."""

    @property
    def waiting(self) -> list[tuple[PendingEntity, Fault]]:
        return [*self.later, *self.held]


def entries(outcomes: Outcomes, org_id: str) -> Iterator[journal.JournalEntry]:
    """What the journal tells of them."""
    for entry in _told(outcomes):
        yield replace(entry, org_id=org_id)


def _told(outcomes: Outcomes) -> Iterator[journal.JournalEntry]:
    for link in outcomes.put:
        if link.entity in set(EntityKind):
            detail = {"sobject": link.sobject, "id": link.salesforce_id}
            yield journal.JournalEntry(entity=link.entity, key=link.key, action="written", detail=detail)
    for entity, key in outcomes.drop:
        yield journal.JournalEntry(entity=entity, key=key, action="unlinked", detail={})
    for link, before in outcomes.replaced:
        detail = {"sobject": link.sobject, "before": before, "id": link.salesforce_id}
        yield journal.JournalEntry(entity=link.entity, key=link.key, action="relinked", detail=detail)
    for item in outcomes.refused:
        change, refusal = item.candidate.change, item.refusal
        why = {"code": refusal.code, "message": refusal.message, "field": refusal.field}
        yield journal.JournalEntry(entity=change.entity, key=change.key, action="refused", detail=why)
    for candidate, fault in outcomes.later:
        detail = {"code": fault.code}
        yield journal.JournalEntry(
            entity=candidate.change.entity, key=candidate.change.key, action="postponed", detail=detail
        )
