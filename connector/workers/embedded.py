"""The engine of one process, or of a few: a process that captures a change wakes its own worker. Others find the change
when they look for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connector.jobs.push_loop import PushLoop
from connector.store.engine import Store


class EmbeddedEngine:
    """See `connector.workers`."""

    wakes_on_capture = True

    @asynccontextmanager
    async def ringing(self, store: Store) -> AsyncIterator[None]:
        yield

    async def run(self, loop: PushLoop, stop: asyncio.Event, org: str) -> None:
        await loop.run(stop)
