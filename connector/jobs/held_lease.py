"""Leases that a job of this process holds while it works: acquired, renewed, checked in transactions, released.

The term of a lease tells a holder that was frozen, and has lost it, from the present one. So what a job stores is
stored in a transaction that checks or renews its lease.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from connector.clock import stopped_within
from connector.errors import LeaseLostError, StoreError
from connector.store import leases
from connector.store.engine import Store
from connector.store.scope import DEFAULT
from connector.store.unit_of_work import UnitOfWork


def lease_owner() -> str:
    """A name that no other holder of leases has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseHolder:
    """One job of one process, which acquires leases for `ttl` seconds. `hint`: what a user is told when one is lost."""

    store: Store
    ttl: float
    hint: str = "Nothing is lost: it continues where this one stopped."
    owner: str = field(default_factory=lease_owner)

    @asynccontextmanager
    async def holding(self, name: str, what: str) -> AsyncIterator[HeldLease | None]:
        """Hold a lease in this block; None if another process holds it. `what` its holder does: `publishes events`."""
        now = self.store.clock.now()
        term = await leases.acquire(self.store, name, self.owner, self.ttl)
        if term is None:
            yield None
            return
        try:
            yield HeldLease(self, name, term, what=what, now=now)
        finally:
            with suppress(StoreError):
                await leases.release(self.store, name, self.owner, term)

    async def acquire(self, uow: UnitOfWork, wanted: Mapping[str, str]) -> dict[str, HeldLease]:
        """Acquire those of these leases that are free, in a transaction; `wanted` says what the holder of each does.
        The caller releases them."""
        terms = await leases.acquire_many(uow, list(wanted), self.owner, self.ttl)
        return {name: HeldLease(self, name, term, what=wanted[name], now=uow.now) for name, term in terms.items()}

    @asynccontextmanager
    async def keeping(self, held: Collection[HeldLease]) -> AsyncIterator[None]:
        """Renew these leases while the block waits for the org. If one is lost, the next transaction that checks it
        says so."""
        stop = asyncio.Event()

        async def keep() -> None:
            while not await stopped_within(self.store.clock, self.ttl / 3, stop):
                with suppress(StoreError, LeaseLostError):
                    async with self.store.transaction() as uow:
                        for lease in held:
                            await lease.renew(uow)

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            stop.set()
            await keeping

    async def release(self, held: Collection[HeldLease]) -> None:
        """Let others have these leases at once."""
        if held:
            await leases.release_all(self.store, self.owner, {lease.name: lease.term for lease in held})


class HeldLease:
    """The right to do `what`, for example `listens to /event/Order_Action__e`."""

    def __init__(self, holder: LeaseHolder, name: str, term: int, *, what: str, now: datetime) -> None:
        self.name = name
        self.term = term
        self._holder = holder
        self._what = what
        self._renewed_at = now

    @property
    def _org(self) -> str:
        """Whose lease it is. The transaction may be one of all orgs, such as those of orders."""
        return self._holder.store.org or DEFAULT

    async def check(self, uow: UnitOfWork) -> None:
        """Raise LeaseLostError unless the lease is still ours; then it stays so until this transaction ends."""
        if not await leases.is_held(uow, self.name, self.term, org=self._org):
            raise self._lost()

    async def renew(self, uow: UnitOfWork) -> None:
        """Renew the lease in a transaction. Raises LeaseLostError when another process has had it."""
        holder = self._holder
        terms = await leases.acquire_many(uow, [self.name], holder.owner, holder.ttl, org=self._org)
        if terms.get(self.name) != self.term:
            raise self._lost()
        self._renewed_at = uow.now

    async def renew_in_time(self) -> None:
        """Renew the lease if a third of its time is over."""
        store = self._holder.store
        if store.clock.now() - self._renewed_at >= timedelta(seconds=self._holder.ttl / 3):
            async with store.transaction() as uow:
                await self.renew(uow)

    async def keep(self) -> None:
        """Renew the lease until canceled. Raises LeaseLostError when another process has it."""
        while True:
            await self._holder.store.clock.sleep(self._holder.ttl / 3)
            async with self._holder.store.transaction() as uow:
                await self.renew(uow)

    def _lost(self) -> LeaseLostError:
        return LeaseLostError(f"Another process {self._what} now.", hint=self._holder.hint)
