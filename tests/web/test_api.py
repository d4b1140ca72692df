"""The HTTP API as a client sees it: responses, rejections with their texts, and effects."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import func, select
from yarl import URL

from connector.api.schemas import OrderBody
from connector.model.action_fields import ACTION_FIELDS, REQUESTABLE
from connector.model.actions import Action
from connector.model.reconciliation import Reconciliation, RecordState, RunState
from connector.model.role import Role
from connector.store import customers, orgs, reconcile_runs, tokens
from connector.store.references import UnknownReferenceError
from connector.store.tables import order_events, orders
from connector.web.api.orders import _unknown_reference
from connector.web.app import PREFIX, ROUTES
from connector.web.request_body import JSON
from tests.unit.model.test_event_fields import SENT
from tests.web.conftest import ORDER, Api


async def placed(api: Api, **changes: Any) -> None:
    said = await api("POST", "/orders", ORDER | changes)
    assert said.status == 201, said.body


async def test_order_runs_from_placement_to_completion_over_http(api: Api) -> None:
    await placed(api)
    assert (await api.move(action="verify")).body["stage"] == "verified"
    assert (await api.move(action="confirm")).body["stage"] == "confirmed"
    said = await api("POST", "/allocations", {"numbers": ["W-1"]})
    assert said.body["orders"][0]["fulfillment_status"] == "allocated"
    picks = (await api("GET", "/picks")).body["picks"]
    assert {(pick["line"], pick["warehouse"], pick["quantity"]) for pick in picks} == {
        (1, "EAST", "2"),
        (2, "WEST", "1.5"),
    }
    await api.move(action="pick", lines={"1": 2, "2": 1.5})
    assert (await api.move(action="pack", lines={"1": 2})).body["shipments"][0]["status"] == "packed"
    await api.move(action="label", shipment=1, carrier="Swift Post", tracking_number="SP1")
    assert (await api.move(action="ship", shipment=1)).body["fulfillment_status"] == "partially_shipped"
    await api.move(action="ship", lines={"2": "1.5"}, carrier="Swift Post", tracking_number="SP2")
    for number in ("SP1", "SP2"):
        said = await api("POST", "/tracking", {"tracking_number": number, "status": "delivered"})
    assert said.body["orders"][0]["stage"] == "delivered"
    due = said.body["orders"][0]["amount_due"]
    await api.move(action="invoice", amount=due)
    done = await api.move(action="capture", amount=due, reference="PAY-7")
    assert (done.body["stage"], done.body["payment_status"], done.body["amount_due"]) == ("completed", "paid", "0")
    story = (await api("GET", "/orders/W-1/history", role=Role.VIEWER)).body["history"]
    assert [event["event"] for event in story][:4] == ["begun", "verified", "confirmed", "allocated"]
    assert {event["actor"] for event in story} == {"ops of tests"}


async def test_order_of_an_unknown_customer_is_rejected_with_its_field(api: Api) -> None:
    refused = await api("POST", "/orders", ORDER | {"customer": "C-77"})
    body = refused.body
    assert (refused.status, body["field"], body["detail"]) == (422, "customer", "There is no customer C-77.")
    assert body["hint"].startswith("Create it with PUT /api/v1/customers/C-77,")


def test_order_of_an_unknown_product_names_the_field_of_its_line() -> None:
    line = {"line": 9, "sku": "NO/PE", "quantity": 1, "unit_price": 1}
    body = OrderBody.model_validate(ORDER | {"lines": [{**line, "line": 1, "sku": "TEA"}, line]})
    problem = _unknown_reference(UnknownReferenceError((), ("NO/PE",)), body).body
    assert (problem["field"], problem["detail"]) == ("lines.1.sku", "There is no product NO/PE.")
    assert problem["hint"].startswith("Create it with PUT /api/v1/products/NO%2FPE,")


async def test_status_counts_changes_as_due_refused_and_blocked(api: Api) -> None:
    await placed(api)
    unsent = (await api("GET", "/status", role=Role.VIEWER)).body["unsent"]
    assert unsent["order"] == {"due": 1, "refused": 0, "blocked": 0}


async def test_status_has_the_latest_reconciliation(api: Api) -> None:
    assert (await api("GET", "/status", role=Role.VIEWER)).body["reconciliation"] is None
    result = Reconciliation(limit=0)
    for key, state in (("W-1", RecordState.VERIFIED), ("W-2", RecordState.DRIFTED), ("W-3", RecordState.NOT_SYNCED)):
        result.count("order", state, key)
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        run = await reconcile_runs.begin(uow, "00D", full=True, scope={})
        await reconcile_runs.finish(uow, run, result, state=RunState.FINISHED, calls=2)

    body = (await api("GET", "/status", role=Role.VIEWER)).body["reconciliation"]

    assert (body["verified"], body["total"], body["differing"]) == (1, 2, 1)
    assert body["entities"] == {"order": {"verified": 1, "drifted": 1, "not_synced": 1}}


async def test_request_that_leads_nowhere_is_answered_with_a_hint(api: Api) -> None:
    assert (await api("GET", "/nope")).body["hint"] == "/openapi.json lists all paths."
    assert (await api("DELETE", "/status")).body["hint"] == "Allowed here: GET."
    update = {"tracking_number": "x", "status": "delivered"}
    assert (await api("POST", "/tracking", update)).body["detail"] == "No parcel in transit has the tracking number x."
    refused = await api("POST", "/orders", ORDER, role=Role.VIEWER)
    assert refused.body["hint"] == "Use a token with that role; `connector tokens create --role ops` creates one."


async def test_return_runs_from_request_to_refund_over_http(api: Api) -> None:
    await placed(api)
    for action in ("verify", "confirm"):
        await api.move(action=action)
    await api("POST", "/allocations", {"numbers": ["W-1"]})
    for action in ("pick", "ship"):
        await api.move(action=action, lines={"1": 2, "2": 1.5})
    await api.move(action="deliver")
    asked = await api("POST", "/returns", {"order": "W-1", "lines": {"1": 1}, "reason": "damaged"})
    assert (asked.status, asked.body["key"], asked.headers["Location"]) == (
        201,
        "W-1-RMA1",
        f"{PREFIX}/returns/W-1-RMA1",
    )
    moves = "/returns/W-1-RMA1/transitions"
    await api("POST", moves, {"action": "approve_return"})
    await api("POST", moves, {"action": "receive_return", "lines": {"1": 1}})
    said = await api("POST", moves, {"action": "inspect_return", "written_off": {"1": 1}})
    assert (said.body["status"], said.body["lines"][0]["written_off"]) == ("closed", "1")
    refused = await api("POST", moves, {"action": "close_return", "return_number": 2})
    assert (refused.status, refused.body["field"]) == (422, "return_number")
    refused = await api("POST", moves, {"action": "ship"})
    assert (refused.status, refused.body["field"]) == (422, "action")
    assert (await api("GET", "/returns/W-1-RMA9")).status == 404


async def test_repeated_placement_changes_nothing_and_a_different_order_is_rejected(api: Api) -> None:
    await placed(api)
    assert (await api("POST", "/orders", ORDER)).status == 200
    again = await api("POST", "/orders", ORDER | {"currency": "EUR"})
    assert (again.status, again.body["rule"], again.body["field"]) == (409, "idempotency", "number")
    async with api.store.reader() as connection:
        assert (await connection.execute(select(func.count()).select_from(orders))).scalar() == 1


async def test_order_can_create_its_customer(api: Api) -> None:
    person = {"number": "P-7", "first_name": "Ada", "last_name": "Byron", "city": "London"}
    await placed(api, number="W-2", customer=person)
    assert (await api("GET", "/orders/W-2")).body["customer"] == "P-7"


@pytest.mark.parametrize(
    ("given", "name", "is_person"),
    [
        ({"first_name": "Ada", "last_name": "Byron"}, "Ada Byron", True),
        ({"name": "", "first_name": " ", "last_name": ""}, "P-7", False),
        ({}, "P-7", False),
        ({"name": " Byron Ltd "}, "Byron Ltd", False),
    ],
)
async def test_customer_without_a_name_is_accepted(api: Api, given: dict[str, Any], name: str, is_person: bool) -> None:
    await placed(api, number="W-2", customer={"number": "P-7", **given})
    async with api.store.reader() as connection:
        [customer] = await customers.load(connection, ["P-7"])
    assert (customer.name, customer.person) == (name, is_person)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [{"line": 1, "sku": "CHAI", "quantity": True}]}, "lines.0.quantity"),
        ({"lines": [{"line": 1, "sku": "CHAI", "quantity": -1}]}, "lines.0.quantity"),
        ({"lines": [{"line": 0, "sku": "CHAI", "quantity": 1}]}, "lines.0.line"),
        ({"currency": "usd"}, "currency"),
        ({"placed_at": "27.02.2026 09:30"}, "placed_at"),
        ({"stage": "completed"}, "stage"),
        ({"number": ""}, "number"),
        ({"number": "a\nb"}, "number"),
        ({"freight": "1e99"}, "freight"),
    ],
)
async def test_invalid_body_is_rejected_naming_the_field(api: Api, change: dict[str, Any], field: str) -> None:
    said = await api("POST", "/orders", ORDER | change)
    assert (said.status, said.body["rule"]) == (422, "input")
    assert field in {item["field"] for item in said.body["errors"]}
    assert said.headers["Content-Type"] == "application/problem+json"
    async with api.store.reader() as connection:
        assert (await connection.execute(select(func.count()).select_from(orders))).scalar() == 0


@pytest.mark.parametrize(
    ("body", "status", "field", "rule"),
    [
        ({"action": "ship", "lines": {"1": 1}}, 409, "stage", "stage"),
        ({"action": "cancel", "lines": {"9": 1}}, 422, "lines.9", "input"),
        ({"action": "cancel", "lines": {"1": 99}}, 422, "lines.1", "quantity"),
        ({"action": "capture", "amount": 1000}, 422, "amount", "amount"),
        ({"action": "advance"}, 422, "action", "input"),
        ({"action": "fly"}, 422, "action", "input"),
        ({"action": "verify", "color": "red"}, 422, "color", "input"),
        ({"action": "authorize", "amount": 1, "details": {"freight": 50, "tax_rate": "0.5"}}, 422, "details", "input"),
        ({"action": "change", "details": {"notes": "x"}, "hold": "address"}, 422, "hold", "input"),
        ({"action": "hold"}, 422, "hold", "input"),
        ({"action": "change"}, 422, "line_edits", "input"),
        ({"action": "verify", "version": 7}, 409, "version", "version"),
        ({"action": "cancel", "lines": {"1": True}}, 422, "lines.1", "input"),
    ],
)
async def test_transition_that_the_order_does_not_allow_is_rejected_without_effect(
    api: Api, body: dict[str, Any], status: int, field: str, rule: str
) -> None:
    await placed(api)
    said = await api.move(**body)
    assert (said.status, said.body["field"], said.body["rule"]) == (status, field, rule)
    async with api.store.reader() as connection:
        assert (await connection.execute(select(func.count()).select_from(order_events))).scalar() == 1


@pytest.mark.parametrize("action", REQUESTABLE)
async def test_field_that_an_action_does_not_have_is_rejected_by_name_without_effect(api: Api, action: Action) -> None:
    await placed(api)
    foreign = {name: SENT[name] for name in SENT if name not in ACTION_FIELDS[action].requestable}
    own = {name: SENT[name] for name in ACTION_FIELDS[action].requestable}
    said = await api.move(action=action.value, **own, **foreign)
    assert said.status == 422
    assert {(error["field"], error["rule"]) for error in said.body["errors"]} == {(name, "input") for name in foreign}
    assert f"is not a field of {action}; {action} takes " in said.body["detail"]
    async with api.store.reader() as connection:
        assert (await connection.execute(select(func.count()).select_from(order_events))).scalar() == 1


async def test_second_change_to_the_same_version_is_rejected(api: Api) -> None:
    await placed(api)
    etag = (await api("GET", "/orders/W-1")).headers["ETag"]
    path, headers = "/orders/W-1/transitions", {"If-Match": etag}
    tries = [api("POST", path, {"action": "authorize", "amount": 1}, headers=headers) for _ in range(2)]
    assert sorted(said.status for said in await asyncio.gather(*tries)) == [200, 412]


async def test_order_that_breaks_a_rule_is_put_on_hold(api: Api) -> None:
    await placed(api, ship_to_street=None)
    said = await api.move(action="verify")
    assert (said.status, said.body["stage"], said.body["holds"]) == (200, "placed", ["address"])
    [hold] = (await api("GET", "/holds", role=Role.VIEWER)).body["holds"]
    assert (hold["reason"], hold["note"]) == ("address", "The delivery address lacks street.")
    await api.move(action="release", hold="address")
    assert (await api.move(action="verify")).body["stage"] == "verified"


async def test_orders_are_listed_page_by_page(api: Api) -> None:
    for index in range(5):
        await placed(api, number=f"W-{index}")
    first = (await api("GET", "/orders", params={"limit": "3", "stage": "placed"})).body
    rest = (await api("GET", "/orders", params={"limit": "3", "after": first["after"]})).body
    assert [order["number"] for order in first["orders"] + rest["orders"]] == [f"W-{index}" for index in range(5)]
    assert rest["after"] is None
    assert (await api("GET", "/orders", params={"stage": "flying"})).body["field"] == "stage"
    assert (await api("GET", "/orders", params={"sort": "x"})).body["field"] == "sort"


async def test_lost_stock_is_taken_from_the_least_urgent_order(api: Api) -> None:
    await placed(api, number="W-1")
    await placed(api, number="W-2", service_level="same_day")
    for number in ("W-1", "W-2"):
        await api.move(number, action="verify")
    await api("POST", "/allocations", {"numbers": ["W-1", "W-2"]})
    said = await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 3}})
    assert (said.status, said.body["reallocated"], said.body["short"]) == (200, ["W-1"], ["W-1"])
    [level] = (await api("GET", "/stock", params={"sku": "CHAI"})).body["stock"]
    assert (level["on_hand"], level["reserved"]) == ("3", "3")


async def test_revoked_or_expired_token_is_rejected(api: Api) -> None:
    async with api.store.transaction() as uow:
        late = await tokens.create(uow, "late", Role.VIEWER, expires_at=uow.now - timedelta(seconds=1))
        await tokens.revoke(uow, "viewer of tests")
    assert (await api("GET", "/status", role=Role.VIEWER)).status == 401
    assert (await api("GET", "/status", role=None, headers={"Authorization": f"Bearer {late}"})).status == 401
    assert (await api("GET", "/status", role=Role.ADMIN)).status == 200


async def test_unknown_path_method_or_parameter_is_a_problem_document(api: Api) -> None:
    ops = {"Authorization": f"Bearer {api.secrets[Role.OPS]}"}
    for method, path, more, status in (
        ("GET", "/api/v1/nothing", {}, 404),
        ("DELETE", "/api/v1/orders", {}, 405),
        ("POST", "/api/v1/orders", {"data": b"{", "headers": ops | {"Content-Type": "application/json"}}, 400),
        ("POST", "/api/v1/orders", {"data": b"NaN", "headers": ops | {"Content-Type": "application/json"}}, 400),
        ("POST", "/api/v1/orders", {"data": b"a=1", "headers": ops | {"Content-Type": "text/plain"}}, 415),
        (
            "POST",
            "/api/v1/orders",
            {"data": BytesIO(b" " * 3_000_000), "headers": ops | {"Content-Type": "application/json"}},
            413,
        ),
    ):
        async with api.client.request(method, path, **more) as answer:
            assert (answer.status, answer.content_type) == (status, "application/problem+json"), path
            assert (await answer.json(content_type=None))["rule"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"])
async def test_time_out_of_range_is_rejected(api: Api, moment: str) -> None:
    said = await api("POST", "/orders", ORDER | {"placed_at": moment})
    assert (said.status, said.body["field"]) == (422, "placed_at")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"placed_at": 0}, "placed_at"),
        ({"promised_on": 20000}, "promised_on"),
        ({"promised_on": "0001-01-01"}, "promised_on"),
    ],
)
async def test_day_must_be_an_iso_date(api: Api, change: dict[str, Any], field: str) -> None:
    said = await api("POST", "/orders", ORDER | change)
    assert (said.status, said.body["field"]) == (422, field)


async def test_unknown_charset_is_a_bad_request(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.secrets[Role.OPS]}", "Content-Type": "application/json; charset=odd"}
    async with api.client.post(f"{PREFIX}/orders", data=b"{}", headers=headers) as answer:
        assert (answer.status, (await answer.json(content_type=None))["rule"]) == (400, "json")


@pytest.mark.parametrize("path", ["/orders/%00", "/orders?after=%00", "/stock?sku=a%00b", "/picks?warehouse=%00"])
async def test_values_that_a_database_cannot_store_are_rejected(api: Api, path: str) -> None:
    headers = {"Authorization": f"Bearer {api.secrets[Role.OPS]}"}
    async with api.client.get(URL(PREFIX + path, encoded=True), headers=headers) as answer:
        assert (answer.status, (await answer.json(content_type=None))["rule"]) == (400, "input")


async def test_health_readiness_and_openapi_are_served_without_a_token(api: Api) -> None:
    assert (await api("GET", "/healthz", role=None)).status == 200
    assert (await api("GET", "/readyz", role=None)).body == {"status": "ready"}
    document = (await api("GET", "/openapi.json", role=None)).body
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method.lower(), PREFIX + route.path) for route in ROUTES}
    assert document["components"]["schemas"]["PickBody"]["properties"]["lines"]
    assert [route.path for route in ROUTES if route.kind == JSON and route.result is None] == []
    fields = document["components"]["schemas"]["OrderAnswer"]["properties"]
    assert {"number", "placed_at", "ship_to_city", "stage", "lines", "holds"} <= fields.keys()


async def test_no_secret_reaches_the_log(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await placed(api)
    await api("GET", "/status", role=Role.VIEWER)
    said = "".join(capsys.readouterr())
    assert all(secret not in said for secret in api.secrets.values())
