"""A poll keeps its lease however long the org takes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from connector.jobs import inbound_run
from connector.localorg.server import LocalOrg
from connector.service import running_service
from connector.store import leases
from tests.flow.conftest import World, settings_for
from tests.flow.pubsub import until
from tests.flow.test_pull import begin, customer_here


async def test_lease_of_a_poll_is_renewed_while_the_org_takes_long(
    org: LocalOrg, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another process polls the object as well, and this one's work is lost."""
    settings = settings_for(org, database_url)
    settings = settings.model_copy(update={"sync": settings.sync.model_copy(update={"lease_seconds": 0.3})})
    async with running_service(settings) as service:
        world = World(org, service)
        await begin(world)
        await world.change_in_org("Account", "C-1", Phone="+49 251 1")
        name = f"poll:{service.client.org_id}:Account"
        query, waited = inbound_run.query_together, 0

        async def expires_at() -> datetime:
            async with service.store.reader() as connection:
                return next(item.expires_at for item in await leases.list_unreleased(connection) if item.name == name)

        async def query_slowly(*arguments: Any, **more: Any) -> Any:
            nonlocal waited
            first = await expires_at()

            async def is_renewed() -> bool:
                return await expires_at() > first

            await until(is_renewed)
            waited += 1
            return await query(*arguments, **more)

        monkeypatch.setattr(inbound_run, "query_together", query_slowly)
        await service.pull(sobjects=["Account"])
        assert ((await customer_here(world)).phone, waited) == ("+49 251 1", 1)
