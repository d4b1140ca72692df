"""Events without lines or amount: everything possible is filled in and written to the history."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.errors import CommandError
from connector.model.actions import Action
from connector.model.events import Allocate, PaymentEvent
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.service import execute_in
from connector.orders.transaction import OrderTransaction
from connector.store import order_history
from connector.store.engine import Store
from tests.unit.orders.test_header_changes import replayed
from tests.unit.orders.test_transaction import SHIPPED, act, opened

ALL = {1: Decimal(2), 2: Decimal("1.5")}


async def said(store: Store, action: Action) -> list[Any]:
    async with store.reader() as connection:
        entries = await order_history.read(connection, "1")
    events = [entry.event for entry in entries if entry.event.action is action]
    return [
        getattr(event, "amount", None) if isinstance(event, PaymentEvent) else dict(event.lines) for event in events
    ]


async def test_order_is_completed_by_events_without_quantities(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.AUTHORIZE, Action.CONFIRM):
        await act(store, action)
    async with store.transaction() as uow:
        await execute_in(OrderTransaction(uow, actor="anna"), OrderCommand(number="1", event=Allocate()))
    for action in (Action.PICK, Action.PACK):
        await act(store, action)
    await act(store, Action.SHIP, **SHIPPED)
    await act(store, Action.DELIVER)
    await act(store, Action.INVOICE)
    done = await act(store, Action.CAPTURE)
    assert (done.stage, done.authorized, done.captured) == (Stage.COMPLETED, Decimal("98.02"), Decimal("98.02"))
    await act(store, Action.REQUEST_RETURN)
    await act(store, Action.APPROVE_RETURN)
    back = await act(store, Action.RECEIVE_RETURN)
    assert back.sum("returned") == Decimal("3.5")
    await act(store, Action.INSPECT_RETURN, written_off=ALL)
    assert (await act(store, Action.REFUND)).refunded == Decimal("65.64")  # all but the freight
    assert await said(store, Action.PICK) == [ALL]
    assert await said(store, Action.REFUND) == [Decimal("65.64")]
    assert (await replayed(store)).refunded == Decimal("65.64")


async def test_cancel_without_lines_cancels_everything_that_has_not_shipped(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await act(store, Action.ALLOCATE, lines={1: 2})
    await act(store, Action.PICK)
    await act(store, Action.SHIP, lines={1: 1}, **SHIPPED)
    state = await act(store, Action.CANCEL)
    assert {number: line.canceled for number, line in state.lines.items()} == {1: Decimal(1), 2: Decimal("1.5")}
    assert state.stage is Stage.SHIPPED


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Action.REFUND, "it owes the customer nothing"),
        (Action.DEALLOCATE, "it has nothing left to deallocate"),
        (Action.PICK, "is placed: it cannot pick now"),
    ],
)
async def test_event_without_lines_is_rejected_if_nothing_is_left(store: Store, action: Action, says: str) -> None:
    await opened(store)
    with pytest.raises(CommandError, match=says):
        await act(store, action)


async def test_receipt_without_a_number_is_rejected_if_several_returns_are_open(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await act(store, Action.ALLOCATE, lines=ALL)
    await act(store, Action.PICK)
    await act(store, Action.SHIP, **SHIPPED)
    await act(store, Action.DELIVER)
    for number in (1, 2):
        await act(store, Action.REQUEST_RETURN, lines={1: 1})
        await act(store, Action.APPROVE_RETURN, return_number=number)
    with pytest.raises(CommandError, match="names no return"):
        await act(store, Action.RECEIVE_RETURN)
    assert (await act(store, Action.RECEIVE_RETURN, return_number=2)).returns[2].lines[1].received == 1
