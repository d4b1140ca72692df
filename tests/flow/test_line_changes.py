"""Lines of our orders that reps change or add in the org."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.model.events import Cancel, ChangeOrder, LineEdit
from connector.model.order import Order
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.store import inbox
from tests.flow.adoption_steps import add_line, create, record_of
from tests.flow.conftest import World
from tests.flow.test_deletions import PolicyWorld, with_policy  # noqa: F401 - a fixture
from tests.flow.test_pull import NUMBER, begin, both_sides_rest, journal_of, order_here
from tests.flow.test_push import an_order


def placed() -> Any:
    return an_order(NUMBER, stage=Stage.PLACED)


def lines_of(order: Order) -> list[tuple[int, str, Decimal, Decimal | None, Decimal]]:
    return [(line.number, line.product.sku, line.quantity, line.unit_price, line.discount) for line in order.lines]


FIRST = (1, "P-1", Decimal(12), Decimal(14), Decimal("0.15"))
SECOND = (2, "P-4", Decimal(3), Decimal("12.75"), Decimal("0.15"))


async def test_changed_and_added_lines_of_a_draft_change_the_order_here(world: World) -> None:
    """A price that is a whole percentage below the list price is a discount; any other price is a price."""
    await begin(world, placed())
    record = await record_of(world, "Order", NUMBER)
    await world.change_in_org("OrderItem", f"{NUMBER}-1", Quantity=5, UnitPrice="12.60")
    await world.change_in_org("OrderItem", f"{NUMBER}-2", UnitPrice="9.99")
    await add_line(world, record, "P-2", 4, "9.80")
    await add_line(world, record, "P-3", 1, "30")

    summary = await world.service.pull()

    assert lines_of(await order_here(world)) == [
        (1, "P-1", Decimal(5), Decimal(14), Decimal("0.1")),
        (2, "P-4", Decimal(3), Decimal("9.99"), Decimal(0)),
        (3, "P-2", Decimal(4), Decimal("9.8"), Decimal(0)),
        (4, "P-3", Decimal(1), Decimal(30), Decimal(0)),
    ]
    assert summary.applied.taken == {"OrderItem.Quantity": 1, "OrderItem.UnitPrice": 2, "OrderItem": 2}
    assert (await world.push()).in_sync
    there = await world.order(NUMBER)
    assert there["lines"].keys() == {f"{NUMBER}-{number}" for number in (1, 2, 3, 4)}
    assert there["Exact_Total__c"] == there["TotalAmount"] == Decimal("162.17")
    await both_sides_rest(world)


async def test_both_sides_change_a_line_and_the_later_one_stands(world: World) -> None:
    await begin(world, placed())
    edit = LineEdit(sku="P-1", quantity=Decimal(7), unit_price=Decimal(14), discount=Decimal("0.15"))
    command = OrderCommand(number=NUMBER, event=ChangeOrder(line_edits={1: edit}))
    await world.service.orders.execute(command, actor="clerk")
    await world.change_in_org("OrderItem", f"{NUMBER}-1", Quantity=9)

    await world.service.pull()
    assert (await world.push()).in_sync

    assert (await order_here(world)).lines[0].quantity == 9
    assert (await world.order(NUMBER))["lines"][f"{NUMBER}-1"]["Quantity"] == 9
    await both_sides_rest(world)


@pytest.mark.parametrize("policy", ["take", "restore"])
async def test_what_the_order_or_the_setting_forbids_is_restored(
    with_policy: PolicyWorld,  # noqa: F811
    policy: str,
) -> None:
    """An order that is canceled here allows nothing: a quantity is set back, and an added line is removed."""
    async with with_policy(changed_lines=policy) as world:
        await begin(world, placed())
        if policy == "take":
            command = OrderCommand(number=NUMBER, event=Cancel())
            await world.service.orders.execute(command, actor="clerk")
            await world.push()
        record = await record_of(world, "Order", NUMBER)
        await world.change_in_org("OrderItem", f"{NUMBER}-1", Quantity=5)
        added = await add_line(world, record, "P-2", 4, "9.80")

        summary = await world.service.pull()
        assert (await world.push()).in_sync

        assert summary.applied.restored == {"OrderItem.Quantity": 1, "OrderItem": 1}
        assert summary.applied.refused == (2 if policy == "take" else 0)
        assert lines_of(await order_here(world)) == [FIRST, SECOND]
        there = (await world.order(NUMBER))["lines"]
        assert {key: line["Quantity"] for key, line in there.items()} == {f"{NUMBER}-1": 12, f"{NUMBER}-2": 3}
        [removed] = [detail for action, detail in await journal_of(world, "order", NUMBER) if action == "line removed"]
        assert removed["record"] == added
        assert ("because" in removed) is (policy == "take")
        await both_sides_rest(world)


async def test_added_line_of_an_unknown_product_is_parked_and_replayed(world: World) -> None:
    await begin(world, placed())
    product = await create(world, "Product2", Name="Gift", ProductCode="GIFT", IsActive=True)
    [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
    entry = await create(
        world, "PricebookEntry", Pricebook2Id=book["Id"], Product2Id=product, UnitPrice=5, IsActive=True
    )
    added = await add_line(world, await record_of(world, "Order", NUMBER), "GIFT", 1, 5, entry=entry)

    assert (await world.service.pull()).parked == 1
    async with world.service.store.reader() as connection:
        [item] = await inbox.list_parked(connection)
    assert item.error == f"A line was added to order {NUMBER}, but its product is not known in the order system."
    assert (item.record_id, f"link product SKU {product}" in str(item.fix)) == (added, True)
    world.org.org.dml.delete([added])
    async with world.service.store.transaction() as uow:
        await inbox.replay(uow)
    assert (await world.service.pull()).in_sync
    await both_sides_rest(world)


async def test_line_is_not_taken_for_a_new_one_while_our_own_send_has_no_answer(world: World) -> None:
    """Our push has added the line, and its answer was lost."""
    await begin(world, placed())
    edit = LineEdit(sku="P-2", quantity=Decimal(1), unit_price=Decimal("9.8"))
    command = OrderCommand(number=NUMBER, event=ChangeOrder(line_edits={3: edit}))
    await world.service.orders.execute(command, actor="clerk")
    world.org.org.faults.configure({"lost_response": 5})
    await world.push()
    world.org.org.faults.configure({"lost_response": 0})
    assert await world.count("OrderItem") == 3

    await world.service.pull()
    assert lines_of(await order_here(world)) == [FIRST, SECOND, (3, "P-2", Decimal(1), Decimal("9.8"), Decimal(0))]
