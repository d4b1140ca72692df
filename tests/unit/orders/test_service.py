"""OrderService returns the stored order and recognizes repeats."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_event

from connector.errors import CommandError
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.events import (
    Allocate,
    ApproveReturn,
    Authorize,
    Cancel,
    Capture,
    ChangeOrder,
    Confirm,
    Deliver,
    IssueInvoice,
    LineEdit,
    Pack,
    Pick,
    PlaceHold,
    ReleaseHold,
    RequestReturn,
    Ship,
    SplitOrder,
    Verify,
)
from connector.model.holds import Hold
from connector.model.order import Order
from connector.orders.command import OrderCommand
from connector.orders.placement import Placement
from connector.orders.policy.rules import load_rules, standard
from connector.orders.service import OrderService
from connector.store import orders, stock
from connector.store.engine import Store
from tests.unit.orders.test_header_changes import WHOLE
from tests.unit.store import samples

ONE = {1: Decimal(1)}
LIFE = (
    PlaceHold(hold=Hold.MANUAL, note="ask"),
    ReleaseHold(hold=Hold.MANUAL),
    Verify(),
    ChangeOrder(line_edits={1: LineEdit(sku="CHAI", quantity=Decimal(4))}, details={"po_number": "P"}),
    Verify(),
    SplitOrder(lines={2: Decimal("0.5")}),
    Confirm(),
    Cancel(lines=ONE),
    Allocate(),
    Pick(),
    Pack(lines=ONE),
    Ship(shipment=1, carrier="DHL", tracking_number="T-1"),
    Deliver(),
    IssueInvoice(),
    Authorize(),
    Capture(),
    RequestReturn(lines=ONE),
    ApproveReturn(),
)


@pytest.fixture
async def service(store: Store) -> OrderService:
    await samples.stock(store)
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(9), ("TOFU", "EAST"): Decimal(9)})
    return OrderService(store, standard)


async def stored(store: Store, number: str = "1") -> Order:
    async with store.reader() as connection:
        [order] = await orders.load(connection, [number])
    return order


async def test_order_that_is_returned_is_the_order_that_is_stored(service: OrderService, store: Store) -> None:
    [placed] = await service.place([Placement(order=samples.order("1", **WHOLE))], actor="anna")
    assert placed.order == await stored(store)
    for event in LIFE:
        executed = await service.execute(OrderCommand(number="1", event=event), actor="anna")
        assert executed.order == await stored(store), event.action
    assert executed.order.header.po_number == "P"


async def test_repeat_of_a_placement_or_a_request_is_replayed_and_changes_nothing(
    service: OrderService, store: Store
) -> None:
    placement = Placement(order=samples.order("1", **WHOLE))
    command = OrderCommand(number="1", event=Verify(), request="k-1")
    assert [item.replayed for item in await service.place([placement], actor="anna")] == [False]
    assert (await service.execute(command, actor="anna")).replayed is False
    before = await stored(store)
    assert [item.replayed for item in await service.place([placement], actor="anna")] == [True]
    assert (await service.execute(command, actor="anna")).replayed is True
    assert await stored(store) == before


async def test_rejected_command_of_several_leaves_nothing_of_the_others(service: OrderService, store: Store) -> None:
    await service.place([Placement(order=samples.order("1", **WHOLE))], actor="anna")
    before = await stored(store)
    commands = [OrderCommand(number="1", event=make_event(action)) for action in (Action.VERIFY, Action.SHIP)]
    with pytest.raises(CommandError, match="cannot ship"):
        await service.execute_all(commands, actor="anna")
    assert await stored(store) == before


async def test_placing_an_order_takes_at_most_nine_statements(service: OrderService, store: Store) -> None:
    """With the statements for its token, an order by HTTP takes at most eleven."""
    statements: list[str] = []
    await service.place([Placement(order=samples.order("0", **WHOLE))], actor="anna")
    engine = store._engine.sync_engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", lambda *call: statements.append(" ".join(call[2].split())))
    await service.place([Placement(order=samples.order("1", **WHOLE))], actor="anna")
    assert len(statements) <= 9, statements
    tables = [statement.split(" FROM ")[1].split()[0] for statement in statements if statement.startswith("SELECT")]
    assert len(set(tables)) == len(tables), "each table is read once"


async def test_returned_order_has_its_time_in_utc_as_stored(service: OrderService, store: Store) -> None:
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    item = samples.order("1", **WHOLE).with_header(placed_at=moment)
    [placed] = await service.place([Placement(order=item)], actor="anna")
    assert placed.order.header.placed_at.isoformat() == (await stored(store)).header.placed_at.isoformat()


async def test_priority_of_a_placed_order_counts_the_earlier_orders_of_its_customer(
    service: OrderService, store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("verification: []\npriority: [{points: 5, when: earlier_orders >= 1}]\n")
    rules = load_rules(file)
    by_history = OrderService(store, lambda: rules)
    first, second = (samples.order(number, **WHOLE) for number in ("1", "2"))
    later = second.with_header(placed_at=first.header.placed_at + timedelta(days=2))
    for item in (first, later):
        await by_history.place([Placement(order=item)], actor="anna")
    assert [(await stored(store, number)).priority for number in ("1", "2")] == [0, 5]
