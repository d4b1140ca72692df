"""Commands on orders, in both databases: allowed ones, rejected ones with their message, and what is stored."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from connector.errors import CommandError, StoreError
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.change import EntityKind
from connector.model.events import Verify
from connector.model.holds import Hold
from connector.model.order_state import FulfillmentStatus, OrderState, PaymentStatus
from connector.model.shipments import ReturnReason, ShipmentStatus
from connector.model.stage import Stage
from connector.model.stock import Reservation
from connector.orders.command import OrderCommand
from connector.orders.inventory.allocation import allocate as allocate_all
from connector.orders.transaction import OrderTransaction
from connector.store import order_history, orders, outbox
from connector.store import stock as stocks
from connector.store.engine import Store
from connector.store.tables import order_events
from tests.order_builders import as_history_keeps
from tests.unit.store import samples
from tests.unit.store.samples import placements

SHIPPED = {"carrier": "Northern Parcel", "tracking_number": "NP1"}


async def opened(store: Store, *numbers: str, on_hand: str = "100") -> None:
    await samples.stock(store)
    async with store.transaction() as uow:
        await stocks.count(uow, {("CHAI", "EAST"): Decimal(on_hand), ("TOFU", "EAST"): Decimal(on_hand)})
        await OrderTransaction(uow, actor="shop").place(
            placements([samples.order(number) for number in numbers or ("1",)])
        )


async def act(store: Store, action: Action, number: str = "1", version: int | None = None, **event: Any) -> OrderState:
    if "lines" in event:
        event["lines"] = {line: Decimal(quantity) for line, quantity in event["lines"].items()}
    if "amount" in event:
        event["amount"] = Decimal(event["amount"])
    async with store.transaction() as uow:
        command = OrderCommand(number=number, event=make_event(action, **event), version=version)
        [state] = await OrderTransaction(uow, actor="anna").execute_all([command])
    return state


async def allocate(store: Store, *numbers: str) -> list[OrderState]:
    async with store.transaction() as uow:
        return await allocate_all(OrderTransaction(uow, actor="job"), numbers or ("1",))


async def test_order_passes_every_stage(store: Store) -> None:
    await opened(store)
    assert (await act(store, Action.VERIFY)).stage is Stage.VERIFIED
    assert (await act(store, Action.CONFIRM)).stage is Stage.CONFIRMED
    [state] = await allocate(store)
    assert state.fulfillment_status is FulfillmentStatus.ALLOCATED
    assert (await act(store, Action.PICK, lines={1: 2, 2: "1.5"})).stage is Stage.FULFILLING
    part = await act(store, Action.SHIP, lines={1: 2}, **SHIPPED)
    assert (part.stage, part.fulfillment_status) == (Stage.FULFILLING, FulfillmentStatus.PARTIALLY_SHIPPED)
    assert (await act(store, Action.SHIP, lines={2: "1.5"}, **SHIPPED)).stage is Stage.SHIPPED
    # 2 x 18 + 1.5 x 23.25 x 0.85 + 32.38 = 98.02375
    assert (await act(store, Action.INVOICE, amount="98.02")).due == Decimal("98.02")
    assert (await act(store, Action.CAPTURE, amount="90")).payment_status is PaymentStatus.PARTIALLY_PAID
    assert (await act(store, Action.DELIVER, shipment=1)).stage is Stage.SHIPPED
    assert (await act(store, Action.TRACK, status=ShipmentStatus.DELIVERED)).stage is Stage.DELIVERED
    done = await act(store, Action.CAPTURE, amount="8.02")
    assert (done.stage, done.payment_status) == (Stage.COMPLETED, PaymentStatus.PAID)
    await act(store, Action.REQUEST_RETURN, lines={1: 1}, reason=ReturnReason.DAMAGED)
    await act(store, Action.APPROVE_RETURN)
    back = await act(store, Action.RECEIVE_RETURN, lines={1: 1})
    assert back.fulfillment_status is FulfillmentStatus.PARTIALLY_RETURNED
    inspected = await act(store, Action.INSPECT_RETURN, written_off={1: Decimal(1)})
    assert (inspected.due, inspected.payment_status) == (Decimal("80.02"), PaymentStatus.REFUND_DUE)
    assert (await act(store, Action.REFUND, amount="18")).payment_status is PaymentStatus.PARTIALLY_REFUNDED
    async with store.reader() as connection:
        entries = await order_history.read(connection, "1")
        [order] = await orders.load(connection, ["1"])
        levels = await stocks.levels(connection, ["CHAI", "TOFU"])
        held = await stocks.load_reservations(connection, ["1"])
    assert [entry.event.action for entry in entries][:5] == ["begin", "verify", "confirm", "allocate", "pick"]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert {entry.actor for entry in entries} == {"shop", "anna", "job"}
    assert (order.header.carrier, order.header.tracking_number, order.header.shipped_on) == (
        "Northern Parcel",
        "NP1",
        store.clock.now().date(),
    )
    assert [levels[sku, "EAST"].on_hand for sku in ("CHAI", "TOFU")] == [Decimal(98), Decimal("98.5")]
    assert {level.reserved for level in levels.values()} == {Decimal(0)}
    assert held == {}


@pytest.mark.parametrize(
    ("action", "event", "field", "rule", "says"),
    [
        (Action.CONFIRM, {}, "stage", "stage", "it cannot confirm now. That is possible while it is verified."),
        (Action.RELEASE, {"hold": Hold.FRAUD}, "hold", "input", "it is not on hold for fraud"),
        (Action.CANCEL, {"lines": {1: 3}}, "lines.1", "quantity", "2 is neither packed nor shipped. Ask for 2"),
        (Action.CANCEL, {"lines": {7: 1}}, "lines.7", "input", "has no line 7. It has 1 or 2."),
        (Action.CANCEL, {"lines": {1: "-1"}}, "lines.1", "input", "It must be more than 0."),
        (Action.CANCEL, {"lines": {1: "NaN"}}, "lines.1", "input", "It must be more than 0."),
        (Action.SPLIT, {}, "lines", "input", "split needs lines"),
        (Action.CAPTURE, {"amount": "98.03"}, "amount", "amount", "98.02 is left of 98.02"),
        (Action.CAPTURE, {"amount": "0.001"}, "amount", "input", "in whole cents"),
        (Action.REFUND, {"amount": "1"}, "amount", "amount", "0.00 is left of 0.00"),
        (Action.VERIFY, {"version": 7}, "version", "version", "it is at version 1, not 7"),
    ],
)  # fmt: skip
async def test_invalid_command_is_rejected_with_field_and_rule(
    store: Store, action: Action, event: dict[str, Any], field: str, rule: str, says: str
) -> None:
    await opened(store)
    with pytest.raises(CommandError) as refused:
        await act(store, action, **event)
    assert (refused.value.field, refused.value.rule) == (field, rule)
    assert says in str(refused.value)
    async with store.reader() as connection:
        assert len(await order_history.read(connection, "1")) == 1


async def test_hold_blocks_fulfillment_but_not_payments(store: Store) -> None:
    await opened(store)
    await act(store, Action.HOLD, hold=Hold.FRAUD, note="odd address")
    with pytest.raises(CommandError, match=r"on hold \(fraud\): it cannot verify. Release the hold first."):
        await act(store, Action.VERIFY)
    assert (await act(store, Action.AUTHORIZE, amount="98.02")).payment_status is PaymentStatus.AUTHORIZED
    async with store.reader() as connection:
        [order] = await orders.load(connection, ["1"])
    assert order.hold_reason == "fraud"
    await act(store, Action.RELEASE, hold=Hold.FRAUD)
    assert (await act(store, Action.VERIFY)).holds == frozenset()


async def test_canceled_order_releases_its_stock(store: Store) -> None:
    await opened(store)
    await act(store, Action.VERIFY)
    await allocate(store)
    state = await act(store, Action.CANCEL, lines={1: 2, 2: "1.5"})
    assert (state.stage, state.due) == (Stage.CANCELED, Decimal(0))
    async with store.reader() as connection:
        assert {level.reserved for level in (await stocks.levels(connection, ["CHAI", "TOFU"])).values()} == {0}


async def test_rejected_command_rolls_back_the_commands_before_it(store: Store) -> None:
    await opened(store, "1", "2")
    commands = [OrderCommand(number=number, event=Verify()) for number in ("1", "2", "1")]
    with pytest.raises(CommandError):
        async with store.transaction() as uow:
            await OrderTransaction(uow, actor="anna").execute_all(commands)
    async with store.reader() as connection:
        assert (await orders.counts(connection))[Stage.PLACED] == 2


async def test_repeated_placement_changes_nothing_and_another_order_is_rejected(store: Store) -> None:
    await opened(store)
    await act(store, Action.VERIFY)
    async with store.transaction() as uow:
        [state] = await OrderTransaction(uow, actor="shop").place(placements([samples.order("1")]))
    assert state.stage is Stage.VERIFIED
    with pytest.raises(CommandError, match="Order 1 exists already, with other content"):
        async with store.transaction() as uow:
            await OrderTransaction(uow, actor="shop").place(placements([samples.order("1", currency="EUR")]))


async def test_import_that_contradicts_the_history_is_rejected(store: Store) -> None:
    await opened(store)
    with pytest.raises(StoreError, match="Orders 1 have a history: an import cannot change their stage"):
        async with store.transaction() as uow:
            await orders.save(uow, [samples.order("1", stage=Stage.SHIPPED)])
    async with store.transaction() as uow:
        await orders.save(uow, [samples.order("1", notes="ring twice")])


async def test_imported_order_has_the_state_of_its_stage_and_can_continue(store: Store) -> None:
    await samples.stock(store)
    async with store.transaction() as uow:
        gone = {"shipped_on": date(2026, 3, 4), "carrier": "Federal Shipping"}
        shipped_order = samples.order("1", stage=Stage.SHIPPED, **gone)
        await orders.save(uow, [shipped_order, samples.order("2", stage=Stage.COMPLETED)])
    async with store.reader() as connection:
        shipped, completed = await orders.load(connection, ["1", "2"])
    assert (shipped.fulfillment_status, shipped.payment_status) == ("shipped", "unpaid")
    parcel = shipped.state.shipments[1]
    assert (parcel.status, parcel.carrier, parcel.shipped_on) == ("in_transit", "Federal Shipping", date(2026, 3, 4))
    assert parcel.lines == {1: Decimal(2), 2: Decimal("1.5")}
    assert (completed.fulfillment_status, completed.payment_status) == ("delivered", "paid")
    assert (await act(store, Action.DELIVER)).stage is Stage.DELIVERED
    async with store.reader() as connection:
        first, *_ = await order_history.read(connection, "1")
    assert first.initial_state == as_history_keeps(shipped.state)


async def test_fifty_concurrent_writers_cannot_oversell_the_last_units(store: Store) -> None:
    numbers = [f"N{index:02d}" for index in range(50)]
    await opened(store, *numbers, on_hand="7")
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="job").execute_all([OrderCommand(number=n, event=Verify()) for n in numbers])

    tries = (act(store, Action.ALLOCATE, number, lines={1: 2}) for number in numbers)
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    async with store.reader() as connection:
        level = (await stocks.levels(connection, ["CHAI"]))["CHAI", "EAST"]
        held = await stocks.load_reservations(connection, numbers)
    refused = [outcome for outcome in outcomes if not isinstance(outcome, OrderState)]
    assert [getattr(outcome, "rule", outcome) for outcome in refused] == ["stock"] * 47
    assert (level.on_hand, level.reserved) == (7, 6)
    assert sum(reserved.quantity for reserved in held.values()) == 6


async def test_allocation_uses_the_fewest_shipments_and_leaves_back_orders(store: Store) -> None:
    await opened(store)
    async with store.transaction() as uow:
        await stocks.count(
            uow, {("CHAI", "EAST"): Decimal(1), ("CHAI", "WEST"): Decimal(5), ("TOFU", "EAST"): Decimal(0)}
        )
    await act(store, Action.VERIFY)
    [state] = await allocate(store)
    async with store.reader() as connection:
        held = await stocks.load_reservations(connection, ["1"])
    assert held == {("1", 1, "WEST"): Reservation(quantity=Decimal(2))}
    assert state.fulfillment_status is FulfillmentStatus.PARTIALLY_ALLOCATED
    with pytest.raises(CommandError, match="2 is reserved"):
        async with store.transaction() as uow:
            await stocks.count(uow, {("CHAI", "WEST"): Decimal(1)})


async def test_invalid_transition_is_rejected_by_the_database(store: Store) -> None:
    await opened(store)
    row = {
        "order_number": "1", "sequence": 2, "at": store.clock.now(), "actor": "x", "event": "advanced",
        "stage_before": "placed", "stage_after": "shipped", "detail": "{}",
    }  # fmt: skip
    with pytest.raises((IntegrityError, StoreError)):
        async with store.transaction() as uow:
            await uow.connection.execute(insert(order_events), row)
    async with store.reader() as connection:
        assert (await connection.execute(select(func.count()).select_from(order_events))).scalar() == 1


async def test_every_command_is_captured_for_the_org(store: Store) -> None:
    await opened(store)
    async with store.reader() as connection:
        before = (await outbox.find(connection, EntityKind.ORDER, ["1"]))["1"].version
    await act(store, Action.AUTHORIZE, amount="1")
    async with store.reader() as connection:
        after = (await outbox.find(connection, EntityKind.ORDER, ["1"]))["1"].version
    assert after == before + 1
