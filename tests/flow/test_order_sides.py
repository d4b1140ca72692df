"""The page of an order with both sides, field by field, on a real org: compared when somebody asks for it."""

from __future__ import annotations

import re

import pytest
from aiohttp.test_utils import TestClient, TestServer

from connector.jobs import resync_loop
from connector.model.events import ChangeOrder
from connector.model.role import Role
from connector.orders.command import OrderCommand
from connector.store import tokens
from tests.flow.conftest import World
from tests.flow.test_push import an_order
from tests.flow.test_resyncs import until, working
from tests.web.conftest import Api, app_on
from tests.web.test_console import open_page, send, sign_in


def row_of(text: str, field: str) -> str:
    """The row of a field, as text in one line."""
    found = re.search(rf"<tr(?:(?!</tr>).)*>{field}</span>.*?</tr>", text, re.DOTALL)
    assert found is not None, text
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


async def test_sides_are_compared_on_demand_and_differences_are_marked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync_loop, "LOOK_SECONDS", 0.01)
    store = world.service.store
    await world.save([an_order("N-1", customer="C-1")])
    await world.push()
    async with store.transaction() as uow:
        secrets = {role: await tokens.create(uow, f"{role} of tests", role) for role in (Role.OPS, Role.VIEWER)}
    async with TestClient(TestServer(app_on(store))) as client:
        api = Api(client, store, secrets)
        await sign_in(api)
        _, text = await open_page(api, "/orders/N-1/sides")
        assert "Compare now" in text
        assert row_of(text, "Lifecycle_Stage__c").endswith("not read here")
        assert 'class="differs"' not in text
        await world.change_in_org("Order", "N-1", Lifecycle_Stage__c="placed")

        _, text = await send(api, "/orders/N-1/compare")
        asked = re.search(r"\(resync (\d+)\)", text)
        assert asked is not None
        assert "A comparison was asked for" in text
        async with working(world, pushing=False):
            done = await until(world, int(asked[1]), lambda item: item.ended)
        assert (done.done, done.failed) == (1, 1)
        _, text = await open_page(api, "/orders/N-1/sides")
        assert "Lifecycle Stage" in text  # as the org calls it
        assert "Noted here" in text  # not "agreed": it may be what gives way to ours
        assert row_of(text, "Lifecycle_Stage__c").endswith("shipped shipped placed differs here")
        assert row_of(text, "Status").count("Activated") == 3  # here, agreed, and there
        assert text.count('class="differs"') == 1
        assert "no difference that is known" in text

        command = OrderCommand(number="N-1", event=ChangeOrder(details={"po_number": "PO-9"}))
        await world.service.orders.execute(command, actor="ann")
        _, text = await open_page(api, "/orders/N-1/sides")
        assert "PO-9 changed" in row_of(text, "PoNumber")
        assert "not sent" in row_of(text, "PoNumber")
        assert (await send(api, "/orders/N-9/compare"))[0] == 404

        client.session.cookie_jar.clear()
        await sign_in(api, Role.VIEWER)
        _, text = await open_page(api, "/orders/N-1/sides")
        assert ("PO-9" in text, "Compare now" in text) == (False, False)
