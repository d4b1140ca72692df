"""Computes what files would change if they were the active version, on real entities.

Each entity is mapped by both versions and compared with its links. Of very many, blocks that are spread evenly are
computed, and the numbers are projected; also if the time for it is over. What the org holds in a field that was never
read is asked: a call for each object, of at most 500 records.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connector.jobs.mappings.former_values import OpenOrg, OrgAsker, UnknownEffects
from connector.jobs.mappings.org_profiles import StoredOrg
from connector.jobs.mappings.plan_risk import judge
from connector.jobs.mappings.plan_sample import EffectSample
from connector.jobs.resync_request import CALL_SECONDS, ROWS_A_CALL
from connector.mapping import MappingSet
from connector.mapping.meaning import changed_kinds, compare_mappings
from connector.model.change import EntityKind
from connector.model.mapping_plan import (
    Direction,
    Effect,
    EntityCount,
    FieldCount,
    FormerValues,
    PlanCost,
    PlanNumbers,
    RecordEffect,
)
from connector.model.resync import ResyncFilter, ResyncMode, ResyncState
from connector.outbound.mapping_effects import EntityEffects, VersionEffects
from connector.outbound.org_profile import OrgProfile
from connector.outbound.repository import SyncRepository
from connector.settings import Settings
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import api_calls, resyncs
from connector.store.engine import Store
from connector.store.queries import resync_selection

MOST_EXAMINED = 1_000
"""Entities of a kind that are computed; of more, a sample."""
BLOCK = 100
"""Entities that follow each other in a sample."""
LOADED = 20
"""Entities that are loaded at a time; fewer, if those before had many lines."""
MOST_LINES = 200
"""Records that are computed until others have their turn."""
MOST_SECONDS = 20.0
"""How long a plan is computed; what was computed by then is projected."""
STRIDE = 3
"""Every third block first, so that what was computed when the time is over is spread."""
MOST_EFFECTS_OF_ONE = 8
_EFFECTS = (Effect.CREATED, Effect.LEFT_OUT, Effect.REFUSED)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequest:
    """`limit`: how many effects are listed. `orders`: orders to be computed and listed first."""

    limit: int = 20
    orders: Sequence[str] = ()


@dataclass(kw_only=True, slots=True)
class _Tally:
    """What was counted of one kind in one org."""

    org: str
    kind: EntityKind
    total: int
    examined: int = 0
    records: int = 0
    rewrites: int = 0
    unknown: int = 0
    entities: Counter[Effect] = field(default_factory=Counter)
    affected: list[str] = field(default_factory=list)

    def add(self, found: EntityEffects) -> None:
        self.examined += 1
        if found.is_affected:
            self.affected.append(found.key)
        self.records += found.records
        self.rewrites += found.rewrite
        for effect in _EFFECTS:
            self.entities[effect] += found.has(effect)
        self.entities[Effect.CHANGED] += found.has(Effect.CHANGED)

    @property
    def is_complete(self) -> bool:
        return 0 < self.examined >= self.total or not self.total

    def project(self, number: int) -> int:
        """The number for all of them, by those that were computed."""
        return round(number * self.total / self.examined) if self.examined else number

    def count(self) -> EntityCount:
        project = self.project
        return EntityCount(
            org=self.org,
            entity=self.kind.value,
            total=self.total,
            examined=self.examined,
            changed=project(self.entities[Effect.CHANGED]),
            created=project(self.entities[Effect.CREATED]),
            left_out=project(self.entities[Effect.LEFT_OUT]),
            refused=project(self.entities[Effect.REFUSED]),
            rewrites=project(self.rewrites),
            records=project(self.records),
            estimated=self.examined < self.total,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """The numbers of a plan, and by kind the keys of all entities that are affected, where all were computed."""

    numbers: PlanNumbers
    affected: Mapping[str, Sequence[str]]


class Planner:
    """Plans one pair of versions for the orgs that are known. `open_org` signs in to one; None: orgs are not asked."""

    def __init__(
        self, store: Store, settings: Settings, orgs: Sequence[StoredOrg], open_org: OpenOrg | None = None
    ) -> None:
        self._store = store
        self._settings = settings
        self._orgs = orgs
        self._asker = OrgAsker(open_org=open_org)
        self._former: list[FormerValues] = []
        self._fields: Counter[tuple[Direction, str, str, str | None]] = Counter()
        self._named: list[RecordEffect] = []
        self._sample = EffectSample(0)
        self._ends_at = store.clock.now()

    async def plan(self, before: MappingSet, after: MappingSet, request: PlanRequest) -> Planned:
        """The numbers. Without an org nothing is in one, so nothing would change."""
        changes = compare_mappings(before, after)
        kinds = changed_kinds(changes)
        self._sample = EffectSample(request.limit)
        seconds = MOST_SECONDS / max(len(self._orgs) * len(kinds), 1)
        tallies: list[_Tally] = []
        for org in self._orgs:
            versions = tuple(_fit(mappings, org.profile, self._settings) for mappings in (before, after))
            for kind in kinds:
                self._ends_at = self._store.clock.now() + timedelta(seconds=seconds)
                tally = await self._examine(org, kind, versions[0], versions[1], request)
                if tally is not None:
                    tallies.append(tally)
        counts = [tally.count() for tally in tallies]
        cost = await self._cost(tallies)
        under_way = await self._list_under_way(kinds)
        risk, reasons = judge(changes, counts, cost, self._former, self._asker.unread, under_way)
        fields = [
            FieldCount(direction=direction, sobject=sobject, field=name, count=count, source=source)
            for (direction, sobject, name, source), count in self._fields.most_common()
        ]
        numbers = PlanNumbers(
            entities=counts,
            fields=fields,
            effects=[*self._named, *self._sample.choose()][: max(request.limit, len(self._named))],
            cost=cost,
            risk=risk,
            reasons=reasons,
            warnings=[],
            former=self._former,
            reads=self._asker.reads,
            unread=self._asker.unread,
        )
        return Planned(numbers=numbers, affected=self._list_affected(tallies))

    def _list_affected(self, tallies: Sequence[_Tally]) -> dict[str, list[str]]:
        """By kind, if all entities of it were computed for every org of the settings."""
        if len(self._orgs) != len(self._settings.org_names):
            return {}
        kinds = {tally.kind for tally in tallies}
        partial = {tally.kind for tally in tallies if not tally.is_complete}
        return {
            kind.value: sorted({key for tally in tallies if tally.kind is kind for key in tally.affected})
            for kind in sorted(kinds - partial)
        }

    async def _examine(
        self, org: StoredOrg, kind: EntityKind, before: MappingSet, after: MappingSet, request: PlanRequest
    ) -> _Tally | None:
        if kind is EntityKind.RETURN:
            return await self._count_returns(org) if org is self._orgs[0] else None
        if before.of(kind) is None or after.of(kind) is None:
            return None
        several = len(self._settings.org_names) > 1
        chosen = ResyncFilter(org=org.name or DEFAULT_ORG) if several and kind is not EntityKind.PRODUCT else None
        chosen = chosen or ResyncFilter()
        async with org.store.reader() as connection:
            total = await resync_selection.count(connection, kind, chosen)
        tally = _Tally(org=org.name, kind=kind, total=total)
        effects = VersionEffects(before, after, org.profile)
        repositories = [SyncRepository(org.store, mappings, org_id=org.profile.org_id) for mappings in (before, after)]
        if kind is EntityKind.ORDER and request.orders:
            async for found in _compare(effects, repositories, kind, request.orders):
                self._named += found.effects[:MOST_EFFECTS_OF_ONE]
        unknown = UnknownEffects(org=org)
        async for found in _compare_blocks(effects, repositories, kind, _blocks(org.store, kind, chosen, total)):
            tally.unknown += bool(found.unknown)
            if not unknown.take(found):
                self._add(tally, found)
            if self._store.clock.now() >= self._ends_at:
                break
        for found in await unknown.resolve(self._asker):
            self._add(tally, found)
        self._former += unknown.list_values()
        return tally

    def _add(self, tally: _Tally, found: EntityEffects) -> None:
        tally.add(found)
        self._sample.add(found)
        for item in found.effects:
            if item.field:
                self._fields[item.direction, item.sobject, item.field, item.source] += 1

    async def _count_returns(self, org: StoredOrg) -> _Tally:
        """Returns are counted and not computed: applying the files makes all of them due, whatever their org."""
        async with self._store.reader() as connection:
            total = await resync_selection.count(connection, EntityKind.RETURN, ResyncFilter())
        return _Tally(org=org.name, kind=EntityKind.RETURN, total=total, records=total)

    async def _cost(self, tallies: Sequence[_Tally]) -> PlanCost:
        """A record of which a field was never read is read before it is written: a call for a batch of them."""
        calls, minutes, left = 0, 0.0, None
        for tally in tallies:
            count = tally.count()
            entities = count.changed + count.created if count.examined else count.total
            reads = -(-tally.project(tally.unknown) // ROWS_A_CALL)
            calls += reads
            if entities:
                streams = min(self._settings.sync.partitions, entities)
                own = -(-count.records // ROWS_A_CALL) + streams + count.rewrites
                calls += own
                rate = await self._measured_rate(EntityKind(count.entity))
                minutes += max(own * CALL_SECONDS, count.total / rate if rate else 0) / 60
        now = self._store.clock.now()
        for org in self._orgs:
            async with org.store.reader() as connection:
                policy = api_calls.policy_of(self._settings.budget)
                usage = await api_calls.usage(connection, org.profile.org_id, now, policy)
            if usage.left is not None:
                left = usage.left if left is None else min(left, usage.left)
        return PlanCost(calls=calls, calls_left=left, minutes=round(minutes, 1))

    async def _list_under_way(self, kinds: Collection[EntityKind]) -> list[str]:
        """The resyncs that send entities of these kinds and have not ended."""
        async with self._store.reader() as connection:
            found = await resyncs.list_page(connection, limit=50)
        return [
            item.run_name for item in found if item.entity in kinds and item.mode is ResyncMode.PUSH and not item.ended
        ]

    async def _measured_rate(self, kind: EntityKind) -> float | None:
        """Entities a second of the last resync of this kind that took a while; None if there was none."""
        async with self._store.reader() as connection:
            for item in await resyncs.list_page(connection, limit=50):
                if item.entity is kind and item.mode is ResyncMode.PUSH and item.state is ResyncState.DONE:
                    seconds = _seconds(item.started_at, item.ended_at)
                    if item.done >= BLOCK and seconds > 0:
                        return item.done / seconds
        return None


def _seconds(started: datetime | None, ended: datetime | None) -> float:
    return 0.0 if started is None or ended is None else (ended - started).total_seconds()


def _fit(mappings: MappingSet, profile: OrgProfile, settings: Settings) -> MappingSet:
    edited = mappings.with_returns(None).with_edited_lines(settings.inbound.changed_lines)
    return edited.with_persons(profile.person_type is not None)


async def _compare(
    effects: VersionEffects, repositories: Sequence[SyncRepository], kind: EntityKind, keys: Sequence[str]
) -> AsyncIterator[EntityEffects]:
    """The effects on each of these entities that is here."""
    old, new = repositories
    computed, start, size = 0, 0, min(LOADED, 5)
    while start < len(keys):
        loaded = await new.load_entities(kind, keys[start : start + size])
        start += size
        records = sum(1 + len(pending.line_links) for pending in loaded)
        size = max(1, min(LOADED, size * MOST_LINES // max(records, 1)))
        for pending in loaded:
            former = old.map_entity(pending, pending.link, tuple(pending.line_links.values()))
            yield effects.compare(former, pending)
            computed += 1 + len(pending.line_links)
            if computed >= MOST_LINES:
                computed = 0
                await asyncio.sleep(0)
        await asyncio.sleep(0)


async def _compare_blocks(
    effects: VersionEffects, repositories: Sequence[SyncRepository], kind: EntityKind, blocks: AsyncIterator[list[str]]
) -> AsyncIterator[EntityEffects]:
    async for keys in blocks:
        async for found in _compare(effects, repositories, kind, keys):
            yield found


async def _blocks(store: Store, kind: EntityKind, chosen: ResyncFilter, total: int) -> AsyncIterator[list[str]]:
    """Keys of all entities, or of blocks that are spread evenly; each block in byte order."""
    blocks = -(-min(total, MOST_EXAMINED) // BLOCK)
    for number in sorted(range(blocks), key=lambda number: number % STRIDE):
        offset = number * BLOCK if total <= MOST_EXAMINED else number * (total - BLOCK) // (blocks - 1)
        async with store.reader() as connection:
            yield await resync_selection.list_block(connection, kind, chosen, offset=offset, limit=BLOCK)
