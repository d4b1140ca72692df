"""Less common commands: change, split, unpack, stock counts that take stock away, returns and replacements."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.errors import CommandError
from connector.model.actions import Action
from connector.model.events import LineEdit
from connector.model.shipments import Resolution, ReturnReason
from connector.model.stage import Stage
from connector.orders.inventory.allocation import apply_stock_count
from connector.orders.transaction import OrderTransaction
from connector.store import orders
from connector.store import stock as stocks
from connector.store.engine import Store
from connector.store.queries.backorders import list_orders_waiting_for_stock
from tests.unit.orders.test_transaction import SHIPPED, act, allocate, opened
from tests.unit.store import samples
from tests.unit.store.samples import placements

ALL = {1: 2, 2: "1.5"}


async def shipped(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    await act(store, Action.PICK, lines=ALL)
    await act(store, Action.SHIP, lines=ALL, **SHIPPED)
    await act(store, Action.DELIVER)


async def test_changed_order_must_be_verified_again(store: Store) -> None:
    await opened(store)
    await act(store, Action.VERIFY)
    terms = {1: LineEdit(sku="CHAI", quantity=Decimal(5)), 2: LineEdit(sku="TOFU", quantity=Decimal(0)),
             3: LineEdit(sku="TOFU", quantity=Decimal(1))}  # fmt: skip
    state = await act(store, Action.CHANGE, line_edits=terms)
    assert (state.stage, state.due) == (Stage.PLACED, Decimal("145.63"))  # 5 x 18 + 23.25 + 32.38
    async with store.reader() as connection:
        [order] = await orders.load(connection, ["1"])
    assert [(line.number, line.product.sku, line.quantity, line.unit_price) for line in order.lines] == [
        (1, "CHAI", Decimal(5), Decimal(18)),
        (3, "TOFU", Decimal(1), Decimal("23.25")),
    ]


async def test_repeated_placement_after_a_change_changes_nothing(store: Store) -> None:
    await opened(store)
    await act(store, Action.CHANGE, line_edits={1: LineEdit(sku="CHAI", quantity=Decimal(7))})
    async with store.transaction() as uow:
        [order] = await OrderTransaction(uow, actor="shop").place(placements([samples.order("1")]))
    assert order.lines[0].quantity == 7
    with pytest.raises(CommandError, match="Order 1 exists already, with other content"):
        async with store.transaction() as uow:
            await OrderTransaction(uow, actor="shop").place(placements([samples.order("1", currency="EUR")]))


@pytest.mark.parametrize(
    ("line_edits", "field", "says"),
    [
        ({1: LineEdit(sku="TOFU", quantity=Decimal(1))}, "line_edits.1.sku", "line 1 is of CHAI, not of TOFU"),
        ({3: LineEdit(sku="TEA", quantity=Decimal(1))}, "line_edits.3.sku", "there is no product TEA"),
        ({1: LineEdit(sku="CHAI", quantity=Decimal(1))}, "line_edits.1", "it needs 2 of line 1"),
        (
            {1: LineEdit(sku="CHAI", quantity=Decimal(2), discount=Decimal(2))},
            "line_edits.1.discount",
            "the discount 2",
        ),
        ({}, "line_edits", "names nothing"),
    ],
)
async def test_invalid_change_is_rejected(store: Store, line_edits: dict[int, LineEdit], field: str, says: str) -> None:
    await opened(store)
    await act(store, Action.VERIFY)
    await act(store, Action.ALLOCATE, lines={1: 2})
    with pytest.raises(CommandError) as refused:
        await act(store, Action.CHANGE, line_edits=line_edits)
    assert refused.value.field == field
    assert says in str(refused.value)


async def test_split_order_gets_the_stage_of_its_source(store: Store) -> None:
    await opened(store)
    await act(store, Action.VERIFY)
    state = await act(store, Action.SPLIT, lines={2: "1.5"})
    async with store.reader() as connection:
        [part] = await orders.load(connection, ["1-S1"])
    assert (part.stage, part.lines[0].product.sku, part.header.freight) == (Stage.VERIFIED, "TOFU", None)
    assert state.due + part.state.due == Decimal("98.02")
    with pytest.raises(CommandError, match="would have nothing left"):
        await act(store, Action.SPLIT, lines={1: 2})


async def test_parcel_can_be_unpacked_until_it_leaves(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    await act(store, Action.PICK, lines=ALL)
    await act(store, Action.PACK, lines={1: 2})
    with pytest.raises(CommandError, match="nothing is left to cancel"):
        await act(store, Action.CANCEL, lines={1: 1})
    await act(store, Action.UNPACK)
    await act(store, Action.CANCEL, lines={1: 1})
    with pytest.raises(CommandError, match="has shipment 1, which is void"):
        await act(store, Action.SHIP, shipment=1)
    await act(store, Action.PACK, lines={1: 1, 2: "1.5"})
    assert (await act(store, Action.SHIP, **SHIPPED)).stage is Stage.SHIPPED


async def test_order_that_loses_stock_is_reallocated_elsewhere_or_waits(store: Store) -> None:
    await opened(store, "1", "2", on_hand="4")
    for number in ("1", "2"):
        await act(store, Action.VERIFY, number)
        await act(store, Action.ALLOCATE, number, lines={1: 2})
    async with store.transaction() as uow:
        await stocks.count(uow, {("CHAI", "WEST"): Decimal(1)})
        done = await apply_stock_count(OrderTransaction(uow, actor="count"), {("CHAI", "EAST"): Decimal(2)})
        again = await list_orders_waiting_for_stock(uow.connection, ["CHAI"])
    assert (done.orders_reduced, done.orders_short) == (("2",), ("2",))
    assert again == ["2"]
    async with store.reader() as connection:
        held = await stocks.load_reservations(connection, ["1", "2"])
    assert {key: reserved.quantity for key, reserved in held.items() if key[1] == 1} == {
        ("1", 1, "EAST"): Decimal(2),
        ("2", 1, "WEST"): Decimal(1),
    }


async def test_count_below_the_picked_quantity_is_rejected(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await act(store, Action.ALLOCATE, lines={1: 2})
    await act(store, Action.PICK, lines={1: 2})
    with pytest.raises(CommandError, match="2 of it is picked"):
        async with store.transaction() as uow:
            await apply_stock_count(OrderTransaction(uow, actor="count"), {("CHAI", "EAST"): Decimal(0)})


async def test_returned_goods_are_restocked_and_replaced(store: Store) -> None:
    await shipped(store)
    await act(store, Action.REQUEST_RETURN, lines={1: 2}, reason=ReturnReason.DEFECTIVE,
              resolution=Resolution.REPLACEMENT)  # fmt: skip
    with pytest.raises(CommandError, match="nothing is left to return"):
        await act(store, Action.REQUEST_RETURN, lines={1: 1})
    await act(store, Action.APPROVE_RETURN)
    await act(store, Action.RECEIVE_RETURN, lines={1: 2})
    state = await act(store, Action.INSPECT_RETURN, lines={1: 1}, written_off={1: Decimal(1)}, warehouse="EAST")
    assert (state.returns[1].status, state.due) == ("closed", Decimal("98.02"))
    async with store.reader() as connection:
        [again] = await orders.load(connection, ["1-R1"])
        levels = await stocks.levels(connection, ["CHAI"])
    assert (again.stage, again.lines[0].quantity, again.state.due) == (Stage.VERIFIED, Decimal(2), Decimal(0))
    assert levels["CHAI", "EAST"].on_hand == Decimal(99)


async def test_partly_received_return_can_be_closed(store: Store) -> None:
    await shipped(store)
    await act(store, Action.REQUEST_RETURN, lines=ALL)
    await act(store, Action.APPROVE_RETURN)
    await act(store, Action.RECEIVE_RETURN, lines={1: 1})
    with pytest.raises(CommandError, match="goods of return 1 that are not inspected"):
        await act(store, Action.CLOSE_RETURN)
    await act(store, Action.INSPECT_RETURN, written_off={1: Decimal(1)})
    state = await act(store, Action.CLOSE_RETURN)
    assert (state.returns[1].status, state.sum("credited")) == ("closed", 1)
    with pytest.raises(CommandError, match="it cannot change its lines now"):
        await act(store, Action.CHANGE, line_edits={1: LineEdit(sku="CHAI", quantity=Decimal(9))})


async def test_rejected_return_restocks_nothing(store: Store) -> None:
    await shipped(store)
    await act(store, Action.REQUEST_RETURN, lines={1: 1})
    await act(store, Action.REJECT_RETURN, note="worn")
    with pytest.raises(CommandError, match="has no return for that"):
        await act(store, Action.RECEIVE_RETURN, lines={1: 1})
