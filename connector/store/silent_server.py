"""Connections to PostgreSQL that do not wait for ever for a server or pooler that has fallen silent.

The limit for statements is kept by the server. One that is frozen, or was lost in the middle of a statement, keeps
none; and a frozen process is no broken connection, so TCP notices nothing either. Nor do they take for a commit what
the server answers to that of a failed transaction: it rolls back and reports no error.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, TransactionStatus

T = TypeVar("T")


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """A connection that is given up when one answer takes longer than `longest` seconds; None: it waits for ever."""

    longest: float | None = None
    answered_at = float("-inf")
    """When the last answer came, by the monotonic clock."""
    begin_with = b"BEGIN"

    async def begin(self) -> None:
        """Begin a transaction with the statements of `begin_with`; none if it is empty."""
        if self.begin_with:
            async with self.lock:
                await self.wait(self._run(self.begin_with))

    async def commit(self) -> None:
        """Commit. Raises InFailedSqlTransaction if a statement of the transaction had failed: it is rolled back."""
        async with self.lock:
            if self.pgconn.transaction_status != TransactionStatus.IDLE:
                answer = await self.wait(self._run(b"COMMIT"))
                if answer != b"COMMIT":
                    raise psycopg.errors.InFailedSqlTransaction(f"The server has answered COMMIT with {answer!r}")

    def _run(self, statements: bytes) -> PQGen[bytes | None]:
        """Run statements that return no rows; return what the server says that the last one did."""
        self.pgconn.send_query(statements)
        results = yield from psycopg.generators.execute(self.pgconn)
        for result in results:
            if result.status != ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(result)
        done: bytes | None = results[-1].command_status
        return done

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109
        try:
            result = await super().wait(gen, interval, self.longest if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()  # what it would answer later belongs to nobody
            raise psycopg.OperationalError(f"no answer within {self.longest:g} s") from None
        self.answered_at = monotonic()
        return result
