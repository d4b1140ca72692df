"""Messages to customers over HTTP: their state, their preview, and sending them again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
from aiohttp.test_utils import TestClient, TestServer

from connector.model.customer import Customer
from connector.model.role import Role
from connector.orders.policy.rules import standard
from connector.store import customers, stock, tokens
from connector.store.engine import Store
from tests.mail_servers import correspondence
from tests.unit.store import samples
from tests.web.conftest import ORDER, Api, app_on

EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def api(store: Store) -> AsyncIterator[Api]:
    """The API with a transport for messages."""
    rules = replace(standard(), notified_kinds=standard().messages)
    await samples.stock(store)
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(50), ("TOFU", "WEST"): Decimal(50)})
        await customers.save(uow, [Customer(number="EVIL", name=EVIL, email="evil@shop.example")])
        secrets = {role: await tokens.create(uow, f"{role} of tests", role) for role in Role}
    async with TestClient(TestServer(app_on(store, rules, correspondence(rules)))) as client:
        yield Api(client, store, secrets)


async def confirmed(api: Api, **changes: object) -> None:
    await api("POST", "/orders", ORDER | changes)
    for action in ("verify", "confirm"):
        assert (await api.move(action=action)).status == 200


async def test_messages_of_an_order_are_listed_with_state_and_without_address(api: Api) -> None:
    await confirmed(api)
    await api.move(action="invoice", amount="10")
    said = (await api("GET", "/orders/W-1/messages", role=Role.VIEWER)).body["messages"]
    assert [(item["kind"], item["reference"], item["state"]) for item in said] == [
        ("confirmation", "", "due"),
        ("invoice", "INV-000001", "due"),
    ]
    assert set(said[0]) == {
        "id", "order", "kind", "reference", "state", "attempts", "captured_at", "since", "due_at", "sent_at", "error",
    }  # fmt: skip
    assert (await api("GET", "/orders/none/messages")).status == 404
    assert (await api("GET", "/status", role=Role.VIEWER)).body["messages"]["due"] == 2


async def test_message_can_be_previewed(api: Api) -> None:
    await confirmed(api, customer="EVIL", ship_to_name=EVIL)
    token = {"Authorization": f"Bearer {api.secrets[Role.VIEWER]}"}
    async with api.client.get("/api/v1/orders/W-1/messages/confirmation/preview", headers=token) as answer:
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; sandbox"
    assert "70.54 USD" in page
    assert "<script" not in page
    assert "&lt;script" in page
    async with api.client.get("/api/v1/orders/W-1/messages/confirmation/preview") as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/orders/none/messages/confirmation/preview", "There is no order none."),
        ("/orders/W-1/messages/advert/preview", "invalid kind 'advert'."),
        ("/orders/W-1/messages/shipment/preview", "Order W-1 has no shipment in transit or delivered."),
        ("/orders/W-1/messages/shipment/preview?reference=99999999999999999999", "Order W-1 has no shipment"),
        ("/orders/W-1/messages/invoice/preview", "Order W-1 has no invoice."),
        ("/orders/W-1/messages/return_label/preview", "Order W-1 has no return with a label."),
        ("/orders/W-1/messages/refund/preview?reference=x", "Order W-1 has no refund."),
        ("/orders/W-1/messages/escalation/preview", "Order W-1 has no escalated hold."),
    ],
)
async def test_preview_without_its_event_is_not_found(api: Api, path: str, detail: str) -> None:
    await confirmed(api)
    said = await api("GET", path, role=Role.VIEWER)
    assert (said.status, said.body["detail"].startswith(detail)) == (404, True)


async def test_preview_does_not_show_an_invoice_of_another_order(api: Api) -> None:
    await confirmed(api)
    await api.move(action="invoice", amount="10")
    await api("POST", "/orders", ORDER | {"number": "W-2"})
    said = await api("GET", "/orders/W-2/messages/invoice/preview?reference=INV-000001", role=Role.VIEWER)
    assert said.status == 404


async def test_ops_can_discard_and_retry_messages(api: Api) -> None:
    await confirmed(api)
    [message] = (await api("GET", "/messages")).body["messages"]
    body = {"ids": [message["id"], 99]}
    assert (await api("POST", "/messages/discard", body, role=Role.VIEWER)).status == 403
    assert (await api("POST", "/messages/discard", body)).body == {"discarded": [message["id"]], "left": [99]}
    assert (await api("GET", "/messages?state=due")).body["messages"] == []
    assert (await api("POST", "/messages/retry", body)).body == {"retried": [message["id"]], "left": [99]}
    assert (await api("POST", "/messages/retry", body)).body == {"retried": [], "left": [99, message["id"]][::-1]}
    assert [item["state"] for item in (await api("GET", "/messages")).body["messages"]] == ["due"]


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": [True]}, {"ids": ["x"]}, {"ids": [0]}, {"ids": [2**70]}])
async def test_message_ids_must_be_whole_numbers(api: Api, body: dict[str, object]) -> None:
    assert (await api("POST", "/messages/retry", body)).status == 422


@pytest.mark.parametrize("query", ["state=lost", "after=x", "after=-1", "page=2"])
async def test_invalid_message_query_is_rejected(api: Api, query: str) -> None:
    assert (await api("GET", f"/messages?{query}")).status == 400
