"""Backorders: they are listed, arriving stock goes to the most urgent orders, and nothing is sold twice."""

from __future__ import annotations

import asyncio
import csv
from decimal import Decimal
from typing import Any

from connector.model.change import EntityKind
from connector.model.role import Role
from connector.model.stage import Stage
from connector.store import orders, stock
from connector.store.queries.backorders import list_orders_waiting_for_stock
from tests.unit.store import samples
from tests.web.conftest import ORDER, Api

URGENCY = {"W-1": "standard", "W-2": "same_day", "W-3": "express"}


async def waiting(api: Api, quantity: int = 4, numbers: dict[str, str] | None = None) -> None:
    """Verified orders of different priority, without stock."""
    await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 0}})
    lines = [{"line": 1, "sku": "CHAI", "quantity": quantity, "unit_price": 18}]
    for number, level in (numbers or URGENCY).items():
        await api("POST", "/orders", ORDER | {"number": number, "service_level": level, "lines": lines})
        await api.move(number, action="verify")


async def short(api: Api, number: str) -> str:
    line = (await api("GET", f"/orders/{number}")).body["lines"][0]
    return f"{line['allocated']} of {line['quantity']}, {line['backordered']} to come"


async def test_arriving_stock_goes_to_the_most_urgent_order(api: Api) -> None:
    await waiting(api)
    assert [await short(api, number) for number in URGENCY] == ["0 of 4, 4 to come"] * 3
    said = await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 7}})
    assert (said.body["served"], said.body["short"]) == (["W-2", "W-3"], [])
    assert {number: await short(api, number) for number in URGENCY} == {
        "W-1": "0 of 4, 4 to come",
        "W-2": "4 of 4, 0 to come",
        "W-3": "3 of 4, 1 to come",
    }
    [item] = (await api("GET", "/back-orders", role=Role.VIEWER)).body["back_orders"]
    assert (item["sku"], item["quantity"], item["lines"]) == ("CHAI", "5", 2)
    assert (item["on_hand"], item["available"]) == ("7", "0")
    assert [(line["number"], line["quantity"]) for line in item["waiting"]] == [("W-3", "1"), ("W-1", "4")]
    said = await api("PUT", "/stock", {"warehouse": "WEST", "counts": {"CHAI": 100}})
    assert said.body["served"] == ["W-1", "W-3"]
    assert (await api("GET", "/back-orders")).body == {"back_orders": [], "after": None}
    async with api.store.reader() as connection:
        levels = await stock.levels(connection, ["CHAI"])
    assert [levels["CHAI", place].reserved for place in ("EAST", "WEST")] == [7, 5]


async def test_order_on_hold_stays_backordered(api: Api) -> None:
    await waiting(api)
    await api.move("W-2", action="hold", hold="fraud")
    assert (await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 5}})).body["served"] == ["W-1", "W-3"]
    [item] = (await api("GET", "/back-orders")).body["back_orders"]
    assert [(line["number"], line["on_hold"]) for line in item["waiting"]] == [("W-2", True), ("W-1", False)]


async def test_only_waiting_lines_are_backorders(api: Api) -> None:
    """Placed, canceled and imported orders without actions have none."""
    await waiting(api, numbers={"W-1": "standard", "W-2": "standard"})
    await api("POST", "/orders", ORDER | {"number": "W-3"})
    await api.move("W-2", action="cancel", lines={"1": 3})
    await samples.place(api.store, samples.order("imported", stage=Stage.CONFIRMED))
    [item] = (await api("GET", "/back-orders")).body["back_orders"]
    assert [(line["number"], line["quantity"]) for line in item["waiting"]] == [("W-1", "4"), ("W-2", "1")]
    said = await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 100}})
    assert said.body["served"] == ["W-1", "W-2"]
    async with api.store.reader() as connection:
        found = await orders.load(connection, ["imported", "W-3"])
    assert {line.backordered for order in found for line in order.lines} == {Decimal(0)}


async def test_imported_order_waits_once_its_goods_are_handled_and_not_before(api: Api) -> None:
    """A change of its header, a hold or a payment leaves its stock to the system that it was imported from."""
    await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 1}})
    await samples.place(api.store, samples.order("imported", stage=Stage.CONFIRMED))
    await api.move("imported", action="change", details={"po_number": "PO-7"})
    await api.move("imported", action="hold", hold="manual")
    await api.move("imported", action="release", hold="manual")
    assert await short(api, "imported") == "0 of 2, 0 to come"
    assert (await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 1}})).body["served"] == []
    assert (await api("GET", "/back-orders")).body["back_orders"] == []

    said = await api.move("imported", action="allocate", lines={"1": 1})
    assert said.body["lines"][0]["backordered"] == "1"
    assert await short(api, "imported") == "1 of 2, 1 to come"
    assert (await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 5}})).body["served"] == ["imported"]


async def test_line_fully_allocated_or_canceled_is_no_backorder(api: Api) -> None:
    """0.1 + 0.7 is 0.8, but not with floats."""
    await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": "0.1"}})
    lines = [{"line": 1, "sku": "CHAI", "quantity": "0.8", "unit_price": 18}]
    await api("POST", "/orders", ORDER | {"lines": lines})
    for body in ({"action": "verify"}, {"action": "allocate"}, {"action": "cancel", "lines": {"1": "0.7"}}):
        assert (await api.move(**body)).status == 200
    assert await short(api, "W-1") == "0.1 of 0.8, 0 to come"
    assert (await api("GET", "/back-orders")).body["back_orders"] == []
    async with api.store.transaction() as uow:
        assert await list_orders_waiting_for_stock(uow.connection, ["CHAI"]) == []


async def test_backorders_are_listed_by_product_in_pages_and_as_csv(api: Api) -> None:
    await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 0}})
    await api("PUT", "/stock", {"warehouse": "WEST", "counts": {"TOFU": 0}})
    for number, promised in (("W-1", "2026-03-09"), ("=W-2", "2026-03-05")):
        await api("POST", "/orders", ORDER | {"number": number, "promised_on": promised})
        await api.move(number, action="verify")
    first = (await api("GET", "/back-orders", params={"limit": "1"})).body
    rest = (await api("GET", "/back-orders", params={"limit": "1", "after": first["after"]})).body
    items = [*first["back_orders"], *rest["back_orders"]]
    assert [(item["sku"], item["quantity"], item["oldest_promise"]) for item in items] == [
        ("CHAI", "4", "2026-03-05"),
        ("TOFU", "3", "2026-03-05"),
    ]
    only = (await api("GET", "/back-orders", params={"sku": "TOFU"})).body["back_orders"]
    assert [item["sku"] for item in only] == ["TOFU"]
    token = {"Authorization": f"Bearer {api.secrets[Role.VIEWER]}"}
    async with api.client.get("/api/v1/back-orders/csv", headers=token) as answer:
        rows = list(csv.DictReader((await answer.text()).splitlines()))
    assert [(row["sku"], row["number"], row["quantity"]) for row in rows] == [
        ("CHAI", "'=W-2", "2"),
        ("CHAI", "W-1", "2"),
        ("TOFU", "'=W-2", "1.5"),
        ("TOFU", "W-1", "1.5"),
    ]


async def test_second_count_of_the_same_stock_level_is_rejected(api: Api) -> None:
    for place, seen in (("EAST", 50), ("NORTH", 0)):  # a place that is known, and one where nothing was ever counted
        tries: list[Any] = [
            api("PUT", "/stock", {"warehouse": place, "counts": {"CHAI": 60 + n}, "expected": {"CHAI": seen}})
            for n in range(5)
        ]
        answers = await asyncio.gather(*tries)
        assert sorted(said.status for said in answers) == [200] + [409] * 4
        lost = next(said for said in answers if said.status == 409)
        assert (lost.body["rule"], lost.body["field"]) == ("expected", "on_hand")
    said = await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 1}, "expected": {"TOFU": 1}})
    assert said.status == 422
    said = await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"NONE": 1}})
    assert (said.status, said.body["detail"]) == (422, "Product NONE in EAST is not known.")


async def test_concurrent_counts_and_commands_neither_oversell_nor_deadlock(api: Api) -> None:
    numbers = {f"W-{index}": ("same_day", "standard")[index % 2] for index in range(12)}
    await waiting(api, quantity=2, numbers=numbers)
    counts = [api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 9 + n}}) for n in range(6)]
    moves = [api("POST", "/allocations", {"numbers": list(numbers)[::-1]}) for _ in range(4)]
    cancels = [api.move(number, action="cancel", lines={"1": 1}) for number in list(numbers)[:4]]
    answers = await asyncio.gather(*counts, *moves, *cancels)
    assert {said.status for said in answers} == {200}
    async with api.store.reader() as connection:
        found = await orders.load(connection, list(numbers))
        held = await stock.load_reservations(connection, list(numbers))
        level = (await stock.levels(connection, ["CHAI"]))["CHAI", "EAST"]
    allocated = sum(line.state.allocated for order in found for line in order.lines)
    assert allocated == sum(reserved.quantity for reserved in held.values()) == level.reserved <= level.on_hand


async def test_backordered_quantity_is_captured_for_the_org(api: Api) -> None:
    await waiting(api)
    await samples.settle_everything(api.store)
    await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI": 4}})
    assert await samples.due_keys(api.store, EntityKind.ORDER) == ["W-2"]
