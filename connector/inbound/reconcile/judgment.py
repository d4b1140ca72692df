"""Decides what a link and its record come to, once both sides were read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.errors import MappingError
from connector.inbound.merge import MergeContext
from connector.inbound.reconcile.context import Comparisons, ReconcileContext, live
from connector.inbound.reconcile.local_side import LocalSide
from connector.inbound.reconcile.org_side import ComparedObject
from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.model.field_equality import same_value
from connector.model.inbound_change import InboxState, RemoteRecord
from connector.model.order import Order
from connector.model.reconciliation import Finding, RecordState
from connector.model.record import FieldValue, Link
from connector.model.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """A record as it was read first, and as it was read again; None if it was not found, or was not among those that
    have our key."""

    before: RemoteRecord | None
    now: RemoteRecord | None

    def changed_since(self, moment: datetime) -> bool:
        """Whether somebody changed it in the org between the readings, or since `moment` if it was not read before."""
        if self.now is None:
            return self.before is not None
        if self.before is None:
            return self.now.stamped_at >= moment
        return self.before.stamped_at != self.now.stamped_at or self.before.fields != self.now.fields


class LinkJudge:
    """Decides links of one comparison. It reads nothing: `side` has what is here."""

    def __init__(self, context: ReconcileContext) -> None:
        self._started_at = context.scope.started_at
        self._comparisons = Comparisons(context)

    def needs_second_look(self, side: LocalSide, link: Link, record: RemoteRecord | None) -> bool:
        """Whether the two differ in any way."""
        entity = side.entity(link)
        if entity is None:
            return record is not None or not link.is_part
        try:
            if not side.is_synced(link.owner):
                return False
            comparison = self._comparisons.of(link)
            if record is None or comparison is None:
                return True
            return bool(
                comparison.differences(entity, record.fields, lambda lookup: side.resolve(record.sobject, lookup))
            )
        except (UnreadableValueError, MappingError):
            return True

    def decide(
        self, side: LocalSide, link: Link, readings: Readings, item: ComparedObject
    ) -> Finding | RecordState | None:
        """What a link and its record come to. None: nothing is left of it on either side."""
        entity, there = side.entity(link), live(readings.now)
        if entity is None:
            if there is None and link.is_part:
                return None
            return self._unfinished(side, link, readings) or finding(
                link, RecordState.REMOVED_HERE, "the org still has its record"
            )
        try:
            if not side.is_synced(link.owner):
                return RecordState.NOT_SYNCED
            if there is None:
                return self._decide_gone(side, link, readings)
            return self._compare(side, link, readings, there, item)
        except (UnreadableValueError, MappingError):
            return RecordState.REFUSED  # the push refuses it, and says why

    def _compare(
        self, side: LocalSide, link: Link, readings: Readings, record: RemoteRecord, item: ComparedObject
    ) -> Finding | RecordState:
        comparison = self._comparisons.of(link)
        if comparison is None:
            return RecordState.NOT_SYNCED
        differing = comparison.differences(
            side.entity(link), record.fields, lambda lookup: side.resolve(record.sobject, lookup)
        )
        if link.owner in side.details.in_other_book:
            differing.pop("PricebookEntryId", None)  # a rep chose the entry; the product of the line is the same
        if not differing:
            return RecordState.VERIFIED
        if (state := self._unfinished(side, link, readings)) is not None:
            return state
        held = undone_fields(link, differing)
        is_held = differing.keys() <= held
        if not is_held and differing.keys() <= side.details.conflicts.get((link.entity, link.key), set()) | held:
            return RecordState.IN_CONFLICT
        answers = side.details.answers.items()
        times = {} if link.is_part else side.details.field_times.get(link.owner, {})
        context = MergeContext(
            local_changed_at=side.details.changed_at.get(link.owner),
            local_times=RecordReceiver(comparison.spec).by_field(times),
            remote_changed_at=record.modified_at,
            answers={name: choice for (sobject, name), choice in answers if sobject == record.sobject},
            fields=item.describe.fields,
        )
        return Finding(
            entity=link.entity,
            key=link.key,
            state=RecordState.HELD if is_held else RecordState.DRIFTED,
            sobject=link.sobject,
            record_id=link.salesforce_id,
            detail="it was undone, and ours is another value: it is not sent until it changes" if is_held else "",
            fields=comparison.explain(differing, link, context),
        )

    def _decide_gone(self, side: LocalSide, link: Link, readings: Readings) -> Finding | RecordState:
        record, owner = readings.now, side.owners.get(link.owner)
        if (link.entity, link.key) in side.details.merged:
            return RecordState.NOT_SYNCED
        if isinstance(owner, Order) and owner.stage is Stage.CANCELED:
            return RecordState.VERIFIED  # it has ended on both sides
        if (state := self._unfinished(side, link, readings)) is not None:
            return state
        if record is not None:
            into = f"merged into {record.master}" if record.master else "in the recycle bin"
            return finding(link, RecordState.DELETED_IN_ORG, into)
        return finding(link, RecordState.MISSING_IN_ORG, "the org has no such record, or hides it from our user")

    def _unfinished(self, side: LocalSide, link: Link, readings: Readings) -> RecordState | None:
        """Why a difference is no finding: it is on its way, or waits for a person already."""
        waiting = side.details.inbox.get(link.salesforce_id)
        if side.is_due(link.owner) or waiting is InboxState.DUE:
            return RecordState.PENDING
        if side.is_refused(link.owner) or waiting is InboxState.PARKED:
            return RecordState.REFUSED
        record = readings.now
        read_at = self._started_at if record is None else record.read_at
        written_later = link.synced_at is not None and link.synced_at >= read_at
        return RecordState.PENDING if written_later or readings.changed_since(self._started_at) else None


def undone_fields(link: Link, differing: Mapping[str, tuple[FieldValue, FieldValue]]) -> set[str]:
    """Of fields that differ, those in which our value was undone: it is not sent until it is another one."""
    return {name for name, (ours, _) in differing.items() if name in link.held and same_value(ours, link.held[name])}


def finding(link: Link, state: RecordState, detail: str) -> Finding:
    """A finding without fields."""
    return Finding(
        entity=link.entity,
        key=link.key,
        state=state,
        sobject=link.sobject,
        record_id=link.salesforce_id,
        detail=detail,
    )
