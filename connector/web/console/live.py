"""Tells open pages that something has changed, so that they load themselves again.

One task of a process looks, once a second and only while somebody watches: at what every change leaves in the
database, by index, whichever process made it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web
from aiohttp_sse import sse_response

from connector.errors import StoreError
from connector.store.engine import Store
from connector.store.queries.change_mark import load_change_mark
from connector.web.console.session import find_session
from connector.web.problem import ProblemError

LOOK_SECONDS = 1.0
NOTICE_SECONDS = 5.0
"""How soon it is noticed that a browser is gone."""
LONGEST_STREAM = 600.0
"""A browser opens the stream again after this time; so nobody watches on with a session that is over."""


class ChangeWatcher:
    """Wakes those who wait whenever the database has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Condition()
        self._watchers = 0
        self._is_closing = False
        self._looking: asyncio.Task[None] | None = None

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send `changed` after each change, until the browser leaves, the session is over or the process ends."""
        if await find_session(self._store, request) is None:
            raise ProblemError(401, "session", "The session is over.", hint="Sign in again.")
        self._watchers += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with sse_response(request, headers={"X-Accel-Buffering": "no"}) as response:
                with suppress(TimeoutError, ConnectionError):  # the browser may be gone
                    async with asyncio.timeout(LONGEST_STREAM):
                        while response.is_connected() and not self._is_closing:
                            if await self._wait():
                                await response.send("", event="changed")
        finally:
            self._watchers -= 1
            if not self._watchers and self._looking is not None:
                self._looking.cancel()
                self._looking = None
        return response

    async def close(self, app: web.Application) -> None:
        """End all streams: the server waits for them when it stops."""
        self._is_closing = True
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self) -> bool:
        """Wait for the next change, not so long that nobody notices a browser that is gone; whether there was one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(NOTICE_SECONDS), self._changed:
                await self._changed.wait()
                return not self._is_closing
        return False

    async def _look(self) -> None:
        seen = None
        while True:
            with suppress(StoreError):  # the database is away: what it has missed is told when it is back
                async with self._store.reader() as connection:
                    mark = await load_change_mark(connection)
                if seen is not None and mark != seen:
                    async with self._changed:
                        self._changed.notify_all()
                seen = mark
            await asyncio.sleep(LOOK_SECONDS)
