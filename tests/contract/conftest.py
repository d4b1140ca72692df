"""Our client and a local org, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.clock import SystemClock
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.salesforce.client import SalesforceClient
from connector.settings.salesforce import SalesforceSettings


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as started:
        yield started


Connect = Callable[..., SalesforceClient]


@pytest.fixture
async def connect(org: LocalOrg) -> AsyncIterator[Connect]:
    """A client of the org, with some settings changed."""
    made: list[SalesforceClient] = []

    def connect(**changes: Any) -> SalesforceClient:
        given = {"login_url": org.url, "client_id": org.client_id, "client_secret": org.client_secret, **changes}
        made.append(SalesforceClient(SalesforceSettings(**given), clock=SystemClock(), attempts=3))
        return made[-1]

    yield connect
    for client in made:
        await client.close()


@pytest.fixture
def client(connect: Connect) -> SalesforceClient:
    return connect()
