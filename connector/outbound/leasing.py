"""Holds the leases of partitions while they are drained, and prolongs them in the background.

Losing one is found out by the ledger, which asks within the transaction that would store an outcome.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import uuid4

from connector.clock import Clock
from connector.errors import StoreError
from connector.store import leases
from connector.store.engine import Store

PATIENCE = 5.0
"""Seconds beyond one lease time to wait for another holder; a dead one's lease has ended by then."""

POLL = 0.25


def owner() -> str:
    """A name no other process has, readable in the table."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class Terms(dict[str, int]):
    """The terms of leases by name, and until when they are certainly ours by this machine's clock."""

    def __init__(self, store: Store, me: str, *, ttl: float, clock: Clock) -> None:
        self._store = store
        self._me = me
        self._ttl = ttl
        self._clock = clock
        self._until = clock.now()

    async def ours(self) -> bool:
        """Whether nobody else can have taken one of them. If the time has run out, the table is asked."""
        return self._clock.now() < self._until or await self.prolong()

    async def prolong(self) -> bool:
        """Keep them all for another lease time; False if one is lost."""
        asked = self._clock.now()
        renewed = await leases.renew(self._store, self._me, self, self._ttl)
        if renewed:
            self._until = asked + timedelta(seconds=self._ttl)
        return renewed


@asynccontextmanager
async def held(
    store: Store, names: Sequence[str], *, ttl: float, clock: Clock, waiting: Callable[[], None]
) -> AsyncIterator[Terms]:
    """The terms of `names`, all held until the end; `waiting` is called once if another process holds one.

    StoreError if it still does after a lease time: then it is alive, and at work.
    """
    me = owner()
    terms = Terms(store, me, ttl=ttl, clock=clock)
    try:
        for name in sorted(names):  # in one order, so that two processes cannot wait for each other
            terms[name] = await _acquire(store, name, me, ttl=ttl, clock=clock, waiting=waiting)
            waiting = _silent if len(terms) > 1 else waiting
        over = asyncio.Event()
        renewing = asyncio.create_task(_renew(terms, over, ttl=ttl, clock=clock))
        try:
            yield terms
        finally:
            over.set()
            await renewing
    finally:
        for name, term in terms.items():
            await leases.release(store, name, me, term)


async def _acquire(store: Store, name: str, me: str, *, ttl: float, clock: Clock, waiting: Callable[[], None]) -> int:
    tries = int((ttl + PATIENCE) / POLL) + 1
    for attempt in range(tries):
        term = await leases.acquire(store, name, me, ttl)
        if term is not None:
            return term
        if attempt == 0:
            waiting()
        await clock.sleep(POLL)
    raise StoreError(
        "Another push is at work on this database.", hint="Let it finish, or stop it; then run this one again."
    )


async def _renew(terms: Terms, over: asyncio.Event, *, ttl: float, clock: Clock) -> None:
    """Until `over`. Only its sleep is ever cancelled: a statement cut short would leave its connection with a lock."""
    while True:
        pauses = [asyncio.ensure_future(clock.sleep(ttl / 3)), asyncio.create_task(over.wait())]
        await asyncio.wait(pauses, return_when=asyncio.FIRST_COMPLETED)
        for pause in pauses:
            pause.cancel()
        await asyncio.gather(*pauses, return_exceptions=True)
        if over.is_set():
            return
        with suppress(StoreError):  # asked again in a while; whoever records an outcome finds out if it is lost
            await terms.prolong()


def _silent() -> None:
    """Nothing more to say."""
