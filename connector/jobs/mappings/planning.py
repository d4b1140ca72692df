"""Computes what files would change if they were the active version: on real entities, without a call to an org.

Each entity is mapped by both versions and compared with its links. Of very many, blocks that are spread evenly are
computed, and the numbers are projected.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connector.jobs.mappings.org_profiles import StoredOrg
from connector.jobs.resync_request import CALL_SECONDS, ROWS_A_CALL
from connector.mapping import MappingSet
from connector.mapping.meaning import ChangeKind, MappingChange, changed_kinds, compare_mappings
from connector.model.change import EntityKind
from connector.model.mapping_plan import (
    Direction,
    Effect,
    EntityCount,
    FieldCount,
    PlanCost,
    PlanNumbers,
    RecordEffect,
    Risk,
)
from connector.model.resync import ResyncFilter, ResyncMode, ResyncState
from connector.outbound.mapping_effects import EntityEffects, VersionEffects
from connector.outbound.org_profile import OrgProfile
from connector.outbound.repository import SyncRepository
from connector.policies import DEFAULT_ORG
from connector.settings import Settings
from connector.store import api_calls, resyncs
from connector.store.engine import Store
from connector.store.queries import resync_selection

MOST_EXAMINED = 1_000
"""Entities of a kind that are computed; of more, a sample."""
BLOCK = 100
"""Entities that are computed at a time: others have their turn between two blocks."""
MOST_EFFECTS_OF_ONE = 8
MANY_PERCENT = 50
SOME_PERCENT = 10
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
    entities: Counter[Effect] = field(default_factory=Counter)

    def add(self, found: EntityEffects) -> None:
        self.examined += 1
        self.records += found.records
        self.rewrites += found.rewrite
        for effect in _EFFECTS:
            self.entities[effect] += found.has(effect)
        self.entities[Effect.CHANGED] += found.has(Effect.CHANGED)

    def count(self) -> EntityCount:
        def project(number: int) -> int:
            return round(number * self.total / self.examined) if self.examined else number

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


class Planner:
    """Plans one pair of versions for the orgs that are known."""

    def __init__(self, store: Store, settings: Settings, orgs: Sequence[StoredOrg]) -> None:
        self._store = store
        self._settings = settings
        self._orgs = orgs
        self._fields: Counter[tuple[Direction, str, str, str | None]] = Counter()
        self._named: list[RecordEffect] = []
        self._sample: list[RecordEffect] = []

    async def plan(self, before: MappingSet, after: MappingSet, request: PlanRequest) -> PlanNumbers:
        """The numbers. Without an org nothing is in one, so nothing would change."""
        changes = compare_mappings(before, after)
        kinds = changed_kinds(changes)
        counts: list[EntityCount] = []
        for org in self._orgs:
            versions = tuple(_fit(mappings, org.profile, self._settings) for mappings in (before, after))
            for kind in kinds:
                tally = await self._examine(org, kind, versions[0], versions[1], request)
                if tally is not None:
                    counts.append(tally.count())
        cost = await self._cost(counts)
        risk, reasons = judge(changes, counts, cost)
        fields = [
            FieldCount(direction=direction, sobject=sobject, field=name, count=count, source=source)
            for (direction, sobject, name, source), count in self._fields.most_common()
        ]
        return PlanNumbers(
            entities=counts,
            fields=fields,
            effects=[*self._named, *self._sample][: max(request.limit, len(self._named))],
            cost=cost,
            risk=risk,
            reasons=reasons,
            warnings=[],
        )

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
                self._note(found, self._named, len(self._named) + MOST_EFFECTS_OF_ONE)
        async for keys in _blocks(org.store, kind, chosen, total):
            async for found in _compare(effects, repositories, kind, keys):
                tally.add(found)
                self._count(found)
                self._note(found, self._sample, request.limit)
            await asyncio.sleep(0)
        return tally

    async def _count_returns(self, org: StoredOrg) -> _Tally:
        """Returns are counted and not computed: applying the files makes all of them due, whatever their org."""
        async with self._store.reader() as connection:
            total = await resync_selection.count(connection, EntityKind.RETURN, ResyncFilter())
        return _Tally(org=org.name, kind=EntityKind.RETURN, total=total, records=total)

    def _count(self, found: EntityEffects) -> None:
        for item in found.effects:
            if item.field:
                self._fields[item.direction, item.sobject, item.field, item.source] += 1

    def _note(self, found: EntityEffects, listed: list[RecordEffect], limit: int) -> None:
        room = min(limit - len(listed), MOST_EFFECTS_OF_ONE)
        if room > 0:
            listed += found.effects[:room]

    async def _cost(self, counts: Sequence[EntityCount]) -> PlanCost:
        calls, minutes, left = 0, 0.0, None
        for count in counts:
            entities = count.changed + count.created if count.examined else count.total
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
    for pending in await new.load_entities(kind, keys):
        former = old.map_entity(pending, pending.link, tuple(pending.line_links.values()))
        yield effects.compare(former, pending)


async def _blocks(store: Store, kind: EntityKind, chosen: ResyncFilter, total: int) -> AsyncIterator[list[str]]:
    """Keys of all entities, or of blocks that are spread evenly, in byte order."""
    blocks = -(-min(total, MOST_EXAMINED) // BLOCK)
    for number in range(blocks):
        offset = number * BLOCK if total <= MOST_EXAMINED else number * (total - BLOCK) // (blocks - 1)
        async with store.reader() as connection:
            yield await resync_selection.list_block(connection, kind, chosen, offset=offset, limit=BLOCK)


def judge(changes: Sequence[MappingChange], counts: Sequence[EntityCount], cost: PlanCost) -> tuple[Risk, list[str]]:
    """How risky the change is, and why, the weightiest reason first."""
    found: list[tuple[Risk, str]] = []
    for change in changes:
        place = f"{change.sobject}.{change.field}" if change.field else change.sobject
        if change.kind in {ChangeKind.KEY, ChangeKind.OBJECT}:
            what = f"{change.before} becomes {change.after}" if change.before else f"a part is {change.after}"
            found.append((Risk.HIGH, f"{place}: {what}, by which records are found."))
        elif change.kind is ChangeKind.OWNER:
            found.append((Risk.HIGH, f"{place}: the owner changes from {change.before} to {change.after}."))
        elif change.kind is ChangeKind.REMOVED:
            found.append((Risk.MEDIUM, f"{place} is no longer mapped: it keeps the value that the org has."))
        elif change.kind is ChangeKind.WHEN:
            found.append((Risk.MEDIUM, f"{place}: `when` selects other entities."))
        elif change.kind is ChangeKind.FILE:
            found.append((Risk.MEDIUM, f"{change.source} is {change.after}."))
    for count in counts:
        found += _judge_count(count)
    if cost.calls_left is not None and cost.calls > cost.calls_left:
        left = f"about {cost.calls:,} API calls are needed, and {max(cost.calls_left, 0):,} are left of today's budget"
        found.append((Risk.HIGH, f"It takes longer than a day: {left}."))
    ranks = list(Risk)
    found.sort(key=lambda item: -ranks.index(item[0]))
    reasons = list(dict.fromkeys(text for _, text in found))
    if found:
        return found[0][0], reasons
    return (Risk.LOW if changes else Risk.NONE), reasons


def _judge_count(count: EntityCount) -> list[tuple[Risk, str]]:
    found = []
    if count.total and not count.examined:
        what = f"every {count.entity} is sent again where it differs, {count.total:,} in all"
        return [(Risk.MEDIUM, f"{what}: what changes in them is not computed.")]
    about = "about " if count.estimated else ""
    noun = f"{count.entity}s"
    if count.refused:
        found.append((Risk.HIGH, f"{about}{count.refused:,} {noun} would be refused, which are accepted now."))
    share = 100 * count.changed / count.total if count.total else 0
    if share >= SOME_PERCENT:
        risk = Risk.HIGH if share > MANY_PERCENT else Risk.MEDIUM
        found.append((risk, f"{about}{count.changed:,} of {count.total:,} {noun} change ({share:.0f} %)."))
    if count.rewrites:
        found.append((Risk.MEDIUM, f"{about}{count.rewrites:,} activated orders are reopened for a frozen field."))
    if count.created:
        found.append((Risk.MEDIUM, f"{about}{count.created:,} {noun} are created in the org."))
    if count.left_out:
        found.append((Risk.MEDIUM, f"{about}{count.left_out:,} {noun} are no longer synced."))
    return found
