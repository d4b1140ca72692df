"""Reports a process of the service while it runs, so that people see who is there."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from connector.clock import stopped_within
from connector.errors import StoreError
from connector.jobs.role_supervisor import RoleState
from connector.model.worker import Worker
from connector.store import workers
from connector.store.engine import Store

SHORTEST_TTL = 3.0
"""Seconds: with short leases, a process does not report itself more often than once a second."""


@asynccontextmanager
async def reported(
    store: Store,
    name: str,
    *,
    roles: Sequence[str],
    ttl: float,
    engine: str = "embedded",
    states: Callable[[], Sequence[RoleState]] = lambda: (),
) -> AsyncIterator[None]:
    """Report this process as the worker `name` during the block: dead if it says nothing for `ttl` seconds. `states`:
    how its roles are."""
    ttl = max(ttl, SHORTEST_TTL)
    now = store.clock.now()
    worker = Worker(
        id=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        roles=tuple(roles),
        engine=engine,
        started_at=now,
        seen_at=now,
        alive=True,
    )

    async def report() -> None:
        now = store.clock.now()
        troubles = {state.role: state.error or "" for state in states() if not state.is_steady(now)}
        with suppress(StoreError):  # without a database it says so when there is one again
            async with store.transaction() as uow:
                await workers.report(uow, worker, ttl=ttl, troubles=troubles)

    stop = asyncio.Event()

    async def keep_reporting() -> None:
        while not await stopped_within(store.clock, ttl / 3, stop):
            await report()

    await report()
    reporting = asyncio.create_task(keep_reporting())
    try:
        yield
    finally:
        stop.set()
        await reporting
        with suppress(StoreError):
            async with store.transaction() as uow:
                await workers.remove(uow, name)
