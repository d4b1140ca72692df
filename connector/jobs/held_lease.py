"""A lease that this process holds for as long as it runs: renewed in the background, checked in transactions."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from connector.errors import LeaseLostError, StoreError
from connector.store import leases
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork


def lease_owner() -> str:
    """A name for this holder of leases that no other one has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class HeldLease:
    """The right to `what`, for example `listens to /event/Order_Action__e`. Its term tells a holder that was frozen,
    and has lost it, from the present one."""

    def __init__(self, store: Store, name: str, *, owner: str, term: int, ttl: float, what: str) -> None:
        self._store = store
        self._name = name
        self._owner = owner
        self._term = term
        self._ttl = ttl
        self._what = what

    @classmethod
    @asynccontextmanager
    async def acquired(
        cls, store: Store, name: str, *, owner: str, ttl: float, what: str
    ) -> AsyncIterator[HeldLease | None]:
        """Hold the lease in this block; None if another process holds it."""
        term = await leases.acquire(store, name, owner, ttl)
        if term is None:
            yield None
            return
        try:
            yield cls(store, name, owner=owner, term=term, ttl=ttl, what=what)
        finally:
            with suppress(StoreError):
                await leases.release(store, name, owner, term)

    async def check(self, uow: UnitOfWork) -> None:
        """Raise LeaseLostError unless the lease is still ours; then it stays so until this transaction ends."""
        if not await leases.is_held(uow, self._name, self._term):
            raise self._lost()

    async def keep(self) -> None:
        """Renew the lease until canceled. Raises LeaseLostError when another process has it."""
        while True:
            await self._store.clock.sleep(self._ttl / 3)
            if not await leases.renew(self._store, self._owner, {self._name: self._term}, self._ttl):
                raise self._lost()

    def _lost(self) -> LeaseLostError:
        return LeaseLostError(
            f"Another process {self._what} now.", hint="Nothing is lost: it continues where this one stopped."
        )
