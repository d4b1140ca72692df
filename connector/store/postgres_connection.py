"""Time limits of connections to PostgreSQL: to connect, for each statement, and for standing still in a transaction.

A limit of the session is lost behind a pooler that gives each transaction another session. So it is found out for each
connection whether there is one, and then the limit is set at the beginning of each transaction. A pooler tells its
clients a process number of its own.

A process that is frozen in the middle of a transaction, or whose machine is gone, keeps the locks of its transaction,
and every other process that needs one of them waits. So the server ends a transaction that writes when it stands still;
the process that wakes finds its connection closed, and begins anew. A reader holds no locks and may stand still for as
long as its own reader does.

A server that has fallen silent keeps no limit. So each answer has a limit here, too (`store.silent_server`).
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any

from sqlalchemy import Connection as SyncConnection
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
SINGLE = ""
"""One statement that reads, without a transaction, unless a limit must be set for it."""
BEGIN = "connector_begin"
"""The execution option that says how the transactions of an engine begin, on SQLite, too. Without it they write, unless
the server or the database is set to be read only."""

_STATEMENT = "SET LOCAL statement_timeout = {}"
_IDLE = "SET LOCAL idle_in_transaction_session_timeout = {}"
_NO_LIMIT = f"{_STATEMENT.format(0)}; {_IDLE.format(0)}"
GRACE_SECONDS = 30.0
"""For how much longer than a statement may take its answer is waited for: it travels, and may wait in a pooler."""
LOST_SECONDS = 60
"""When a connection is given up whose other end acknowledges nothing."""

REST_SECONDS = 1.0
"""How long after its last answer a connection is taken to be alive."""

_POOLED = "connector_pooled"


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeLimits:
    """Seconds to connect to the server, for each statement, and between two statements of a transaction that writes; 0
    means no limit. They hold for PostgreSQL only."""

    connect: int = 10
    statement: float = 60.0
    idle: float = 15.0


def engine_options(limits: TimeLimits) -> dict[str, Any]:
    """What SQLAlchemy's engine is made with."""
    return {
        "pool_pre_ping": True,
        "pool_size": 10,
        "use_native_hstore": False,  # the type would be looked for
        "connect_args": _connect_arguments(limits),
    }


def _connect_arguments(limits: TimeLimits) -> dict[str, Any]:
    """What psycopg connects with. A host that is gone without a word is noticed after about a minute, idle or not."""
    from connector.store.silent_server import BoundedConnection

    lost = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    return {
        "autocommit": True,  # each transaction is begun explicitly
        "prepare_threshold": None,
        "connect_timeout": limits.connect,
        "tcp_user_timeout": LOST_SECONDS * 1000,
        "async_creator_fn": BoundedConnection.connect,
        **lost,
    }


def lift_limits(connection: SyncConnection) -> None:
    """Let the statements of this transaction take long, and their answers: those of an upgrade, of a dry run."""
    connection.exec_driver_sql(_NO_LIMIT)
    connection.connection.driver_connection.longest = None  # type: ignore[union-attr]


def limit_statements(engine: AsyncEngine, limits: TimeLimits) -> None:
    """Give each statement its limit."""
    milliseconds = round(limits.statement * 1000)
    longest = limits.statement + GRACE_SECONDS if milliseconds else None

    @event.listens_for(engine.sync_engine, "checkin")
    def _checkin(connection: Any, record: Any) -> None:
        if connection is not None:  # it was not lost
            connection.driver_connection.longest = longest

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.driver_connection.longest = longest
        cursor = connection.cursor()
        cursor.execute("SELECT pg_backend_pid()")
        [process] = cursor.fetchone()
        record.info[_POOLED] = connection.driver_connection.info.backend_pid != process
        if milliseconds and not record.info[_POOLED]:
            cursor.execute(f"SET statement_timeout = {milliseconds}")
        cursor.close()


def begin_with_limits(engine: AsyncEngine, limits: TimeLimits) -> None:
    """Begin each transaction as `BEGIN` says, with its time limits, in one message."""
    statement = _STATEMENT.format(round(limits.statement * 1000)) if limits.statement else None
    idle = _IDLE.format(round(limits.idle * 1000)) if limits.idle else None
    dialect: Any = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "begin")
    def _choose(connection: SyncConnection) -> None:
        begin = connection.get_execution_options().get(BEGIN, WRITING)
        limit = statement if connection.connection.info.get(_POOLED) else None
        if begin == SINGLE and limit:
            begin = READING
        parts = (begin, limit, idle if begin in {WRITING, SNAPSHOT} else None)
        raw: Any = connection.connection.driver_connection
        raw.begin_with = "; ".join(filter(None, parts)).encode()

    # Not in the event: errors of what the dialect does are handled like those of statements.
    dialect.do_begin = lambda connection: connection.run_async(lambda raw: raw.begin())


def ping_rested(engine: AsyncEngine) -> None:
    """Ask a connection whether it is alive only if it has rested. One that has just answered would be asked for
    nothing: the server can as well be lost after the ping."""
    dialect: Any = engine.sync_engine.dialect
    ping = dialect.do_ping

    def do_ping(connection: Any) -> bool:
        raw = connection.driver_connection
        is_fresh = not raw.closed and monotonic() - raw.answered_at < REST_SECONDS
        return is_fresh or bool(ping(connection))

    dialect.do_ping = do_ping
