"""An org at a new address is followed there by a sign-in, never by a redirect."""

from __future__ import annotations

import pytest
import structlog

from connector.localorg.server import LocalOrg
from connector.log import configure
from connector.service import running_service
from tests.flow.conftest import Silent, World, settings_for
from tests.flow.test_push import an_order
from tests.order_builders import changed
from tests.relay import Relay


@pytest.mark.parametrize("how", ["gone", "redirect"])
@pytest.mark.parametrize("what", ["write", "look"])
async def test_service_follows_the_org_to_its_new_address(
    org: LocalOrg, database_url: str, how: str, what: str
) -> None:
    async with Relay(org.url) as login, Relay(org.url) as old, Relay(org.url) as new:
        org.org.url = old.url
        settings = settings_for(org, database_url)
        salesforce = settings.salesforce.model_copy(update={"login_url": login.url})
        async with running_service(settings.model_copy(update={"salesforce": salesforce})) as service:
            world = World(org, service)
            await world.save([an_order("A-1")])
            assert (await world.push()).in_sync
            assert new.calls == 0
            org.org.url = new.url
            old.close() if how == "gone" else old.lead_to("http://somewhere.else.example")
            configure("INFO")
            with structlog.testing.capture_logs() as lines:
                if what == "write":
                    await world.save([changed(an_order("A-1"), notes="moved")])
                    assert (await service.push(Silent(), scheduled=True)).in_sync
                assert len(await world.query("SELECT Id FROM Order")) == 1
            assert new.calls > 0
            [told] = [line for line in lines if line["event"] == "org_moved"]
            assert told["host"] == new.url.removeprefix("http://")


async def test_control_plane_follows_the_org_to_its_new_address(org: LocalOrg, database_url: str) -> None:
    async with Relay(org.url) as login, Relay(org.url) as old, Relay(org.url) as new:
        org.org.url = old.url
        settings = settings_for(org, database_url)
        salesforce = settings.salesforce.model_copy(update={"login_url": login.url})
        async with running_service(settings.model_copy(update={"salesforce": salesforce})) as service:
            await service.client.control.run(lambda found: found.query("SELECT Id FROM Order"))
            org.org.url = new.url
            old.close()
            await service.client.control.run(lambda found: found.query("SELECT Id FROM Order"))
            assert new.calls > 0
