"""The rounds of one push. Each round acquires the free partitions with due changes and drains them by a few streams;
rounds repeat until nothing is due, or other workers hold everything that is due.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from connector.mapping import MappingSet
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.outbound.drain import Drain
from connector.outbound.lease_keeper import PRODUCT_LEASE, LeaseKeeper, lease_name
from connector.outbound.mapping_version import ActiveMappingVersion
from connector.outbound.push_parts import ClaimTerms, OrgAccess, PushMonitor, StreamWork
from connector.outbound.repository import SyncRepository
from connector.store import leases, outbox_counts
from connector.store.engine import Connection, Store
from connector.store.outbox_counts import DueChanges
from connector.store.outbox_filters import Selection

ORDERS_PER_STREAM = 400
"""The least for which another stream, or another worker, is worth the calls: the last ones of each are not full."""

LONGEST_WAIT_FOR_DUE = timedelta(seconds=10)
"""A push waits for changes that become due within this time, such as one postponed because of a locked row."""

MAX_ROUNDS = 8
"""How many rounds of a push may settle nothing, or be spent on waiting."""
MAX_BUSY_ROUNDS = 1000
"""How many rounds may settle something. What becomes due during one goes with the next."""
POLL_SECONDS = 0.25
PATIENCE_SECONDS = 300.0
"""How long a push waits for other workers that make no progress, in seconds. A worker is alive as long as it renews its
leases (those of a dead worker expire soon), and one call may take some minutes."""

LONGEST_WAIT_SECONDS = 3600.0


class ProgressReporter(Protocol):
    """Receives the progress of a push."""

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def print_line(self, text: str) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkShare:
    """The share of the due changes that one push sends: the partitions that `worker` has leased, only `selection`, only
    while `mapping_version` is active, and only lanes down to `open_lane`, by the API budget. Without a worker,
    everything is sent once (a dry run). `partitions`: the number of partitions, which is the same for all pushes of a
    database."""

    partitions: int
    worker: LeaseKeeper | None = None
    mapping_version: ActiveMappingVersion | None = None
    selection: Selection | None = None
    open_lane: Callable[[], Lane | None] = lambda: Lane.BACKFILL


@dataclass(kw_only=True)
class PushRounds:
    """The rounds of one push. `others_at_work`: other workers still held changes at the end.

    `_last_progress` holds the due changes and the held leases when they were last seen to change, which shows whether
    other workers make progress.
    """

    store: Store
    org: OrgAccess
    mappings: MappingSet
    share: WorkShare
    reporter: ProgressReporter
    monitor: PushMonitor
    others_at_work: bool = field(default=False, init=False)
    _waiting_since: datetime | None = field(default=None, init=False)
    _last_progress_at: datetime = field(init=False)
    _last_progress: tuple[DueChanges, dict[str, int]] | None = field(default=None, init=False)

    async def run(self, *, patient: bool) -> None:
        """Run rounds until nothing is due or `health` stops them. `patient`: wait for other workers, and for changes
        that become due soon."""
        rounds = busy = 0
        while rounds < MAX_ROUNDS and busy < MAX_BUSY_ROUNDS:
            due = await self._find_due()
            if due.counts:
                self.monitor.health.begin_round()
                settled = self.monitor.stats.settled
                worked = await self._run_round(due)
                outdated = self.share.mapping_version is not None and self.share.mapping_version.outdated
                if self.monitor.health.close_round() is not None or self.share.worker is None or outdated:
                    return
                if worked:
                    if self.monitor.stats.settled > settled:
                        busy += 1
                    else:
                        rounds += 1
                    self._waiting_since = None
                elif not patient or not await self._wait_for_others():
                    self.others_at_work = True
                    return
            elif not patient or self.share.worker is None or not await _wait_until_due(self.store, self.share):
                return
            else:
                rounds += 1

    async def _run_round(self, due: DueChanges) -> bool:
        """Run one round; False if other workers hold all partitions with due changes."""
        self.reporter.expect(sum(sum(counts.values()) for counts in due.counts.values()))
        worked, is_probe = False, self.monitor.health.must_probe
        if due.counts.get(EntityKind.PRODUCT):
            if not await self._acquire([PRODUCT_LEASE]):
                return False
            await self._send_products(due)
            if self.monitor.health.stopped is not None or (is_probe and self.monitor.health.reached):
                return True
            worked, due = True, await self._find_due()
        work = Counter[int]()  # the largest number of one kind, because a claim is of one kind
        for kind in (EntityKind.ORDER, EntityKind.RETURN, EntityKind.CUSTOMER):
            for partition, count in due.counts.get(kind, {}).items():
                work[partition] = max(work[partition], count)
        partitions = [partition for partition, _ in work.most_common()]
        if self.share.worker is not None:
            largest = max((sum(counts.values()) for counts in due.counts.values()), default=0)
            names = [lease_name(partition) for partition in partitions]
            acquired = await self._acquire(names, worth=largest // ORDERS_PER_STREAM)
            partitions = [partition for partition in partitions if lease_name(partition) in acquired]
        if not partitions:
            return worked
        orders = Counter[EntityKind]()
        for kind in (EntityKind.ORDER, EntityKind.RETURN):
            orders[kind] = sum(
                count for partition, count in due.counts.get(kind, {}).items() if partition in partitions
            )
        await self._send_orders(partitions, max(orders.values()), due, len(work))
        return True

    async def _acquire(self, names: Sequence[str], *, worth: int = 1) -> list[str]:
        worker = self.share.worker
        return list(names) if worker is None else await worker.acquire(names, worth=worth)

    async def _send_products(self, due: DueChanges) -> None:
        drain = self._make_drain({0}, 1, [PRODUCT_LEASE], due)
        try:
            await drain.send_products()
        finally:
            if self.share.worker is not None:
                await self.share.worker.release([PRODUCT_LEASE])

    async def _send_orders(self, mine: Sequence[int], orders: int, due: DueChanges, work: int) -> None:
        """`mine`: the partitions with most to do first."""
        most = 1 if self.monitor.health.must_probe else len(mine)
        streams = max(1, min(most, orders // ORDERS_PER_STREAM))
        drains = []
        for number in range(streams):
            partitions = set(mine[number::streams])
            names = [lease_name(partition) for partition in partitions]
            drains.append(self._make_drain(partitions, self.share.partitions, names, due, work))
        try:
            async with asyncio.TaskGroup() as group:
                for drain in drains:
                    group.create_task(drain.send_orders())
        except ExceptionGroup as failed:  # Python 3.11.0 to 3.11.2 wrap what an `except*` raises
            raise failed.exceptions[0] from None
        finally:
            if self.share.worker is not None:
                await self.share.worker.release([lease_name(partition) for partition in mine])

    def _make_drain(
        self, partitions: set[int], partition_count: int, names: Sequence[str], due: DueChanges, work: int = 0
    ) -> Drain:
        """Make a stream that works under the leases of `names`. `work` is the number of partitions with due changes;
        between claims the stream releases partitions in excess of its share of these."""
        worker = self.share.worker
        held_leases = {} if worker is None else {name: worker.held_leases[name] for name in names}
        terms = ClaimTerms(
            held_leases=held_leases,
            leases_valid=None if worker is None else worker.leases_valid,
            before_claim=None
            if worker is None or not work
            else partial(worker.yield_surplus, partitions, held_leases, work),
            selection=self.share.selection,
            mapping_version=self.share.mapping_version,
            open_lane=self.share.open_lane,
        )
        repository = SyncRepository(self.store, self.mappings, org_id=self.org.profile.org_id, terms=terms)
        return Drain(
            repository=repository,
            org=self.org,
            work=StreamWork(partitions=partitions, partition_count=partition_count, due=due),
            monitor=self.monitor,
        )

    async def _wait_for_others(self) -> bool:
        """Wait until nothing is due, or a partition with due changes is free; False if the other workers make no
        progress."""
        disagreed = self.share.worker is not None and self.share.worker.partition_counts_differ
        if self._waiting_since is None:
            self.reporter.print_line(_PARTITIONS_DIFFER if disagreed else _WAITING_FOR_PUSH)
            self._waiting_since = self._last_progress_at = self.store.clock.now()
        end = self._waiting_since + timedelta(seconds=LONGEST_WAIT_SECONDS)
        patience = timedelta(seconds=PATIENCE_SECONDS)
        while (now := self.store.clock.now()) < min(end, self._last_progress_at + patience):
            await self.store.clock.sleep(POLL_SECONDS)
            due, held = progress = await self._read_progress()
            if progress != self._last_progress:
                self._last_progress, self._last_progress_at = progress, now
            free = [name for name in _leases_for(due) if name not in held]
            if not due.counts or not held or (free and not disagreed):
                return True
        return False

    async def _read_progress(self) -> tuple[DueChanges, dict[str, int]]:
        async with self.store.reader() as connection:
            now = self.store.clock.now()
            due = await self._read_due(connection, now)
            return due, await leases.list_held(connection, leases.PARTITION, now)

    async def _find_due(self) -> DueChanges:
        async with self.store.single_reader() as connection:
            return await self._read_due(connection, self.store.clock.now())

    async def _read_due(self, connection: Connection, now: datetime) -> DueChanges:
        share = self.share
        return await outbox_counts.due_by_partition(
            connection, now, share.partitions, share.selection, lowest=share.open_lane()
        )


_WAITING_FOR_PUSH = "Another push holds this database's work; waiting for it to finish, or for its leases to end."
_PARTITIONS_DIFFER = (
    "Another push divides this database's work into another number of partitions (CONNECTOR_SYNC__PARTITIONS);"
    " waiting for it to finish."
)


def _leases_for(due: DueChanges) -> list[str]:
    """Return the leases to acquire next: that of the products, which are sent first, else those of the partitions."""
    if due.counts.get(EntityKind.PRODUCT):
        return [PRODUCT_LEASE]
    return [lease_name(partition) for counts in due.counts.values() for partition in counts]


async def _wait_until_due(store: Store, share: WorkShare) -> bool:
    """Wait for the next change that becomes due soon; False if there is none."""
    async with store.single_reader() as connection:
        moment: datetime | None = await outbox_counts.next_due(
            connection, only=share.selection, lowest=share.open_lane()
        )
    if moment is None:
        return False
    wait = moment - store.clock.now()
    if wait > LONGEST_WAIT_FOR_DUE:
        return False
    await store.clock.sleep(max(0.0, wait.total_seconds()))
    return True
