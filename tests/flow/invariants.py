"""Whether the books balance: quantities, money, stock, histories; and whether the org tells the same story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from connector.model.money import EXACT, to_cents
from connector.model.order import Order
from connector.model.shipments import IN_HOUSE, ZERO, Resolution, ReturnStatus, ShipmentStatus
from connector.model.stage import Stage
from connector.model.transitions import apply, next_automatic_stage
from connector.store import order_history, orders
from connector.store import stock as stocks
from connector.store.queries import backorders
from tests.flow.conftest import World
from tests.order_builders import as_history_keeps


async def check_books(world: World, numbers: Sequence[str], arrived: Mapping[str, Decimal]) -> None:
    """No impossible state, no oversold unit; `arrived` is what has ever been put on a shelf, by SKU."""
    async with world.service.store.reader() as connection:
        stored = await orders.load(connection, numbers)
        levels = await stocks.levels(connection, arrived)
        held = await stocks.load_reservations(connection, numbers)
        histories = {number: await order_history.read(connection, number) for number in numbers}
        waiting = {(item.number, item.line): item async for item in backorders.stream_backorder_lines(connection)}
    out = dict.fromkeys(arrived, ZERO)
    promised = dict.fromkeys(arrived, ZERO)
    for order in stored:
        _check_lines(order)
        _check_money(order)
        _check_replay(order, histories[order.number])
        for line in order.lines:
            waits = waiting.get((order.number, line.number))
            assert line.backordered == (ZERO if waits is None else waits.quantity)
            if waits is not None:
                assert (waits.priority, waits.promised_on) == (order.priority, order.header.promised_on)
                assert (waits.sku, waits.on_hold) == (line.product.sku, bool(order.state.holds))
            mine = [reserved for key, reserved in held.items() if key[:2] == (order.number, line.number)]
            assert line.state.allocated - line.state.shipped == sum((reserved.quantity for reserved in mine), ZERO)
            assert line.state.picked - line.state.shipped == sum((reserved.picked for reserved in mine), ZERO)
            back = [
                item.lines[line.number].restocked for item in order.state.returns.values() if line.number in item.lines
            ]
            promised[line.product.sku] += line.state.allocated - line.state.shipped
            out[line.product.sku] += line.state.shipped - sum(back, ZERO)
    for sku, came in arrived.items():
        mine_there = [level for (name, _), level in levels.items() if name == sku]
        assert all(ZERO <= level.reserved <= level.on_hand for level in mine_there)
        assert sum((level.reserved for level in mine_there), ZERO) == promised[sku]
        assert sum((level.on_hand for level in mine_there), ZERO) == came - out[sku]


def _check_lines(order: Order) -> None:
    state = order.state
    for line in order.lines:
        assert (
            ZERO
            <= line.state.credited
            <= line.state.returned
            <= line.state.delivered
            <= line.state.shipped
            <= line.state.picked
            <= line.state.allocated
        )
        assert line.state.allocated + line.state.canceled <= line.quantity
        parcels = [item for item in order.state.shipments.values() if line.number in item.lines]
        gone = [item for item in parcels if item.status not in IN_HOUSE | {ShipmentStatus.VOID}]
        there = [item for item in gone if item.status is ShipmentStatus.DELIVERED]
        assert sum((item.lines[line.number] for item in gone), ZERO) == line.state.shipped
        assert sum((item.lines[line.number] for item in there), ZERO) == line.state.delivered
        assert line.state.shipped + state.packed(line.number) <= line.state.picked
        returned = [item.lines[line.number] for item in order.state.returns.values() if line.number in item.lines]
        assert sum((item.received for item in returned), ZERO) == line.state.returned
        assert all(item.inspected <= item.received <= item.requested for item in returned)
    wanted, shipped, delivered = (state.sum(name) for name in ("wanted", "shipped", "delivered"))
    assert (wanted == 0) == (order.stage is Stage.CANCELED)
    assert (order.stage in {Stage.SHIPPED, Stage.DELIVERED, Stage.COMPLETED}) == (wanted > 0 and shipped == wanted)
    assert (order.stage in {Stage.DELIVERED, Stage.COMPLETED}) == (wanted > 0 and delivered == wanted)
    assert next_automatic_stage(state) is None


def _check_money(order: Order) -> None:
    state = order.state
    total = order.header.freight or ZERO
    for line in order.lines:
        assert line.exact_total is not None
        billed = line.quantity - line.state.canceled - line.state.credited
        total = EXACT.add(total, EXACT.divide(EXACT.multiply(line.exact_total, billed), line.quantity))
    tax = to_cents(EXACT.multiply(total, order.header.tax_rate or ZERO))
    assert state.due == (to_cents(total) + tax if state.wanted > 0 else ZERO)
    assert order.tax == (tax if state.wanted > 0 else ZERO)
    assert ZERO <= order.state.refunded <= order.state.captured
    assert order.amount_due == state.due - order.state.captured + order.state.refunded
    closed = [item for item in order.state.returns.values() if item.status is ReturnStatus.CLOSED]
    assert all(line.inspected == line.received for item in closed for line in item.lines.values())


def _check_replay(order: Order, entries: Sequence[order_history.StoredEvent]) -> None:
    state = entries[0].initial_state
    assert state is not None
    for entry in entries[1:]:
        assert entry.before == state.stage
        state = apply(state, entry.event)
        assert entry.after == state.stage
    assert as_history_keeps(state) == as_history_keeps(order.state)


async def check_org(world: World, numbers: Sequence[str], begins: str) -> None:
    """The org shows the same stage, status, quantities and totals for every order."""
    rows = await world.query(
        "SELECT External_Key__c, Lifecycle_Stage__c, Fulfillment_Status__c, Payment_Status__c, Hold_Reason__c,"
        " Amount_Due__c, Tax__c, Freight__c, Ship_Complete__c, ShippingStreet, Exact_Total__c,"
        " Status, Return_Status__c, Tracking_Number__c"
        f" FROM Order WHERE External_Key__c LIKE '{begins}-%' AND IsReductionOrder = false"
    )
    lines = await world.query(
        "SELECT External_Key__c, Quantity, Allocated_Quantity__c, Picked_Quantity__c, Shipped_Quantity__c,"
        " Backordered_Quantity__c,"
        " Delivered_Quantity__c, Returned_Quantity__c, Canceled_Quantity__c FROM OrderItem"
        f" WHERE External_Key__c LIKE '{begins}-%' AND Order.IsReductionOrder = false"
    )
    reduced = await world.query(
        f"SELECT External_Key__c, Quantity, Order.Status FROM OrderItem WHERE External_Key__c LIKE '{begins}-%'"
        " AND Order.IsReductionOrder = true"
    )
    there = {row["External_Key__c"]: row for row in rows}
    lines_there = {row["External_Key__c"]: row for row in lines}
    async with world.service.store.reader() as connection:
        stored = await orders.load(connection, numbers)
    assert {(row["External_Key__c"], row["Quantity"], row["Order"]["Status"]) for row in reduced} == {
        (f"{order.number}-RMA{item.number}-{number}", -line.inspected, "Activated")
        for order in stored
        for item in order.state.returns.values()
        if item.status is ReturnStatus.CLOSED and item.resolution is Resolution.REFUND
        for number, line in item.lines.items()
        if line.inspected
    }
    assert there.keys() == {order.number for order in stored}
    assert lines_there.keys() == {line.key for order in stored for line in order.lines}
    for order in stored:
        row = there[order.number]
        assert {name: row[name] for name in row if name not in {"attributes", "Status", "External_Key__c"}} == {
            "Lifecycle_Stage__c": order.stage.value,
            "Fulfillment_Status__c": order.fulfillment_status.value,
            "Payment_Status__c": order.payment_status.value,
            "Hold_Reason__c": order.hold_reason,
            "Amount_Due__c": order.amount_due,
            "Tax__c": order.tax,
            "Freight__c": order.header.freight,
            "Ship_Complete__c": order.header.ship_complete,
            "ShippingStreet": order.header.ship_to_street,
            "Exact_Total__c": order.exact_total,
            "Return_Status__c": order.return_status,
            "Tracking_Number__c": order.header.tracking_number,
        }
        for line in order.lines:
            found = lines_there[line.key]
            for name in ("allocated", "picked", "shipped", "delivered", "returned", "canceled"):
                assert found[f"{name.title()}_Quantity__c"] == getattr(line.state, name), (line.key, name)
            assert found["Backordered_Quantity__c"] == line.backordered, line.key
            assert found["Quantity"] == line.quantity, line.key
