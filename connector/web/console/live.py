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
NOTICE_SECONDS = 2.0
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
        self._mark = ""
        self._looking: asyncio.Task[None] | None = None

    async def mark(self) -> str:
        """What a page carries, so that it is told of everything that changes after it was begun."""
        async with self._store.reader() as connection:
            return await load_change_mark(connection)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send `changed` after each change, until the browser leaves, the session is over or the process ends.

        The browser says what it knows: the mark of the last event, or of its page. So it also hears of what changed
        while it was not connected.
        """
        if await find_session(self._store, request) is None:
            raise ProblemError(401, "session", "The session is over.", hint="Sign in again.")
        known = request.headers.get("Last-Event-ID") or request.query.get("mark", "")
        self._watchers += 1
        if self._looking is None or self._looking.done():
            self._mark = await self.mark()
            self._looking = asyncio.create_task(self._look())
        try:
            async with sse_response(request, headers={"X-Accel-Buffering": "no"}) as response:
                with suppress(TimeoutError, ConnectionError):  # the browser may be gone
                    async with asyncio.timeout(LONGEST_STREAM):
                        while not (self._is_closing or _is_gone(request)):
                            if self._mark != known:
                                known = self._mark
                                await response.send("", id=known, event="changed")
                            await self._wait()
        except AssertionError:  # aiohttp_sse expects a connection: the browser has left before the first event
            if not _is_gone(request):
                raise
            return web.Response()
        finally:
            self._watchers -= 1
            if not self._watchers:
                await self._stop_looking()
        return response

    async def close(self, app: web.Application) -> None:
        """End all streams: the server waits for them when it stops."""
        self._is_closing = True
        async with self._changed:
            self._changed.notify_all()
        await self._stop_looking()

    async def _stop_looking(self) -> None:
        """Cancel the task, and wait until its connection is given back."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _wait(self) -> None:
        """Wait for the next change, but not so long that nobody notices a browser that is gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(NOTICE_SECONDS), self._changed:
                await self._changed.wait()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                mark = await self.mark()
            except StoreError:  # it is away: what it has missed is told when it is back
                continue
            if mark != self._mark:
                self._mark = mark
                async with self._changed:
                    self._changed.notify_all()


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
