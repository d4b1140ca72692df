"""Shares the partitions of a database out over the workers that drain them: one lease each.

A worker is one push, of a command or of a service. It takes the partitions that are free and have something due, an
equal part of them if there are several workers, and gives one back between two claims when another worker waits for
work. Its leases are prolonged in the background; those of a worker that died end by themselves. Losing one is found out
by the ledger, which asks within the transaction that would store an outcome.

Three kinds of leases: `drain:N` of a partition, `worker:SEAT` of who is at work, `wanted:SEAT` of who found nothing
free. A seat is a process (and its store); its pushes have owner names of their own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection, Mapping, MutableSet, Sequence
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Self
from uuid import uuid4

from connector.clock import Clock
from connector.errors import StoreError
from connector.store import leases
from connector.store.engine import Store

CATALOG = f"{leases.PARTITION}catalog"
"""Of the products with their prices, which one worker at a time sends."""

WORKER = "worker:"
WANTED = "wanted:"


PATIENCE = 5.0
"""Seconds beyond one lease time to wait for others that are at work."""

POLL = 0.25


def lease_of(partition: int) -> str:
    return f"{leases.PARTITION}{partition}"


def at_work() -> StoreError:
    return StoreError("Another push is at work on this database.", hint="Let it finish or stop it, then try again.")


class LeaseKeeper:
    """One push at work on a database that is shared out over `partitions`, from `async with` to its end.

    `terms` are those of its leases by name: of itself, and of the partitions it holds. `returns`: another push of the
    same process will follow soon, so that work may be kept for it.
    """

    def __init__(self, store: Store, *, partitions: int, ttl: float, clock: Clock, returns: bool = False) -> None:
        self.seat = f"{socket.gethostname()}:{os.getpid()}:{id(store):x}"
        self.me = f"{self.seat}:{uuid4().hex[:8]}"  # a name that no other push has
        self.terms: dict[str, int] = {}
        self.disagreed = False  # workers with another number of partitions were at work when we asked last
        self._store = store
        self._partitions = partitions
        self._ttl = ttl
        self._clock = clock
        self._returns = returns
        self._until = clock.now()
        self._of_leases = asyncio.Lock()
        self._over = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._take([f"{WORKER}{self.seat}"])
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._renewing is not None:
            await self._renewing
        async with self._of_leases:
            partitions = self._mine()
            if partitions:
                await leases.release_all(self._store, self.me, partitions)
            done = {name for name in self.terms if not self._returns or name.startswith(WORKER)}
            async with self._store.transaction() as uow:
                await leases.forget(uow, done - partitions.keys(), (WORKER, WANTED))
            self.terms.clear()

    async def take(self, names: Sequence[str]) -> list[str]:
        """Take those of `names` that are free, the first ones if they are more than our share; those that are ours.

        If none is, others learn that we want some."""
        async with self._store.reader() as connection:
            free = await leases.free(connection, names, self._clock.now())
        workers, _ = await self._population()
        share = -(-len(names) // workers)
        taken = await self._take(free[:share]) if free else []
        if names and not taken and f"{WANTED}{self.seat}" not in self.terms:
            await self._take([f"{WANTED}{self.seat}"])
        return taken

    async def take_all(self, names: Collection[str]) -> None:
        """Take all of `names`, waiting for others that are at work; StoreError if somebody stays at it for longer than
        a lease lasts."""
        for _ in range(int((self._ttl + PATIENCE) / POLL) + 1):
            await self.take([name for name in names if name not in self.terms])
            if all(name in self.terms for name in names):
                return
            await self._clock.sleep(POLL)
        raise at_work()

    async def give_back(self, names: Collection[str]) -> None:
        """Let others have these of our partitions."""
        async with self._of_leases:
            mine = {name: term for name, term in self.terms.items() if name in names}
            for name in mine:
                del self.terms[name]
            if mine:
                await leases.release_all(self._store, self.me, mine)

    async def yield_surplus(self, partitions: MutableSet[int], terms: dict[str, int], work: int) -> None:
        """Give back some of a stream's `partitions`, with their `terms`, if we hold more than our share of `work`
        partitions and another worker waits. The stream has no call in flight."""
        workers, waiting = await self._population()
        share = -(-work // workers)
        while waiting and partitions and len(self._mine()) > share:
            partition = max(partitions)
            partitions.remove(partition)
            terms.pop(lease_of(partition), None)
            await self.give_back([lease_of(partition)])

    async def ours(self) -> bool:
        """Whether nobody else can have taken one of our leases. If their time has run out, the table is asked."""
        return self._clock.now() < self._until or await self.prolong()

    async def prolong(self) -> bool:
        """Keep them all for another lease time; False if one is lost."""
        async with self._of_leases:
            asked = self._clock.now()
            renewed = await leases.renew(self._store, self.me, self.terms, self._ttl)
            if renewed:
                self._until = asked + timedelta(seconds=self._ttl)
            return renewed

    def _mine(self) -> Mapping[str, int]:
        """The partitions we hold."""
        return {name: term for name, term in self.terms.items() if name.startswith(leases.PARTITION)}

    async def _population(self) -> tuple[int, bool]:
        """How many workers there are, and whether another one waits for work."""
        async with self._store.reader() as connection:
            now = self._clock.now()
            at_work = await leases.current(connection, WORKER, now)
            wanting = await leases.current(connection, WANTED, now)
        waiting = {name.removeprefix(WANTED) for name in wanting} - {self.seat}
        return len({self.seat, *waiting, *(name.removeprefix(WORKER) for name in at_work)}), bool(waiting)

    async def _take(self, names: Collection[str]) -> list[str]:
        async with self._of_leases:
            asked = self._clock.now()
            async with self._store.transaction() as uow:
                if any(name.startswith(leases.PARTITION) for name in names):
                    self.disagreed = not await leases.agree_on_partitions(uow, self._partitions)
                    if self.disagreed:
                        return []
                taken = await leases.take(uow, names, self.me, self._ttl)
            if not self.terms:
                self._until = asked + timedelta(seconds=self._ttl)
            self.terms |= taken
            return [name for name in names if name in taken]

    async def _renew(self) -> None:
        """Until the end. Only its sleep is ever canceled: a statement cut short would leave its connection with a
        lock."""
        while True:
            pauses = [asyncio.ensure_future(self._clock.sleep(self._ttl / 3)), asyncio.create_task(self._over.wait())]
            await asyncio.wait(pauses, return_when=asyncio.FIRST_COMPLETED)
            for pause in pauses:
                pause.cancel()
            await asyncio.gather(*pauses, return_exceptions=True)
            if self._over.is_set():
                return
            with suppress(StoreError):  # asked again in a while; whoever records an outcome finds out if it is lost
                await self.prolong()
