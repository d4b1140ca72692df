"""A store that is known to fit this version of the program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connector.clock import Clock
from connector.settings import Settings
from connector.store import schema
from connector.store.engine import Store


@asynccontextmanager
async def opened(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Store]:
    """The store, checked: StoreError if its schema is absent or older than the program."""
    store = Store.open(settings.database_url, clock=clock)
    try:
        await schema.check(store)
        yield store
    finally:
        await store.close()
