"""Shares the partitions of a database among the workers that drain them, with one lease per partition.

A worker is one push, of a command or of a service. It acquires the free partitions that have something due, an equal
share of them if there are several workers, and gives one back between two claims when another worker waits. If much is
due, the services that are alive and have not begun yet count as workers: each takes its share when it wakes. A
background task renews its leases; those of a dead worker expire. The repository notices a lost lease inside the
transaction that would store an outcome.

There are three kinds of leases: `drain:N` for a partition, `worker:SEAT` for a worker at work, `wanted:SEAT` for a
worker that found no free partition. A seat is a process with its store; each push of it has an owner name of its own.
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

from connector.clock import Clock, stopped_within
from connector.errors import LeaseLostError, StoreError
from connector.store import leases
from connector.store.engine import Store
from connector.store.workers import list_alive

PRODUCT_LEASE = leases.PRODUCTS

WORKER = "worker:"
WANTED = "wanted:"


EXTRA_WAIT_SECONDS = 5.0
"""How long to wait for other workers beyond the duration of one lease."""

POLL_SECONDS = 0.25


WORKER_ROLE = "worker"
"""The role of a service that pushes."""


def lease_name(partition: int) -> str:
    return f"{leases.PARTITION}{partition}"


def process_of(seat: str) -> str:
    """The host and process ID of a seat or an owner."""
    return ":".join(seat.split(":")[:2])


def _seat_of(owner: str) -> str:
    return owner.rpartition(":")[0]


def _spread(names: Sequence[str], number: int) -> list[str]:
    """So many of `names`, evenly from the first to the last."""
    return [names[(2 * index + 1) * len(names) // (2 * number)] for index in range(number)]


def another_push_error() -> StoreError:
    return StoreError("Another push is at work on this database.", hint="Let it finish or stop it, then try again.")


class LeaseKeeper:
    """The leases of one push, from `async with` to its end.

    `held_leases` are terms by lease name: of the worker itself and of its partitions. `more_pushes_follow`: another
    push of this process will follow soon, so work may be reserved for it.
    """

    def __init__(
        self, store: Store, *, partitions: int, ttl: float, clock: Clock, more_pushes_follow: bool = False
    ) -> None:
        self.seat = f"{socket.gethostname()}:{os.getpid()}:{id(store):x}"
        self.owner = f"{self.seat}:{uuid4().hex[:8]}"  # no other push has this name
        self.held_leases: dict[str, int] = {}
        self.partition_counts_differ = False  # at the last acquire, workers with another partition count were at work
        self._store = store
        self._partitions = partitions
        self._ttl = ttl
        self._clock = clock
        self._more_pushes_follow = more_pushes_follow
        self._valid_until = clock.now()
        self._lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._acquire([f"{WORKER}{self.seat}"])
        self._renewing = asyncio.create_task(self._renew_until_stopped())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._renewing is not None:
            await self._renewing
        async with self._lock:
            partitions = self._held_partitions()
            if partitions:
                await leases.release_all(self._store, self.owner, partitions)
            done = {name for name in self.held_leases if not self._more_pushes_follow or name.startswith(WORKER)}
            async with self._store.transaction() as uow:
                await leases.delete_leases(uow, done - partitions.keys(), (WORKER, WANTED))
            self.held_leases.clear()

    async def acquire(self, names: Sequence[str], *, worth: int = 1) -> list[str]:
        """Acquire those of `names` that are free, up to our share, and return the ones that are now ours.

        `names`: those with most to do first; our share has some of each size. `worth`: for how many workers there is
        enough to do; so many are reckoned with, if they are alive. If none is free, other workers learn that this one
        wants some.
        """
        async with self._store.reader() as connection:
            now = self._clock.now()
            owners = await leases.list_owners(connection, (leases.PARTITION, WORKER, WANTED), now)
            alive = await list_alive(connection, WORKER_ROLE, now) if worth > 1 else set()
        free = [name for name in names if name not in owners]
        holders = {_seat_of(owner) for name, owner in owners.items() if name.startswith(leases.PARTITION)}
        at_work, _ = self._population(owners)
        idle = alive - {process_of(seat) for seat in at_work}
        workers = len(at_work) + min(len(idle), max(0, worth - len(at_work)))
        # Those that hold some already take no more of what is free now.
        without = max(1, workers - len(holders - {self.seat}))
        share = min(-(-len(names) // workers), -(-len(free) // without))
        chosen = _spread(free, share)
        acquired = await self._acquire(chosen) if chosen else []
        if not acquired and (rest := [name for name in free if name not in chosen]):  # another one chose the same ones
            acquired = await self._acquire(_spread(rest, min(share, len(rest))))
        if names and not acquired and f"{WANTED}{self.seat}" not in self.held_leases:
            await self._acquire([f"{WANTED}{self.seat}"])
        return acquired

    async def acquire_all(self, names: Collection[str]) -> None:
        """Acquire all of `names`, waiting for other workers. Raises StoreError if one of them stays at work for longer
        than a lease lasts."""
        for _ in range(int((self._ttl + EXTRA_WAIT_SECONDS) / POLL_SECONDS) + 1):
            await self.acquire([name for name in names if name not in self.held_leases])
            if all(name in self.held_leases for name in names):
                return
            await self._clock.sleep(POLL_SECONDS)
        raise another_push_error()

    async def release(self, names: Collection[str]) -> None:
        """Give these of our partitions back."""
        async with self._lock:
            mine = {name: term for name, term in self.held_leases.items() if name in names}
            for name in mine:
                del self.held_leases[name]
            if mine:
                await leases.release_all(self._store, self.owner, mine)

    async def yield_surplus(self, partitions: MutableSet[int], held_leases: dict[str, int], work: int) -> None:
        """Give back some of a stream's `partitions` if we hold more than our share of `work` partitions and another
        worker waits.

        The stream has no call in flight. `held_leases` are those of the stream.
        """
        if len(self._held_partitions()) <= 1:
            return
        async with self._store.single_reader() as connection:
            held = await leases.list_held(connection, (WORKER, WANTED), self._clock.now())
        workers, waiting = self._population(held)
        share = -(-work // len(workers))
        while waiting and partitions and len(self._held_partitions()) > share:
            partition = max(partitions)
            partitions.remove(partition)
            held_leases.pop(lease_name(partition), None)
            await self.release([lease_name(partition)])

    async def leases_valid(self) -> bool:
        """Whether no other worker can have taken one of our leases. After their expiry the table is checked."""
        return self._clock.now() < self._valid_until or await self.renew()

    async def renew(self) -> bool:
        """Renew all leases for another `ttl` seconds; False if one is lost."""
        async with self._lock:
            requested_at = self._clock.now()
            renewed = await leases.renew(self._store, self.owner, self.held_leases, self._ttl)
            if renewed:
                self._valid_until = requested_at + timedelta(seconds=self._ttl)
            return renewed

    def _held_partitions(self) -> Mapping[str, int]:
        """The partitions that we hold."""
        return {name: term for name, term in self.held_leases.items() if name.startswith(leases.PARTITION)}

    def _population(self, held: Collection[str]) -> tuple[set[str], bool]:
        """The seats of the workers that are at work or wait for some, and whether another one waits. `held`: the names
        of the held leases."""
        at_work = {name.removeprefix(WORKER) for name in held if name.startswith(WORKER)}
        waiting = {name.removeprefix(WANTED) for name in held if name.startswith(WANTED)}
        return {self.seat, *at_work, *waiting}, bool(waiting - {self.seat})

    async def _acquire(self, names: Collection[str]) -> list[str]:
        async with self._lock:
            requested_at = self._clock.now()
            async with self._store.transaction() as uow:
                if any(name.startswith(leases.PARTITION) for name in names):
                    self.partition_counts_differ = not await leases.agree_on_partitions(uow, self._partitions)
                    if self.partition_counts_differ:
                        return []
                acquired = await leases.acquire_many(uow, names, self.owner, self._ttl)
            if not self.held_leases:
                self._valid_until = requested_at + timedelta(seconds=self._ttl)
            self.held_leases |= acquired
            return [name for name in names if name in acquired]

    async def _renew_until_stopped(self) -> None:
        while not await stopped_within(self._clock, self._ttl / 3, self._stopping):
            with suppress(StoreError):  # tried again in a while; the next recorded outcome notices a lost lease
                await self.renew()


def lease_lost(name: str) -> LeaseLostError:
    return LeaseLostError(
        f"Another process took over {name} while this one was draining it.",
        hint="Nothing is lost: the other process continues where this one stopped.",
    )
