"""Holds the leases of partitions while they are drained, and prolongs them in the background.

Losing one is found out by the ledger, which asks within the transaction that would store an outcome.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
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

    until: datetime = datetime.max.replace(tzinfo=UTC)


@asynccontextmanager
async def held(
    store: Store, names: Sequence[str], *, ttl: float, clock: Clock, waiting: Callable[[], None]
) -> AsyncIterator[Terms]:
    """The terms of `names`, all held until the end; `waiting` is called once if another process holds one.

    StoreError if it still does after a lease time: then it is alive, and at work.
    """
    me = owner()
    terms = Terms()
    try:
        for name in sorted(names):  # in one order, so that two processes cannot wait for each other
            terms[name] = await _acquire(store, name, me, ttl=ttl, clock=clock, waiting=waiting)
            waiting = _silent if len(terms) > 1 else waiting
        asked = clock.now()
        renewed = [await leases.renew(store, name, me, term, ttl) for name, term in terms.items()]
        terms.until = asked + timedelta(seconds=ttl if all(renewed) else 0)  # the first may have ended by the last
        over = asyncio.Event()
        renewing = asyncio.create_task(_renew(store, me, terms, over, ttl=ttl, clock=clock))
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


async def _renew(store: Store, me: str, terms: Terms, over: asyncio.Event, *, ttl: float, clock: Clock) -> None:
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
            asked = clock.now()
            renewed = [await leases.renew(store, name, me, term, ttl) for name, term in terms.items()]
            if all(renewed):
                terms.until = asked + timedelta(seconds=ttl)


def _silent() -> None:
    """Nothing more to say."""
