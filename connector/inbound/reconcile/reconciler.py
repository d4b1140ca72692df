"""Compares both sides, one object after the other, and says what differs.

Memory holds a page of each side, and the findings up to their limit. What differs is read again before it is called a
finding: first the org, then our side. So whatever is sent or received meanwhile is seen, in the stamps of the link or
in the outbox.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from connector.inbound.reconcile.context import READ_AGAIN, ReconcileContext, live
from connector.inbound.reconcile.judgment import LinkJudge, Readings
from connector.inbound.reconcile.local_side import LocalSide, Name
from connector.inbound.reconcile.org_side import PAGE, ComparedObject, ReadPlan
from connector.inbound.reconcile.unlinked import UnlinkedEntities, UnlinkedRecords
from connector.model.change import EntityKind
from connector.model.inbound_change import RemoteRecord
from connector.model.reconciliation import Finding, Reconciliation, RecordState
from connector.model.record import PARTS, Link, owner_of
from connector.store import leases, links

MAX_READ_AGAIN = 20_000
"""Records of one object that are read again; whether others are findings is decided by their stamps alone."""

RECENT = timedelta(seconds=5)
"""While a process listens to the org, a record that changed there so shortly before it was read is looked at once more
at the end: its event may still be on its way."""
LATE_SECONDS = 3.0
"""How long to wait before that look."""

_GONE = frozenset({RecordState.DELETED_IN_ORG, RecordState.MISSING_IN_ORG})

Pair = tuple[Link, RemoteRecord | None]


@dataclass(kw_only=True)
class _Page:
    """One page of the join: links with their records, and records without a link."""

    pairs: list[Pair] = field(default_factory=list)
    strays: list[RemoteRecord] = field(default_factory=list)


class Reconciler:
    """One comparison, which adds to `result`."""

    def __init__(self, context: ReconcileContext, result: Reconciliation) -> None:
        self._context = context
        self._store, self._org, self._org_id = context.store, context.org, context.org_id
        self.result = result
        self._judge = LinkJudge(context)
        self._unlinked_entities = UnlinkedEntities(context, self.result)
        self._unlinked_records = UnlinkedRecords(context, self.result)
        self._read_again: dict[str, int] = {}
        self._gone_owners: set[Name] = set()
        self._late: dict[str, list[Pair]] = {}
        self._is_listened: bool | None = None

    async def compare_everything(self, plans: Mapping[str, ReadPlan]) -> None:
        """Compare all records and entities."""
        objects = self._context.objects
        await self._org.read_first_pages([item for item in objects if not plans[item.sobject].bulk])
        for item in objects:
            async for page in self._joined(item, plans[item.sobject]):
                await self._compare(item, page)
        await self._unlinked_entities.compare_all()
        await self._decide_late()

    async def compare_selected(self, selection: Mapping[EntityKind, Sequence[str]]) -> None:
        """Compare these entities alone, with their parts."""
        for kind, keys in selection.items():
            for start in range(0, len(keys), READ_AGAIN):
                some = keys[start : start + READ_AGAIN]
                for item in self._context.objects:
                    await self._compare(item, await self._selected_page(item, kind, some))
                await self._unlinked_entities.compare_selected(kind, some)
                await self._context.advance(len(some))
        await self._decide_late()

    async def _selected_page(self, item: ComparedObject, kind: EntityKind, keys: Sequence[str]) -> _Page:
        entities = {comparison.spec.entity for comparison in item.comparisons}
        part = PARTS.get(kind.value)
        found: list[Link] = []
        parents: dict[str, str] = {}
        async with self._store.reader() as connection:
            if kind.value in entities:
                found += (await links.get(connection, self._org_id, kind.value, keys)).values()
            if part in entities:
                by_owner = await links.children(connection, self._org_id, part, keys)
                found += [link for of_owner in by_owner.values() for link in of_owner.values()]
                parents = await links.record_ids(connection, self._org_id, kind.value, keys)
        records = await self._org.by_ids(item, [link.salesforce_id for link in found])
        if parents and item.parent is not None:
            records |= await self._org.of_parents(item, [*parents.values()])
        linked = {link.salesforce_id for link in found}
        return _Page(
            pairs=[(link, live(records.get(link.salesforce_id))) for link in found],
            strays=[record for record in records.values() if record.id not in linked],
        )

    async def _joined(self, item: ComparedObject, plan: ReadPlan) -> AsyncIterator[_Page]:
        """Join the org's records with our links, by record ID."""
        after, prefix = "", ""
        async for records in self._org.pages(item, plan):
            prefix = prefix or records[0].id[:3]
            after = after or prefix
            waiting = {record.id: record for record in records}
            last = records[-1].id
            while after < last:
                some = await self._links(item, after, last)
                after = some[-1].salesforce_id if len(some) == PAGE else last
                pairs: list[Pair] = [(link, waiting.pop(link.salesforce_id, None)) for link in some]
                strays = [record_id for record_id in waiting if record_id <= after]
                yield _Page(pairs=pairs, strays=[waiting.pop(record_id) for record_id in strays])
            await self._context.advance(len(records))
        while some := await self._links(item, after, f"{prefix}~" if prefix else None):
            after = some[-1].salesforce_id
            yield _Page(pairs=[(link, None) for link in some])

    async def _links(self, item: ComparedObject, after: str, until: str | None) -> list[Link]:
        async with self._store.reader() as connection:
            return await links.list_by_record(
                connection,
                self._org_id,
                item.sobject,
                after=after,
                until=until,
                limit=PAGE,
                with_snapshots=item.sobject == "Account",  # they say which accounts are persons
            )

    async def _compare(self, item: ComparedObject, page: _Page) -> None:
        """Compare one page, and read again what differs."""
        pairs = [pair for pair in page.pairs if pair[0].entity in self._context.entities]
        side = self._context.new_side()
        async with self._store.reader() as connection:
            await side.load(connection, {link.owner for link, _ in pairs})
        suspects = [pair for pair in pairs if not self._count_if_clear(side, *pair)]
        for start in range(0, len(suspects), READ_AGAIN):
            await self._decide(item, suspects[start : start + READ_AGAIN])
        for start in range(0, len(page.strays), READ_AGAIN):
            await self._unlinked_records.decide(item, page.strays[start : start + READ_AGAIN])

    def _count_if_clear(self, side: LocalSide, link: Link, record: RemoteRecord | None) -> bool:
        """Count a link that needs no second look (True): both sides are equal, or it is due here."""
        if not self._judge.needs_second_look(side, link, record):
            if side.entity(link) is not None:
                synced = side.is_synced(link.owner)
                self._count(side, link, RecordState.VERIFIED if synced else RecordState.NOT_SYNCED)
            return True
        if side.entity(link) is not None and side.is_due(link.owner):
            self._count(side, link, RecordState.PENDING)
            return True
        return False

    async def _decide_late(self) -> None:
        """Look once more at records that had changed in the org a moment before they were read."""
        if not self._late:
            return
        await self._store.clock.sleep(LATE_SECONDS)
        await self._context.advance(0)
        late, self._late = self._late, {}
        for item in self._context.objects:
            await self._decide(item, late.get(item.sobject, []), may_wait=False)

    async def _is_late(self, item: ComparedObject, readings: Readings) -> bool:
        """Whether the event of a change may still be on its way to a process that listens."""
        record = readings.now
        if record is not None and record.stamped_at < record.read_at - RECENT:
            return False
        if self._is_listened is None:
            async with self._store.reader() as connection:
                held = await leases.list_held(connection, f"listen:{self._org_id}:", self._store.clock.now())
            self._is_listened = bool(held)
        return self._is_listened and len(self._late.get(item.sobject, ())) < READ_AGAIN

    async def _decide(self, item: ComparedObject, suspects: Sequence[Pair], *, may_wait: bool = True) -> None:
        """Read these records again, then our side, and decide each; `may_wait` until events have arrived."""
        if not suspects:
            return
        ids = [link.salesforce_id for link, _ in suspects]
        seen: Mapping[str, RemoteRecord | None] = {link.salesforce_id: record for link, record in suspects}
        if self._read_again.setdefault(item.sobject, 0) < MAX_READ_AGAIN:
            self._read_again[item.sobject] += len(ids)
            seen = await self._org.by_ids(item, ids)
        side = self._context.new_side()
        async with self._store.reader() as connection:
            found = await links.find(connection, self._org_id, ids)
            await side.load(connection, {link.owner for link in found.values()})
            names = [(link.entity, link.key) for link in found.values()]
            await side.load_details(connection, names, ids)
        for before, first in suspects:
            link = found.get(before.salesforce_id)
            if link is None or (link.entity, link.key) != (before.entity, before.key):
                # it was unlinked or linked anew meanwhile
                self.result.count(before.entity, RecordState.PENDING, before.key, "it was linked anew meanwhile")
                continue
            readings = Readings(before=first, now=seen.get(link.salesforce_id))
            decided = self._judge.decide(side, link, readings, item)
            if isinstance(decided, Finding) and may_wait and await self._is_late(item, readings):
                self._late.setdefault(item.sobject, []).append((link, readings.now))
            elif isinstance(decided, Finding):
                self._add(decided)
            elif decided is not None:
                self._count(side, link, decided)

    def _count(self, side: LocalSide, link: Link, state: RecordState) -> None:
        self.result.count(link.entity, state, link.key, side.why_open(link.owner, state))

    def _add(self, finding: Finding) -> None:
        """Add a finding. Parts that are gone with their owner are counted, but not listed."""
        if finding.state in _GONE and finding.key is not None:
            if owner_of(finding.entity, finding.key) in self._gone_owners:
                self.result.count(finding.entity, finding.state, finding.key)
                return
            if len(self._gone_owners) < MAX_READ_AGAIN:
                self._gone_owners.add((finding.entity, finding.key))
        self.result.add(finding)
