"""Connections to PostgreSQL that outlive the store that opened them, for the next test on the same database.

The server starts a process for each connection, and that process first reads what the tables are like; for a small test
this takes longer than its statements.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from connector.store.silent_server import BoundedConnection

_Options = tuple[tuple[str, Any], ...]


class KeptConnections:
    """Idle connections by what they were opened with."""

    def __init__(self) -> None:
        self._idle: dict[_Options, list[BoundedConnection]] = {}
        self._options: dict[int, _Options] = {}

    async def connect(self, *arguments: str, **options: Any) -> BoundedConnection:
        """Take an idle connection, or open one."""
        name = (("conninfo", arguments), *sorted(options.items()))
        idle = self._idle.get(name, [])
        while idle:
            connection = idle.pop()
            if await self._renew(connection):
                return connection
        connection = await _CONNECT(*arguments, **options)
        self._options[id(connection)] = name
        return connection

    async def close(self, connection: BoundedConnection) -> None:
        """Keep the connection, if nothing is wrong with it."""
        name = self._options.get(id(connection))
        if name is None or connection.pgconn.transaction_status is not TransactionStatus.IDLE:
            self._options.pop(id(connection), None)
            await _CLOSE(connection)
        else:
            self._idle.setdefault(name, []).append(connection)

    def forget(self, database: str | None = None) -> None:
        """Close the idle connections to a database that will be dropped; None: to all."""
        for name, idle in self._idle.items():
            if database in {None, dict(name[1:])["dbname"]}:
                for connection in idle:
                    self._options.pop(id(connection), None)
                    connection._closed = True
                    connection.pgconn.finish()
                idle.clear()

    async def _renew(self, connection: BoundedConnection) -> bool:
        """Make it as new, for the loop that runs. False if the server has closed it."""
        connection.lock = asyncio.Lock()
        connection.longest, connection.answered_at = None, float("-inf")
        connection._notice_handlers.clear()
        connection._isolation_level = connection._read_only = connection._deferrable = None
        try:
            connection._autocommit = True
            await connection.execute("DISCARD ALL")
        except psycopg.Error:
            self._options.pop(id(connection), None)
            await _CLOSE(connection)
            return False
        connection._autocommit = False
        return True


_CONNECT = BoundedConnection.connect
_CLOSE = BoundedConnection.close


KEPT = KeptConnections()


def keep_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "connect", KEPT.connect)
    monkeypatch.setattr(BoundedConnection, "close", lambda connection: KEPT.close(connection))
