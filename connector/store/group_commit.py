"""Group commit: works that wait for SQLite's only writer share one transaction, so the disk is synced once for all.

    waiting works ──► BEGIN ─ first work ─ SAVEPOINT ─ second work ─ RELEASE ─ … ─ COMMIT ──► all callers resume

No caller resumes before its work is committed, or has failed. A work that raises is rolled back to its savepoint, and
the others go on. If the database itself fails, the whole transaction is rolled back: the work that met the failure gets
the error, and the works before it run again in a new transaction (a work may be repeated anyway, see Store.transact).
If the commit fails, all works get its error. A crash before the commit leaves nothing of any work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.unit_of_work import UnitOfWork

T = TypeVar("T")

Work = Callable[[UnitOfWork], Awaitable[Any]]

MOST = 64
"""The maximal number of works in one transaction, so that the first of them does not wait too long."""

SETTLE_SECONDS = 5.0
"""How long a store that is closed waits for the transaction at work."""


class _Request:
    """A work and the caller that waits for it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.result: Any = None

    async def run(self, unit: UnitOfWork) -> None:
        """Run the work; it is canceled together with its caller."""
        task = asyncio.ensure_future(self._run(unit))
        stop = task.cancel
        self.done.add_done_callback(lambda _: stop())
        self.result = await task

    async def _run(self, unit: UnitOfWork) -> Any:
        result = await self.work(unit)
        await unit.capture()
        return result

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(self.result)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.done.cancel()
        elif not self.done.done():
            self.done.set_exception(error)


class GroupCommit:
    """Runs works one after the other, in transactions that `begin` opens. `unit` creates the unit of work for each."""

    def __init__(
        self,
        begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        unit: Callable[[AsyncConnection], UnitOfWork],
    ) -> None:
        self._begin = begin
        self._unit = unit
        self._waiting: deque[_Request] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run `work`; return its result after the commit, or raise its error."""
        request = _Request(work)
        self._waiting.append(request)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_all())
        result: T = await request.done
        return result

    async def settle(self) -> None:
        """Wait until the transaction at work has ended. A caller whose work failed goes on before its rollback has."""
        if self._runner is not None and not self._runner.done():
            await asyncio.wait([self._runner], timeout=SETTLE_SECONDS)

    async def _run_all(self) -> None:
        while self._waiting:
            finished: list[_Request] = []
            try:
                async with self._begin() as connection:
                    for _ in range(MOST):  # rejected works count too: they also take time
                        if not self._waiting:
                            break
                        request = self._waiting.popleft()
                        if not request.done.done():
                            await self._run_one(connection, request, finished)
            except _RolledBack:
                self._waiting.extendleft(reversed(finished))
                continue
            except Exception as error:  # at the begin or the commit
                if not finished and self._waiting:
                    finished.append(self._waiting.popleft())
                for request in finished:
                    request.fail(error)
                continue
            except BaseException as error:  # the runner was canceled: the loop ends
                for request in (*finished, *self._waiting):
                    request.fail(error)
                self._waiting.clear()
                raise
            for request in finished:
                request.succeed()

    async def _run_one(self, connection: AsyncConnection, request: _Request, finished: list[_Request]) -> None:
        try:
            # The first work needs no savepoint: no other work of the transaction has to survive its failure.
            async with connection.begin_nested() if finished else _nothing():
                await request.run(self._unit(connection))
        except Exception as error:
            request.fail(error)
            # After an error of SQLite itself, more than the savepoint may have been rolled back.
            if not finished or isinstance(error, SQLAlchemyError) or await _has_ended(connection):
                raise _RolledBack from error
        except asyncio.CancelledError as error:
            runner = asyncio.current_task()
            request.fail(error)
            if runner is not None and runner.cancelling():
                raise
            # The connection cannot be used after a statement was canceled.
            raise _RolledBack from None
        else:
            finished.append(request)


class _RolledBack(Exception):  # noqa: N818 - control flow, not an error
    """The transaction was rolled back."""


async def _has_ended(connection: AsyncConnection) -> bool:
    """Whether SQLite has ended the transaction itself, after an error that the work has turned into another."""
    if connection.invalidated:
        return True
    raw: Any = (await connection.get_raw_connection()).dbapi_connection
    ended: bool = raw.has_ended
    return ended


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
