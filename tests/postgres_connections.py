"""Connections to PostgreSQL that outlive the store that opened them, for the next test on the same database.

The server starts a process for each connection, and that process first reads what the tables are like; for a small test
this takes longer than its statements.

Only connections to the server of the tests itself are kept, which are local. Those by TCP go through something that a
test has put between, and that may fall silent.
"""

from __future__ import annotations

import psycopg
import pytest
from psycopg.abc import PQGenConn
from psycopg.pq import ExecStatus, PGconn, TransactionStatus
from psycopg.pq.abc import PGconn as AnyPGconn

from connector.store.silent_server import BoundedConnection

MOST = 8
"""How many of a database are kept. Few tests need more, and the server has a limit for all workers."""


class KeptConnections:
    """Idle connections by what they were opened with."""

    def __init__(self) -> None:
        self._idle: dict[str, list[AnyPGconn]] = {}
        self._opened_with: dict[AnyPGconn, str] = {}

    def connect(self, conninfo: str = "") -> PQGenConn[BoundedConnection]:
        """Take an idle connection, or open one."""
        idle = self._idle.get(conninfo, [])
        while idle:
            pgconn = idle.pop()
            if pgconn.exec_(b"DISCARD ALL").status == ExecStatus.COMMAND_OK:
                return BoundedConnection(pgconn)
            self._finish(pgconn)  # the server has closed it
        connection = yield from _CONNECT(conninfo)
        if connection.pgconn.host.startswith(b"/"):
            self._opened_with[connection.pgconn] = conninfo
        return connection

    async def close(self, connection: BoundedConnection) -> None:
        """Close the connection, but keep what it consists of, if nothing is wrong with that."""
        pgconn = connection.pgconn
        conninfo = self._opened_with.get(pgconn)
        idle = self._idle.setdefault(conninfo, []) if conninfo is not None else None
        if idle is None or len(idle) == MOST or pgconn.transaction_status != TransactionStatus.IDLE:
            self._opened_with.pop(pgconn, None)
            await _CLOSE(connection)
        else:
            connection._closed, connection.pgconn = True, PGconn()  # one that is closed
            idle.append(pgconn)

    def forget(self, database: str | None = None) -> None:
        """Close the idle connections to a database that will be dropped or copied; None: to all."""
        for conninfo, idle in self._idle.items():
            if database in {None, psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]}:
                for pgconn in idle:
                    self._finish(pgconn)
                idle.clear()

    def _finish(self, pgconn: AnyPGconn) -> None:
        self._opened_with.pop(pgconn, None)
        pgconn.finish()


_CONNECT = BoundedConnection._connect_gen
_CLOSE = BoundedConnection.close

KEPT = KeptConnections()


def keep_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "_connect_gen", KEPT.connect)
    monkeypatch.setattr(BoundedConnection, "close", lambda connection: KEPT.close(connection))
