"""Heals what differs, by the owner of each field: queues it for the push and for inbound sync, which do the work.

A field that inbound sync merges goes into the inbox: the record is read and merged like any other that changed, so
nothing is overwritten without the three-way merge. Where the org holds what both sides agreed on, our change was never
sent: the entity becomes due. Of a field that only the push sets, the snapshot is told what the org holds, so that the
push sends ours. Each record is read and decided again in the transaction that queues it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from connector.inbound.reconcile.context import READ_AGAIN, Comparisons, ReconcileContext, live
from connector.inbound.reconcile.judgment import LinkJudge, Readings, undone_fields
from connector.inbound.reconcile.local_side import LocalSide, Name
from connector.inbound.reconcile.org_side import ComparedObject
from connector.mapping.spec import Owner
from connector.model.change import EntityKind
from connector.model.field_equality import same_value
from connector.model.inbound_change import InboxState, RemoteRecord, Source
from connector.model.lane import Lane
from connector.model.reconciliation import FieldDifference, Finding, Outline, RecordState
from connector.model.record import IS_PERSON, FieldValue, Link
from connector.store import inbox, journal, links, outbox
from connector.store.journal import JournalEntry
from connector.store.partitions import slot_of
from connector.store.unit_of_work import UnitOfWork

AT_ONCE = 200
"""Entities that are queued in one transaction."""
_RECEIVED = frozenset({"customer", "product", "order", "line"})
"""What inbound sync merges."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """Entities that are queued together: their outlines, the records as they were just read, and our side of them."""

    outlines: Sequence[Outline]
    records: Mapping[str, RemoteRecord]
    links: Mapping[str, Link]
    side: LocalSide


class Healer:
    """Queues differences of one org."""

    def __init__(self, context: ReconcileContext) -> None:
        self._context = context
        self._store, self._org_id = context.store, context.org_id
        self._judge = LinkJudge(context)
        self._comparisons = Comparisons(context)
        self._read_back: dict[Name, set[str]] = {}
        """Entities whose record in the org is not known for certain, with the records that are merged before."""

    async def queue(self, outlines: Sequence[Outline]) -> None:
        """Queue these differences, all of one entity in one transaction."""
        by_owner: dict[Name, list[Outline]] = {}
        for outline in outlines:
            by_owner.setdefault(outline.owner, []).append(outline)
        owners = [*by_owner]
        for start in range(0, len(owners), READ_AGAIN):
            some = owners[start : start + READ_AGAIN]
            records = await self._read([outline for owner in some for outline in by_owner[owner]])
            for first in range(0, len(some), AT_ONCE):
                batch = [outline for owner in some[first : first + AT_ONCE] for outline in by_owner[owner]]
                await self._store.transact(partial(self._queue, outlines=batch, records=records))
                await self._context.advance(0)

    async def _read(self, outlines: Sequence[Outline]) -> dict[str, RemoteRecord]:
        """The records as they are now, by ID."""
        records: dict[str, RemoteRecord] = {}
        for item in self._context.objects:
            ids = sorted({one.record_id for one in outlines if one.record_id and one.sobject == item.sobject})
            for start in range(0, len(ids), READ_AGAIN):
                records |= await self._context.org.by_ids(item, ids[start : start + READ_AGAIN])
        return records

    async def _queue(self, uow: UnitOfWork, outlines: Sequence[Outline], records: Mapping[str, RemoteRecord]) -> None:
        """Queue some differences. Locks are taken in the order of every writer: the outbox, then links."""
        connection = uow.connection
        owners = sorted({outline.owner for outline in outlines})
        for kind in EntityKind:
            keys = [key for entity, key in owners if entity == kind]
            if keys:
                await outbox.find(connection, kind, keys, lock=True)
        ids = sorted({outline.record_id for outline in outlines if outline.record_id})
        found = await links.find(connection, self._org_id, ids, lock=True)
        side = self._context.new_side()
        await side.load(connection, owners)
        names = sorted({(outline.entity, outline.key) for outline in outlines if outline.key is not None})
        await side.load_details(connection, names, ids)
        batch = _Batch(outlines=outlines, records=records, links=found, side=side)
        to_merge: list[tuple[str, str]] = []
        new_links: list[Link] = []
        entries: list[JournalEntry] = []
        for outline in outlines:
            if outline.owner not in side.owners:
                continue
            link, merged = self._heal(uow, outline, batch)
            new_links += [] if link is None else [link]
            if merged and outline.record_id is not None:
                to_merge.append((outline.sobject, outline.record_id))
            if outline.sobject:
                entries.append(self._journal_entry(outline))
        await links.put(uow, self._org_id, new_links)
        await inbox.put(uow, self._org_id, to_merge, Source.RECONCILE)
        await journal.write(uow, entries)

    def _heal(self, uow: UnitOfWork, outline: Outline, batch: _Batch) -> tuple[Link | None, bool]:
        """Queue one difference. Returns the link to store, if any, and whether inbound sync has to merge the record."""
        link = batch.links.get(outline.record_id or "")
        match outline.state:
            case RecordState.DRIFTED if link is not None:
                return self._heal_drift(uow, outline, link, batch)
            case RecordState.UNLINKED if link is None:
                return self._link_anew(uow, outline, batch)
            case RecordState.REMOVED_HERE if link is not None:
                self._make_due(uow, outline, batch.side)  # the push deletes what was removed here
                return None, False
            case RecordState.MISSING_IN_ORG if outline.record_id is None:
                self._make_due(uow, outline, batch.side, unconfirmed=True)
                return None, False
            case RecordState.MISSING_IN_ORG | RecordState.DELETED_IN_ORG | RecordState.MISSING_HERE:
                return None, outline.entity in _RECEIVED  # the policy for deletions, or for added lines, decides
        return None, False

    def _heal_drift(self, uow: UnitOfWork, outline: Outline, link: Link, batch: _Batch) -> tuple[Link | None, bool]:
        item, record = self._context.object_of(link.entity), batch.records.get(link.salesforce_id)
        if item is None:
            return None, False
        decided = self._judge.decide(batch.side, link, Readings(before=record, now=record), item)
        comparison = self._comparisons.of(link)
        if not isinstance(decided, Finding) or comparison is None:
            return None, False
        held = batch.side.details.conflicts.get((link.entity, link.key), set())
        held = held | undone_fields(link, {field.field: (field.local, field.remote) for field in decided.fields})
        snapshot, merged, due = dict(link.snapshot), False, False
        for field in decided.fields:
            if field.field in held:
                continue
            if not comparison.is_merged(field.field):
                snapshot[field.field], due = field.remote, True
            elif not _is_as_agreed(field, item):
                merged = True
            elif field.owner == Owner.SALESFORCE:
                del snapshot[field.field]  # so that the org's value counts as a change, and is taken
                merged = True
            else:
                due = True
        if due:
            self._make_due(uow, outline, batch.side)
        return (None if snapshot == link.snapshot else replace(link, snapshot=snapshot)), merged

    def _link_anew(self, uow: UnitOfWork, outline: Outline, batch: _Batch) -> tuple[Link | None, bool]:
        """Link an entity to the record that has its key. Its fields are merged; then the push reads back the rest."""
        record, item = live(batch.records.get(outline.record_id or "")), self._context.object_of(outline.entity)
        if record is None or item is None or str(record.fields.get(item.key)) != outline.key:
            return None, False
        self._make_due(uow, outline, batch.side, unconfirmed=True)
        if outline.entity not in _RECEIVED:
            return None, False
        snapshot: dict[str, FieldValue] = {}
        if record.fields.get(IS_PERSON) is True:
            snapshot = {name: record.fields[name] for name in (IS_PERSON, "RecordTypeId")}
        link = Link(
            entity=outline.entity,
            key=outline.key,
            sobject=item.sobject,
            salesforce_id=record.id,
            snapshot=snapshot,
        )
        return link, True

    def _make_due(self, uow: UnitOfWork, outline: Outline, side: LocalSide, *, unconfirmed: bool = False) -> None:
        kind, key = outline.owner
        if unconfirmed:
            records = self._read_back.setdefault((kind, key), set())
            records |= {outline.record_id} if outline.record_id else set()
        else:
            uow.changed(EntityKind(kind), key, slot_of(side.owners[kind, key]), Lane.BACKFILL)

    async def make_read_back_due(self) -> None:
        """Make due, after inbound sync has merged what it could, the entities that a push has to read back first. One
        whose record still waits to be merged is left out: a push would overwrite it."""
        names = sorted(self._read_back)
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            await self._store.transact(partial(self._make_some_due, names=some))

    async def _make_some_due(self, uow: UnitOfWork, names: Sequence[Name]) -> None:
        records = sorted({record for name in names for record in self._read_back[name]})
        waiting = await inbox.states(uow.connection, self._org_id, records)
        side = self._context.new_side()
        await side.load(uow.connection, names)
        for name in names:
            is_merged = all(waiting.get(record) is not InboxState.DUE for record in self._read_back[name])
            if is_merged and name in side.owners:
                uow.changed(EntityKind(name[0]), name[1], slot_of(side.owners[name]), Lane.BACKFILL, unconfirmed=True)

    def _journal_entry(self, outline: Outline) -> JournalEntry:
        kind, key = outline.owner
        detail = {"found": outline.state.value, "record": outline.record_id, "fields": list(outline.fields)}
        if (kind, key) != (outline.entity, outline.key):
            detail["line"] = outline.key or "added"
        return JournalEntry(entity=kind, key=key, action="reconciled", detail=detail, org_id=self._org_id)


def _is_as_agreed(field: FieldDifference, item: ComparedObject) -> bool:
    """Whether the org holds what both sides agreed on."""
    return field.has_base and same_value(field.remote, field.base, item.describe.fields.get(field.field))
