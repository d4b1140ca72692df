"""For tests that only look at what an upgrade made: one upgraded database for all of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from connector.store.engine import Store
from tests.databases import Databases


@pytest.fixture(scope="module")
def module_databases(database_kind: Databases) -> Iterator[Databases]:
    """Like `databases`, but what a test gets stays to the end of its module. A module uses one of the two."""
    yield database_kind
    database_kind.drop_all()


@pytest.fixture
async def upgraded(upgraded_url: str) -> AsyncIterator[Store]:
    """A store on the module's `upgraded_url`, which its tests leave as it is."""
    store = Store.open(upgraded_url)
    yield store
    await store.close()
