"""PostgreSQL: a pooled connection is asked whether it is alive only if it has rested."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from connector.store import postgres_connection
from connector.store.engine import Store
from connector.store.silent_server import BoundedConnection


async def answers_of_a_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a read of one statement waits for the server."""
    count, wait = 0, BoundedConnection.wait

    async def counted(self: BoundedConnection, *arguments: object) -> object:
        nonlocal count
        count += 1
        return await wait(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(BoundedConnection, "wait", counted)
        async with store.reader() as connection:
            await connection.execute(text("SELECT 1"))
    return count


async def test_connection_that_has_just_answered_is_not_asked(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "REST_SECONDS", 3600)
    await answers_of_a_read(postgres_store, monkeypatch)  # it connects
    assert await answers_of_a_read(postgres_store, monkeypatch) == 3  # BEGIN, SELECT, ROLLBACK
    monkeypatch.setattr(postgres_connection, "REST_SECONDS", 0)
    assert await answers_of_a_read(postgres_store, monkeypatch) > 3


async def test_connection_that_was_lost_while_it_rested_is_replaced(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "REST_SECONDS", 0)
    async with postgres_store.reader() as lost:
        process = (await lost.execute(text("SELECT pg_backend_pid()"))).scalar()
        async with postgres_store.reader() as other:
            others = (await other.execute(text("SELECT pg_backend_pid()"))).scalar()
    async with postgres_store.transaction() as uow:
        mine = (await uow.connection.execute(text("SELECT pg_backend_pid()"))).scalar()
        [victim] = {process, others} - {mine}
        assert (await uow.connection.execute(text(f"SELECT pg_terminate_backend({victim}, 5000)"))).scalar()
    async with postgres_store.reader() as first, postgres_store.reader() as second:
        found = {(await item.execute(text("SELECT pg_backend_pid()"))).scalar() for item in (first, second)}
    assert victim not in found
