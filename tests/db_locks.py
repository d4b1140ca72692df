"""Two at once, made sure of: one transaction is open, and the others have got as far as they can without it."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from connector.store.engine import Store

PATIENCE = 30
_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


async def blocked(store: Store, count: int) -> None:
    """Until `count` transactions wait for a lock. On SQLite they wait for their turn before their first statement."""
    if store.dialect == "sqlite":
        return
    async with asyncio.timeout(PATIENCE):
        waiting = 0
        while waiting < count:
            async with store.reader() as connection:
                waiting = (await connection.execute(_WAITING)).scalar_one()
