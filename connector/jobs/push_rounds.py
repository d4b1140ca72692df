"""The rounds of one push: take the partitions that are free and due, drain them as few streams, again until nothing is
due that nobody else is at work on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from connector.clock import Clock
from connector.mapping import MappingSet
from connector.model.change import EntityKind
from connector.outbound.drain import Drain
from connector.outbound.health import OrgHealth
from connector.outbound.lease_keeper import CATALOG, LeaseKeeper, lease_of
from connector.outbound.mapping_version import MappingInForce
from connector.outbound.org_profile import OrgProfile
from connector.outbound.repository import SyncRepository
from connector.outbound.return_strategy import ReturnForm
from connector.outbound.stats import SyncStats
from connector.salesforce.client import SalesforceClient
from connector.store import leases, outbox
from connector.store.engine import Store

ORDERS_PER_STREAM = 300
WORTH_WAITING = timedelta(seconds=10)
"""A change that falls due within this time is waited for: a locked row, a second's pause of the org."""

ROUNDS = 8
POLL = 0.25
PATIENCE = 300.0
"""Seconds in which other workers, who hold all that is due, get nothing done. They are alive as long as they prolong
their leases (those of a dead one are free soon), and one call may take some minutes."""

LONGEST_WAIT = 3600.0

Due = dict[EntityKind, dict[int, int]]
"""How many changes are due, by entity and partition."""


class ProgressReporter(Protocol):
    """Who is told how it goes."""

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def say(self, text: str) -> None: ...


@dataclass(kw_only=True)
class Rounds:
    """Without a `worker` everything is ours, once (a dry run). `only`: the changes that are meant, if not all.
    `elsewhere`: others were still at work at the end.

    What others got done last is what was due, and who held what, when that was last seen to change.
    """

    store: Store
    client: SalesforceClient
    org: Any
    mappings: MappingSet
    facts: OrgProfile
    worker: LeaseKeeper | None
    version: MappingInForce | None
    partitions: int
    clock: Clock
    watcher: ProgressReporter
    tally: SyncStats
    health: OrgHealth
    form: ReturnForm | None
    only: outbox.Selection | None = None
    elsewhere: bool = field(default=False, init=False)
    _waiting_since: datetime | None = field(default=None, init=False)
    _last: datetime = field(init=False)
    _seen: tuple[Due, dict[str, int]] | None = field(default=None, init=False)

    async def run(self, *, patient: bool) -> None:
        """Until `health` stops them. `patient`: wait for other workers, and for what is due soon."""
        rounds = 0
        while rounds < ROUNDS:
            due = await self._due()
            if due:
                self.health.begin_round()
                worked = await self._once(due)
                outdated = self.version is not None and self.version.outdated
                if self.health.close() is not None or self.worker is None or outdated:
                    return
                if worked:
                    rounds += 1
                    self._waiting_since = None
                elif not patient or not await self._others():
                    self.elsewhere = True
                    return
            elif not patient or self.worker is None or not await _soon(self.store, self.clock, self.only):
                return
            else:
                rounds += 1

    async def _once(self, due: Due) -> bool:
        """Whether anything was free."""
        self.watcher.expect(sum(sum(counts.values()) for counts in due.values()))
        worked = False
        if due.get(EntityKind.PRODUCT):
            if not await self._take([CATALOG]):
                return False
            await self._products()
            if self.health.stopped is not None:
                return True
            worked, due = True, await self._due()
        work = Counter[int]()  # of the kind of which there is most: a claim is of one kind
        for kind in (EntityKind.ORDER, EntityKind.RETURN, EntityKind.CUSTOMER):
            for partition, count in due.get(kind, {}).items():
                work[partition] = max(work[partition], count)
        mine = [partition for partition, _ in work.most_common()]
        if self.worker is not None:
            taken = await self._take([lease_of(partition) for partition in mine])
            mine = [partition for partition in mine if lease_of(partition) in taken]
        if not mine:
            return worked
        orders = Counter[EntityKind]()
        for kind in (EntityKind.ORDER, EntityKind.RETURN):
            orders[kind] = sum(count for partition, count in due.get(kind, {}).items() if partition in mine)
        await self._streams(mine, max(orders.values()), len(work))
        return True

    async def _take(self, names: Sequence[str]) -> list[str]:
        return list(names) if self.worker is None else await self.worker.take(names)

    async def _products(self) -> None:
        drain = self._drain({0}, 1, [CATALOG])
        try:
            await drain.products()
        finally:
            if self.worker is not None:
                await self.worker.give_back([CATALOG])

    async def _streams(self, mine: Sequence[int], orders: int, work: int) -> None:
        streams = max(1, min(len(mine), -(-orders // ORDERS_PER_STREAM)))
        drains = []
        for number in range(streams):
            partitions = set(sorted(mine)[number::streams])
            names = [lease_of(partition) for partition in partitions]
            drains.append(self._drain(partitions, self.partitions, names, work))
        try:
            async with asyncio.TaskGroup() as group:
                for drain in drains:
                    group.create_task(drain.orders())
        except* Exception as failed:
            raise failed.exceptions[0] from None
        finally:
            if self.worker is not None:
                await self.worker.give_back([lease_of(partition) for partition in mine])

    def _drain(self, partitions: set[int], of: int, names: Sequence[str], work: int = 0) -> Drain:
        """A stream under the leases of `names`; of `work` partitions that are shared out it gives some back between two
        claims."""
        worker = self.worker
        terms = {} if worker is None else {name: worker.terms[name] for name in names}
        ledger = SyncRepository(
            self.store,
            self.mappings,
            org_id=self.facts.org_id,
            terms=terms,
            clock=self.clock,
            ours=None if worker is None else worker.ours,
            version=self.version,
            between=None if worker is None or not work else partial(worker.yield_surplus, partitions, terms, work),
            only=self.only,
        )
        return Drain(
            ledger=ledger,
            org=self.org,
            reader=self.client,
            facts=self.facts,
            source=self.mappings.source,
            partitions=partitions,
            of=of,
            tally=self.tally,
            advance=self.watcher.advance,
            health=self.health,
            form=self.form,
        )

    async def _others(self) -> bool:
        """Wait until nothing is due, or some of it is free; False if others hold all of it and get nothing done."""
        disagreed = self.worker is not None and self.worker.disagreed
        if self._waiting_since is None:
            self.watcher.say(_DISAGREED if disagreed else _HELD)
            self._waiting_since = self._last = self.clock.now()
        end = self._waiting_since + timedelta(seconds=LONGEST_WAIT)
        patience = timedelta(seconds=PATIENCE)
        while (now := self.clock.now()) < min(end, self._last + patience):
            await self.clock.sleep(POLL)
            due, held = progress = await self._progress()
            if progress != self._seen:
                self._seen, self._last = progress, now
            free = [name for name in _leases_of(due) if name not in held]
            if not due or not held or (free and not disagreed):
                return True
        return False

    async def _progress(self) -> tuple[Due, dict[str, int]]:
        async with self.store.reader() as connection:
            now = self.clock.now()
            due = await outbox.due_by_partition(connection, now, self.partitions, self.only)
            return due, await leases.current(connection, leases.PARTITION, now)

    async def _due(self) -> Due:
        async with self.store.reader() as connection:
            return await outbox.due_by_partition(connection, self.clock.now(), self.partitions, self.only)


_HELD = "Another push holds this database's work; waiting for it to finish, or for its leases to end."
_DISAGREED = (
    "Another push shares this database's work out over another number of partitions (CONNECTOR_SYNC__PARTITIONS);"
    " waiting for it to finish."
)


def _leases_of(due: Due) -> list[str]:
    """What a worker would take first: the products go before everything else."""
    if due.get(EntityKind.PRODUCT):
        return [CATALOG]
    return [lease_of(partition) for counts in due.values() for partition in counts]


async def _soon(store: Store, clock: Clock, only: outbox.Selection | None) -> bool:
    """Wait for what falls due within moments; False if there is nothing worth waiting for."""
    async with store.reader() as connection:
        moment: datetime | None = await outbox.next_due(connection, only=only)
    if moment is None:
        return False
    wait = moment - clock.now()
    if wait > WORTH_WAITING:
        return False
    await clock.sleep(max(0.0, wait.total_seconds()))
    return True
