"""The stored state equals the replayed history: no field of an event bypasses the rules of its action."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from connector.errors import CommandError
from connector.model.action_fields import ACTION_FIELDS, make_event
from connector.model.actions import Action
from connector.model.events import Authorize, Capture, SplitOrder
from connector.model.holds import Hold
from connector.model.order import LineInput, Order
from connector.model.order_header import HEADER_FIELDS, INHERITED, OF_SHIPMENT
from connector.model.shipments import Resolution
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.policy.rules import standard
from connector.orders.policy.verification import verify
from connector.orders.service import execute_in
from connector.orders.transaction import OrderTransaction
from connector.store import order_history, orders
from connector.store import stock as stocks
from connector.store.engine import Store
from connector.store.tables import order_events
from connector.store.tables import orders as table
from tests.order_builders import as_history_keeps, order_input
from tests.unit.orders.test_header_changes import read, replayed
from tests.unit.orders.test_transaction import SHIPPED, act, allocate, opened
from tests.unit.store import samples
from tests.unit.store.samples import placements

HEADER: dict[str, Any] = {
    "number": "1",
    "customer": "ALFKI",
    "placed_at": datetime(2026, 2, 27, 9, 30, tzinfo=UTC),
    "currency": "USD",
    "stage": Stage.PLACED,
    "channel": "web",
    "service_level": "express",
    "po_number": "PO-7",
    "notes": "Gift wrap.",
    "promised_on": date(2026, 3, 5),
    "shipped_on": None,
    "carrier": None,
    "tracking_number": None,
    "freight": Decimal("4.90"),
    "tax_rate": Decimal("0.0825"),
    "stated_total": Decimal("98.02"),
    "ship_complete": True,
    "delivery_note": "Leave it at the back door.",
    "rep_comment": "A friend of the house.",
    "ship_to_name": "Ada Byron",
    "ship_to_street": "Rue 1",
    "ship_to_city": "Reims",
    "ship_to_state": "Marne",
    "ship_to_postal_code": "51100",
    "ship_to_country": "France",
    "lines": (samples.line(1), samples.line(2, "TOFU", "1.5", "23.25", "0.15")),
}
"""Every field of an order that arrives, with a value that stands nowhere else."""
ALL = {1: 2, 2: "1.5"}


async def placed(store: Store, **changes: Any) -> Order:
    await opened(store, "other")
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="shop").place(placements([order_input(**HEADER | changes)]))
    return await read(store)


async def test_authorization_with_details_is_rejected_and_changes_no_amount(store: Store) -> None:
    await opened(store)
    before = await read(store)
    with pytest.raises(CommandError, match=r"^details is not a field of authorize; authorize takes amount, reference"):
        await act(store, Action.AUTHORIZE, amount=1, details={"freight": Decimal(50), "tax_rate": Decimal("0.5")})
    assert await read(store) == before
    assert await replayed(store) == as_history_keeps(before.state)


async def test_stored_change_with_a_hold_field_releases_nothing(store: Store) -> None:
    await opened(store)
    async with store.transaction() as uow:
        transaction = OrderTransaction(uow, actor="job")
        await verify(transaction, ["1"])
        state = (await transaction.order("1")).state
    assert state.holds == {Hold.ADDRESS}
    await act(store, Action.CHANGE, details={"po_number": "PO-7"})
    async with store.transaction() as uow:
        here = (order_events.c.order_number == "1") & (order_events.c.event == "changed")
        detail = '{"details": {"po_number": "PO-7"}, "hold": "manual"}'
        await uow.connection.execute(update(order_events).where(here).values(detail=detail))
    assert await replayed(store) == as_history_keeps((await read(store)).state)
    await act(store, Action.RELEASE, hold=Hold.ADDRESS)
    await act(store, Action.CHANGE, details={"stated_total": Decimal(5)})
    async with store.transaction() as uow:
        transaction = OrderTransaction(uow, actor="job")
        await verify(transaction, ["1"])
        state = (await transaction.order("1")).state
    assert state.holds == {Hold.ADDRESS, Hold.MANUAL}


async def test_stored_fields_of_other_actions_are_ignored(store: Store) -> None:
    await opened(store)
    await act(store, Action.AUTHORIZE, amount=1)
    async with store.transaction() as uow:
        here = (order_events.c.order_number == "1") & (order_events.c.event == "authorized")
        detail = '{"amount": "1", "details": {"freight": "50"}, "hold": "address", "lines": {"1": "2"}}'
        await uow.connection.execute(update(order_events).where(here).values(detail=detail))
    async with store.reader() as connection:
        *_, entry = await order_history.read(connection, "1")
    assert entry.event == Authorize(amount=Decimal(1))
    assert entry.payload == {"event": "authorized", "amount": "1"}
    assert await replayed(store) == as_history_keeps((await read(store)).state)


def test_request_is_recognized_by_the_digest_of_an_earlier_version() -> None:
    """The digest of an event has not changed, so a replay is recognized after an upgrade."""
    event = Capture(amount=Decimal("5.00"), reference="PAY-7", note="till")
    assert (
        order_history.digest_of("1", "k", event) == "9e69684f83a24bcc83fff8466a19515d8e5c94b67b6132a1d47a2ace710be002"
    )


async def test_shipment_that_names_lines_and_a_parcel_is_rejected(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    await act(store, Action.PICK)
    await act(store, Action.PACK, lines={1: 1})
    with pytest.raises(CommandError, match=r"names lines and shipment 1\. Name one of them") as refused:
        await act(store, Action.SHIP, lines={1: 1}, shipment=1)
    assert (refused.value.field, refused.value.rule) == ("shipment", "input")


async def test_shipment_leaves_only_the_warehouse_it_was_packed_in(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    await act(store, Action.PICK)
    await act(store, Action.PACK, warehouse="EAST")
    with pytest.raises(CommandError, match=r"has shipment 1 packed in EAST\. Leave the warehouse out") as refused:
        await act(store, Action.SHIP, warehouse="WEST")
    assert (refused.value.field, refused.value.rule) == ("warehouse", "stock")
    assert (await act(store, Action.SHIP, warehouse="EAST")).stage is Stage.SHIPPED


async def test_note_of_a_command_that_the_rules_carry_out_is_in_the_history(store: Store) -> None:
    await opened(store)
    await act(store, Action.CHANGE, details={"ship_to_street": "Rue 1", "ship_to_country": "France"})
    for action in (Action.VERIFY, Action.ALLOCATE):
        async with store.transaction() as uow:
            command = OrderCommand(number="1", event=make_event(action, note="by phone"))
            await execute_in(OrderTransaction(uow, actor="anna"), command)
    async with store.reader() as connection:
        entries = await order_history.read(connection, "1")
    assert [(entry.event.action, entry.event.note) for entry in entries[2:]] == [
        (Action.VERIFY, "by phone"),
        (Action.ALLOCATE, "by phone"),
    ]


async def test_deallocation_at_a_warehouse_frees_nothing_in_another(store: Store) -> None:
    await opened(store)
    async with store.transaction() as uow:
        await stocks.count(uow, {("CHAI", "EAST"): Decimal(1), ("CHAI", "WEST"): Decimal(1)})
    await act(store, Action.VERIFY)
    await act(store, Action.ALLOCATE, lines={1: 2, 2: "1.5"})
    with pytest.raises(CommandError, match="cannot deallocate 2 of line 1 in WEST: 1 is allocated and not picked"):
        await act(store, Action.DEALLOCATE, lines={1: 2}, warehouse="WEST")
    after = await act(store, Action.DEALLOCATE, warehouse="WEST")
    assert [line.allocated for line in after.lines.values()] == [Decimal(1), Decimal("1.5")]
    async with store.reader() as connection:
        levels = await stocks.levels(connection, ["CHAI"])
    assert {place: level.reserved for (_, place), level in levels.items()} == {"EAST": Decimal(1), "WEST": Decimal(0)}


async def test_split_keeps_every_field_of_the_header(store: Store) -> None:
    order = await placed(store)
    await act(store, Action.SPLIT, lines={2: 1})
    part = await read(store, "1-S1")
    same = {*INHERITED, "placed_at", "notes"}
    assert {name: getattr(part.header, name) for name in same} == {name: getattr(order.header, name) for name in same}
    assert (part.customer, part.stage) == (order.customer, order.stage)
    assert all(getattr(order.header, name) for name in HEADER_FIELDS.keys() - OF_SHIPMENT)
    # Freight is charged once. The stated total was for all lines, so neither order has one now.
    assert (part.header.freight, part.header.stated_total, (await read(store)).header.stated_total) == (
        None,
        None,
        None,
    )
    assert [(line.number, line.product.sku, line.quantity, line.unit_price, line.discount) for line in part.lines] == [
        (2, "TOFU", Decimal(1), Decimal("23.25"), Decimal("0.15"))
    ]
    for number in ("1", "1-S1"):
        assert await replayed(store, number) == as_history_keeps((await read(store, number)).state)


async def test_split_order_does_not_inherit_shipment_fields(store: Store) -> None:
    await placed(store, ship_complete=False)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await act(store, Action.ALLOCATE, lines={1: 2})
    await act(store, Action.PICK)
    await act(store, Action.SHIP, lines={1: 1}, **SHIPPED)
    await act(store, Action.SPLIT, lines={2: 1})
    order, part = await read(store), await read(store, "1-S1")
    assert all(getattr(order.header, name) for name in OF_SHIPMENT)
    assert not any(getattr(part.header, name) for name in OF_SHIPMENT)
    assert part.stage is Stage.CONFIRMED


@pytest.mark.parametrize("note", [None, "the rest in May"])
async def test_split_of_an_order_without_notes_names_its_source(store: Store, note: str | None) -> None:
    await placed(store, notes=None)
    await act(store, Action.SPLIT, lines={2: 1}, note=note)
    assert (await read(store, "1-S1")).header.notes == (note or "Split from order 1.")


async def test_split_of_an_imported_order_keeps_its_tax_rate(store: Store) -> None:
    net = replace(
        standard(), billing=replace(standard().billing, net=True, tax_rate=Decimal("0.19"), company="Tax Collectors")
    )
    await opened(store, "other")
    async with store.transaction() as uow:
        await orders.save(uow, [order_input(**HEADER | {"tax_rate": None})])
        split = SplitOrder(lines={2: Decimal(1)})
        await OrderTransaction(uow, actor="anna", rules=net).execute_all([OrderCommand(number="1", event=split)])
    assert (await read(store, "1-S1")).header.tax_rate is None


async def test_replacement_inherits_the_header_and_is_free_of_charge(store: Store) -> None:
    order = await placed(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    await act(store, Action.PICK)
    await act(store, Action.SHIP, **SHIPPED)
    await act(store, Action.DELIVER)
    await act(store, Action.REQUEST_RETURN, lines={1: 1}, resolution=Resolution.REPLACEMENT)
    await act(store, Action.APPROVE_RETURN)
    await act(store, Action.RECEIVE_RETURN)
    await act(store, Action.INSPECT_RETURN, written_off={1: Decimal(1)})
    again = await read(store, "1-R1")
    same = {*INHERITED, "notes"}
    assert {name: getattr(again.header, name) for name in same} == {name: getattr(order.header, name) for name in same}
    assert again.customer == order.customer
    assert again.header.placed_at > order.header.placed_at  # a replacement is placed now
    assert (again.header.freight, again.header.stated_total, again.state.due) == (None, None, Decimal(0))
    assert again.stage is Stage.VERIFIED
    for number in ("1", "1-R1"):
        assert await replayed(store, number) == as_history_keeps((await read(store, number)).state)


async def test_placed_order_is_loaded_with_every_header_field(store: Store) -> None:
    order = await placed(store)
    assert order.header == order_input(**HEADER).header
    assert (order.stage, order.customer.number) == (HEADER["stage"], HEADER["customer"])
    assert (
        tuple(
            LineInput(
                number=line.number,
                sku=line.product.sku,
                quantity=line.quantity,
                unit_price=line.unit_price,
                discount=line.discount,
            )
            for line in order.lines
        )
        == HEADER["lines"]
    )
    async with store.reader() as connection:
        columns = set((await connection.execute(select(table))).keys())
    assert HEADER.keys() - {"lines"} <= columns


def test_every_automatic_event_has_only_fields_of_its_action() -> None:
    """Recorded fields are filled in when an event is carried out: the number of an invoice or a new order."""
    adds = {action for action, has in ACTION_FIELDS.items() if has.recorded}
    assert adds == {
        Action.SPLIT,
        Action.VERIFY,
        Action.CONFIRM,
        Action.INVOICE,
        Action.HOLD,
        Action.INSPECT_RETURN,
        Action.CLOSE_RETURN,
        Action.ADVANCE,
    }
