"""An order is placed once: the same content again changes nothing, and other content under its number is rejected."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import CommandError, StoreError
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.events import ChangeOrder, LineEdit, SplitOrder
from connector.model.holds import Hold
from connector.model.order import Order, OrderInput
from connector.model.product import Price
from connector.model.shipments import Resolution, ReturnReason
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.policy.verification import verify
from connector.orders.service import execute_in
from connector.orders.transaction import OrderTransaction
from connector.store import customers, order_history, orders, products
from connector.store.engine import Store
from tests.unit.orders.test_header_changes import WHOLE
from tests.unit.orders.test_transaction import SHIPPED, act, allocate, opened
from tests.unit.store import samples
from tests.unit.store.samples import placements


async def place(store: Store, item: OrderInput) -> Order:
    async with store.transaction() as uow:
        [order] = await OrderTransaction(uow, actor="shop").place(placements([item]))
    return order


async def read(store: Store, number: str = "1") -> Order:
    async with store.reader() as connection:
        [order] = await orders.load(connection, [number])
    return order


@pytest.mark.parametrize(
    "changes",
    [
        {"freight": Decimal(1000)},
        {"ship_to_street": "Elsewhere 7"},
        {"tax_rate": Decimal("0.19")},
        {"po_number": "PO-9"},
        {"ship_complete": True},
        {"channel": "phone"},
        {"currency": "EUR"},
        {"lines": (samples.line(1, quantity="3"),)},
    ],
)
async def test_other_content_under_an_existing_number_is_rejected(store: Store, changes: dict[str, Any]) -> None:
    await opened(store)
    before = await read(store)
    await place(store, samples.order("1"))
    with pytest.raises(CommandError, match="Order 1 exists already, with other content") as refused:
        await place(store, samples.order("1", **changes))
    assert (refused.value.field, refused.value.rule) == ("number", "idempotency")
    assert await read(store) == before


async def test_repeated_content_is_the_same_order_after_a_list_price_change(store: Store) -> None:
    await samples.stock(store)
    item = samples.order("1", lines=(samples.line(1, price=None),))
    await place(store, item)
    async with store.transaction() as uow:
        await products.save(uow, [replace(samples.CHAI, prices=(Price(currency="USD", unit_price=Decimal(19)),))])
    await act(store, Action.VERIFY)
    assert (await place(store, item)).stage is Stage.VERIFIED
    assert (await read(store)).lines[0].unit_price == 18


async def test_concurrent_placements_of_one_number_create_one_order(store: Store) -> None:
    await samples.stock(store)
    items = [samples.order("1", ship_to_street=street) for street in ("Rue 5", "Elsewhere 7")] * 6
    outcomes = await asyncio.gather(*(place(store, item) for item in items), return_exceptions=True)
    order = await read(store)
    same = [isinstance(outcome, Order) for outcome in outcomes]
    assert same == [item.header.ship_to_street == order.header.ship_to_street for item in items]
    assert {getattr(outcome, "rule", "") for outcome in outcomes if not isinstance(outcome, Order)} == {"idempotency"}
    assert order.version == 1
    async with store.reader() as connection:
        assert len(await order_history.read(connection, "1")) == 1


async def test_split_order_gets_a_free_number(store: Store) -> None:
    await opened(store)
    mine = samples.order("1-S1", customer="BONAP", notes="precious")
    async with store.transaction() as uow:
        await orders.save(uow, [mine, samples.order("1-S3", customer="BONAP")])
    with pytest.raises(
        CommandError, match="got a reference, but the number of the new order is assigned automatically"
    ) as refused:
        await act(store, Action.SPLIT, lines={1: 1}, reference="1-S1")
    assert refused.value.field == "reference"
    split = SplitOrder(lines={2: Decimal("0.5")})
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="anna").execute_all([OrderCommand(number="1", event=split)] * 2)
    assert (await read(store, "1-S1")).header.notes == "precious"
    assert [(await read(store, number)).lines[0].quantity for number in ("1-S2", "1-S4")] == [Decimal("0.5")] * 2


async def test_import_keeps_address_and_shipments_of_an_order_with_history(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    await act(store, Action.PICK)
    await act(store, Action.SHIP, lines={1: 2}, **SHIPPED)
    async with store.transaction() as uow:
        await orders.save(uow, [samples.order("1", stage=Stage.FULFILLING, notes="ring twice")])
    order = await read(store)
    assert (order.header.notes, order.header.carrier, order.header.tracking_number) == (
        "ring twice",
        "Northern Parcel",
        "NP1",
    )
    assert order.header.shipped_on is not None
    for changes in ({"ship_to_street": "Elsewhere 7"}, {"promised_on": date(2026, 9, 9)}, {"freight": None}):
        with pytest.raises(StoreError, match=f"cannot change their {next(iter(changes))}"):
            async with store.transaction() as uow:
                await orders.save(uow, [samples.order("1", stage=Stage.FULFILLING, **changes)])


async def test_fully_refunded_order_is_not_completed_until_captured_again(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM, Action.CAPTURE):
        await act(store, action)
    await act(store, Action.REFUND, amount="98.02")
    await allocate(store)
    for action in (Action.PICK, Action.SHIP, Action.DELIVER, Action.INVOICE):
        state = await act(store, action, **(SHIPPED if action is Action.SHIP else {}))
    assert state.stage is Stage.DELIVERED
    assert (await act(store, Action.CAPTURE)).stage is Stage.COMPLETED


async def test_stated_total_is_cleared_by_a_cancellation(store: Store) -> None:
    await samples.stock(store)
    await place(store, samples.order("1", **WHOLE, stated_total=Decimal("98.02")))
    await act(store, Action.CANCEL, lines={1: 1})
    async with store.transaction() as uow:
        transaction = OrderTransaction(uow, actor="job")
        await verify(transaction, ["1"])
        state = (await transaction.order("1")).state
    assert (state.stage, state.holds) == (Stage.VERIFIED, frozenset())
    assert (await read(store)).header.stated_total is None


async def test_change_may_raise_the_amount_of_an_overinvoiced_order(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM, Action.INVOICE):
        await act(store, action)
    await act(store, Action.CANCEL, lines={2: "1.5"})
    state = await act(store, Action.CHANGE, details={"freight": Decimal(33)})
    assert (state.due, state.invoiced) == (Decimal(69), Decimal("98.02"))
    with pytest.raises(CommandError, match=r"has 98\.02 invoiced, but only 46\.00 would be due"):
        await act(store, Action.CHANGE, details={"freight": Decimal(10)})


async def test_changed_confirmed_order_is_checked_by_the_rules_again(store: Store) -> None:
    await samples.stock(store)
    await place(store, samples.order("1", **WHOLE))
    async with store.transaction() as uow:
        await customers.save(uow, [replace(samples.ALFKI, credit_limit=Decimal(200))])
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    more = ChangeOrder(line_edits={1: LineEdit(sku="CHAI", quantity=Decimal(50000))})
    async with store.transaction() as uow:
        await execute_in(OrderTransaction(uow, actor="anna"), OrderCommand(number="1", event=more))
    order = await read(store)
    assert (order.stage, order.state.holds) == (Stage.CONFIRMED, frozenset({Hold.CREDIT, Hold.FRAUD, Hold.MANUAL}))
    note = ChangeOrder(details={"notes": "rang"})
    for hold in order.state.holds:
        await act(store, Action.RELEASE, hold=hold)
    async with store.transaction() as uow:
        await execute_in(OrderTransaction(uow, actor="anna"), OrderCommand(number="1", event=note))
    assert (await read(store)).state.holds == frozenset()


async def test_order_without_an_address_gets_the_address_of_its_customer(store: Store) -> None:
    await samples.stock(store)
    there = replace(samples.ALFKI, street="Obere Str. 57", postal_code="12209")
    async with store.transaction() as uow:
        await customers.save(uow, [there])
    await place(store, samples.order("1", ship_to_city=None))
    order = await read(store)
    there = order.header
    assert (there.ship_to_name, there.ship_to_street, there.ship_to_city, there.ship_to_country) == (
        "Alfreds Futterkiste", "Obere Str. 57", "Berlin", "Germany",
    )  # fmt: skip
    await place(store, samples.order("1", ship_to_city=None))
    await place(store, samples.order("2"))
    assert (await read(store, "2")).header.ship_to_street is None


async def test_canceled_order_is_not_on_hold(store: Store) -> None:
    await opened(store)
    await act(store, Action.HOLD, hold=Hold.FRAUD)
    state = await act(store, Action.CANCEL)
    assert (state.stage, state.holds) == (Stage.CANCELED, frozenset())
    assert (await read(store)).hold_reason is None


async def test_replacement_order_is_not_checked_by_the_rules(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    for action in (Action.PICK, Action.SHIP, Action.DELIVER):
        await act(store, action)
    await act(store, Action.REQUEST_RETURN, lines={1: 1}, resolution=Resolution.REPLACEMENT)
    for action in (Action.APPROVE_RETURN, Action.RECEIVE_RETURN):
        await act(store, action)
    await act(store, Action.INSPECT_RETURN, written_off={1: Decimal(1)})
    order = await read(store, "1-R1")
    assert (order.stage, order.state.holds, order.amount_due) == (Stage.VERIFIED, frozenset(), 0)
    await act(store, Action.REQUEST_RETURN, lines={1: 1}, reason=ReturnReason.OTHER)
    await act(store, Action.REJECT_RETURN)
    assert ((await read(store)).return_status, (await read(store)).return_reason) == ("closed", "other")


async def test_command_by_rules_is_rejected_in_the_wrong_stage_or_on_hold(store: Store) -> None:
    await opened(store)
    for action, says in ((Action.ALLOCATE, "is placed: it cannot allocate now"), (Action.VERIFY, "on hold")):
        if action is Action.VERIFY:
            await act(store, Action.HOLD, hold=Hold.MANUAL)
        with pytest.raises(CommandError, match=says):
            async with store.transaction() as uow:
                await execute_in(
                    OrderTransaction(uow, actor="anna"), OrderCommand(number="1", event=make_event(action))
                )
