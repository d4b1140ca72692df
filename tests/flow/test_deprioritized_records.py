"""Records that the org refuses for a reason which may be its own: they stay due, and keep nothing else from arriving,
however many they are and wherever they stand in the queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connector.jobs.push_summary import PushSummary
from connector.localorg.fault_responses import RowRefusal
from connector.model.change import EntityKind
from connector.model.stage import Stage
from connector.outbound.health import OrgHealth
from connector.salesforce.transport import HttpResponse, Transport
from connector.store import outbox
from connector.store.engine import Store
from tests.flow.conftest import CUSTOMERS, PRODUCTS, World
from tests.flow.org_faults import LITE, OLD, calls, changed_lines, due, outage
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line
from tests.order_builders import changed

TWO_LINES = (a_line(1, "P-1"), a_line(3, "P-2"))


async def pushed_by_a_new_process(world: World) -> PushSummary:
    world.service = replace(world.service, push_context=replace(world.service.push_context, health=OrgHealth()))
    return await world.push()


async def in_doubt(world: World, monkeypatch: pytest.MonkeyPatch, *numbers: str) -> None:
    """From now on the org refuses whatever is written to these orders."""
    keys = ", ".join(f"'{number}'" for number in numbers)
    rows = await world.query(f"SELECT Id FROM Order WHERE External_Key__c IN ({keys})")
    ids = [row["Id"] for row in rows]
    assert len(ids) == len(numbers)
    monkeypatch.setattr(RowRefusal, "matches", lambda self, sobject, body: any(item in str(dict(body)) for item in ids))
    world.org.org.faults.configure({"rows": {"code": "INSUFFICIENT_ACCESS_OR_READONLY", "count": 100_000}})


async def unsent(store: Store) -> set[str]:
    async with store.reader() as connection:
        kinds = [await outbox.find(connection, kind, KEYS) for kind in EntityKind]
    return {key for found in kinds for key in found}


FAILED_INSIDE = b'[{"errorCode": "UNKNOWN_EXCEPTION", "message": "An unexpected error occurred."}]'
KEYS = [*(f"A-{number:02}" for number in range(12)), *(customer.number for customer in CUSTOMERS)]


@LITE
@pytest.mark.parametrize("count", [2, 10])
async def test_deprioritized_orders_sent_alone_do_not_delay_later_changes(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    sold = [an_order(f"A-{number:02}", customer="C-1", stage=Stage.CONFIRMED) for number in range(12)]
    await world.save(sold)
    await world.push()
    poison = {order.number for order in sold[:count]}
    await in_doubt(world, monkeypatch, *poison)
    await world.save([replace(order, lines=TWO_LINES) for order in sold])
    await world.save(some_customers=[replace(item, name=f"{item.name} X") for item in CUSTOMERS])
    pushes = 0
    while await unsent(world.service.store) - poison:
        before = calls(world)
        await pushed_by_a_new_process(world)
        pushes += 1
        assert pushes <= count // 2 + 1
        assert calls(world) - before <= 4 + 2 * len(sold)
    for number in range(
        2 + count
    ):  # each time the org takes another order, which tells that the doubt was the record's
        if {letter.key for letter in await world.dead_letters()} == poison:
            break
        await world.save([changed(sold[-1], lines=TWO_LINES, notes=f"Note {number}")])
        await pushed_by_a_new_process(world)
    held = await unsent(world.service.store)
    assert {letter.key for letter in await world.dead_letters()} == held == poison
    assert await outage(world) is None


@LITE
async def test_deprioritized_products_do_not_delay_orders_that_do_not_need_them(world: World) -> None:
    await world.save(OLD)
    await world.push()
    new = [replace(item, sku=f"X-{item.sku}") for item in PRODUCTS[:2]]
    await world.save([changed(order, notes="changed") for order in OLD])
    await world.save(some_products=[replace(PRODUCTS[3], name="changed"), *new])
    world.org.org.faults.configure({"rows": {"code": "NEVER_SEEN", "sobject": "Product2", "count": 1000}})
    for _ in range(2):
        summary = await pushed_by_a_new_process(world)
    assert await due(world) == 3
    assert (await world.order("A-1"))["Description"] == "changed"
    assert summary.held is not None
    assert (await world.dead_letters(), "NEVER_SEEN" in summary.held) == ([], True)
    world.org.org.faults.clear()
    assert (await pushed_by_a_new_process(world)).in_sync


@LITE
async def test_hidden_field_refuses_no_record_while_rows_without_it_are_accepted(world: World) -> None:
    await world.save(OLD)
    await world.push()
    refusal: dict[str, Any] = {"code": "INVALID_FIELD_FOR_INSERT_UPDATE", "containing": "Description"}
    world.org.org.faults.configure({"rows": {**refusal, "count": 1000}})
    await world.save([*(changed(order, notes="changed") for order in OLD[:2]), OLD[2].with_header(po_number="PO-7")])
    for _ in range(3):
        summary = await pushed_by_a_new_process(world)
    assert (await world.order("A-3"))["PoNumber"] == "PO-7"
    assert (await due(world), await world.dead_letters(), summary.held is not None) == (2, [], True)
    world.org.org.faults.clear()
    assert (await pushed_by_a_new_process(world)).in_sync


@LITE
async def test_hidden_lines_do_not_delay_other_changes(world: World) -> None:
    await world.save(OLD)
    await world.push()
    await changed_lines(world)
    await world.save(some_customers=[replace(item, name=f"{item.name} X") for item in CUSTOMERS])
    refused = {"code": "INSUFFICIENT_ACCESS_OR_READONLY", "sobject": "OrderItem", "count": 1000}
    world.org.org.faults.configure({"rows": refused})
    for _ in range(2):
        await pushed_by_a_new_process(world)
    assert (await due(world), await world.dead_letters()) == (len(OLD), [])
    world.org.org.faults.clear()
    assert (await pushed_by_a_new_process(world)).in_sync


@LITE
async def test_order_on_which_the_org_fails_each_time_is_isolated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any call that holds it is answered with 500: nobody knows of whom that speaks until it is alone."""
    send = Transport.send

    async def failing(self: Transport, method: str, path: str, **more: Any) -> HttpResponse:
        if more["write"] and b"A-03" in (more["content"] or b""):
            return HttpResponse(status=500, headers={}, content=FAILED_INSIDE)
        return await send(self, method, path, **more)

    monkeypatch.setattr(Transport, "send", failing)
    sold = [an_order(f"A-{number:02}", customer=f"C-{number % 4 + 1}", stage=Stage.CONFIRMED) for number in range(12)]
    await world.save(sold)
    for _ in range(12):
        await pushed_by_a_new_process(world)
    assert await unsent(world.service.store) == {"A-03"}
    assert await world.dead_letters() == []
