"""Readers of a single statement.

One statement sees one snapshot anyway, so PostgreSQL runs it without a transaction: in one message instead of three. A
second one could see something else, so it is refused, as is whatever else than a SELECT. Rows cannot be streamed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

_IS_USED = "connector_single_statement"


def refuse_second_statement(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.info[_IS_USED] = False

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _execute(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("SELECT"):
            raise RuntimeError("Store.single_reader() only reads: outside of a transaction, a write would stay.")
        if connection.info[_IS_USED]:
            raise RuntimeError("Store.single_reader() is for one statement: use Store.reader().")
        connection.info[_IS_USED] = True
