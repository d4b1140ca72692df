"""Warehouses: goods are picked and packed in one, and its stock is reduced when the parcel leaves."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from connector.errors import CommandError
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.events import Allocate, ChangeOrder, LineEdit, Pack
from connector.model.stock import Reservation
from connector.orders.command import OrderCommand
from connector.orders.inventory.allocation import allocate as allocate_all
from connector.orders.inventory.pick_list import load_picks
from connector.orders.transaction import OrderTransaction
from connector.store import order_history
from connector.store import stock as stocks
from connector.store.engine import Store
from tests.order_builders import as_history_keeps
from tests.unit.orders.test_header_changes import read, replayed
from tests.unit.orders.test_transaction import SHIPPED, act, allocate, opened
from tests.unit.store import samples
from tests.unit.store.samples import placements


async def split_between_two(store: Store) -> None:
    """Allocate order 1: of line 1 one piece in EAST and one in WEST; line 2 in EAST only."""
    await opened(store, on_hand="0")
    counted = {("CHAI", "EAST"): 1, ("CHAI", "WEST"): 1, ("TOFU", "EAST"): 9}
    async with store.transaction() as uow:
        await stocks.count(uow, {place: Decimal(quantity) for place, quantity in counted.items()})
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)


async def on_hand(store: Store) -> dict[str, Decimal]:
    async with store.reader() as connection:
        levels = await stocks.levels(connection, ["CHAI"])
    return {warehouse: level.on_hand for (_, warehouse), level in levels.items()}


async def held(store: Store) -> dict[tuple[int, str], Reservation]:
    async with store.reader() as connection:
        return {key[1:]: found for key, found in (await stocks.load_reservations(connection, ["1"])).items()}


async def picks(store: Store, warehouse: str | None = None) -> list[tuple[int, str, Decimal]]:
    async with store.reader() as connection:
        return [(pick.line, pick.warehouse, pick.quantity) for pick in await load_picks(connection, warehouse)]


async def test_parcel_reduces_the_stock_of_its_warehouse(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK, lines={1: 1}, warehouse="WEST")
    state = await act(store, Action.SHIP, lines={1: 1}, warehouse="WEST", **SHIPPED)
    assert state.shipments[1].warehouse == "WEST"
    assert await on_hand(store) == {"EAST": Decimal(1), "WEST": Decimal(0)}
    assert await held(store) == {
        (1, "EAST"): Reservation(quantity=Decimal(1)),
        (2, "EAST"): Reservation(quantity=Decimal("1.5")),
    }


async def test_pick_list_omits_lines_that_are_picked(store: Store) -> None:
    await split_between_two(store)
    assert await picks(store) == [(1, "EAST", Decimal(1)), (1, "WEST", Decimal(1)), (2, "EAST", Decimal("1.5"))]
    await act(store, Action.PICK, lines={1: 1}, warehouse="WEST")
    assert await picks(store) == [(1, "EAST", Decimal(1)), (2, "EAST", Decimal("1.5"))]
    assert await picks(store, "WEST") == []
    await act(store, Action.PICK, lines={1: 1, 2: "1.5"})
    assert await picks(store) == []


async def test_pick_list_of_a_warehouse_begins_with_the_earliest_promise(store: Store) -> None:
    await samples.stock(store)
    days = {"1": None, "2": date(2026, 4, 9), "3": date(2026, 4, 8), "4": date(2026, 4, 1)}
    async with store.transaction() as uow:
        await stocks.count(uow, {("CHAI", "EAST"): Decimal(9), ("TOFU", "WEST"): Decimal(9)})
        transaction = OrderTransaction(uow, actor="shop")
        placed = [
            samples.order(number, promised_on=day, lines=(samples.line(1, "TOFU" if number == "4" else "CHAI"),))
            for number, day in days.items()
        ]
        await transaction.place(placements(placed))
        for action in (Action.VERIFY, Action.CONFIRM):
            await transaction.execute_all([OrderCommand(number=number, event=make_event(action)) for number in days])
        await allocate_all(transaction, list(days))
    async with store.reader() as connection:
        lists = {
            place: [pick.order for pick in await load_picks(connection, place, limit=2)]
            for place in ("EAST", "WEST", None)
        }
    assert lists == {"EAST": ["3", "2"], "WEST": ["4"], None: ["4", "3"]}


async def test_goods_of_another_warehouse_cannot_be_picked_packed_or_shipped(store: Store) -> None:
    await split_between_two(store)
    with pytest.raises(CommandError, match="cannot pick 2 of line 1 in WEST: 1 is reserved and not picked there") as no:
        await act(store, Action.PICK, lines={1: 2}, warehouse="WEST")
    assert (no.value.field, no.value.rule) == ("warehouse", "stock")
    await act(store, Action.PICK, lines={1: 2})
    with pytest.raises(
        CommandError, match=r"cannot pack 2 of line 1 in WEST: 1 is picked and not packed there\. There is 1 in EAST"
    ):
        await act(store, Action.PACK, lines={1: 2}, warehouse="WEST")
    await act(store, Action.PACK, lines={1: 1}, warehouse="WEST")
    with pytest.raises(CommandError, match=r"in WEST: nothing is picked and not packed there\. There is 1 in EAST\."):
        await act(store, Action.PACK, lines={1: 1}, warehouse="WEST")
    with pytest.raises(CommandError, match="cannot ship 1 of line 1 in WEST"):
        await act(store, Action.SHIP, lines={1: 1}, warehouse="WEST", **SHIPPED)


async def test_parcel_without_a_warehouse_leaves_goods_packed_in_a_warehouse(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK, lines={1: 2})
    await act(store, Action.PACK, lines={1: 1}, warehouse="EAST")
    await act(store, Action.SHIP, lines={1: 1}, **SHIPPED)
    assert await on_hand(store) == {"EAST": Decimal(1), "WEST": Decimal(0)}
    await act(store, Action.SHIP, shipment=1, **SHIPPED)
    assert await on_hand(store) == {"EAST": Decimal(0), "WEST": Decimal(0)}


async def test_cancellation_does_not_take_goods_from_a_packed_parcel(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK, lines={1: 2})
    await act(store, Action.PACK, lines={1: 1}, warehouse="WEST")
    await act(store, Action.CANCEL, lines={1: 1})
    assert (await held(store))[1, "WEST"] == Reservation(quantity=Decimal(1), picked=Decimal(1))
    assert (1, "EAST") not in await held(store)
    await act(store, Action.SHIP, shipment=1, **SHIPPED)
    assert await on_hand(store) == {"EAST": Decimal(1), "WEST": Decimal(0)}


async def test_added_line_can_be_allocated_in_the_same_transaction(store: Store) -> None:
    await opened(store)
    await act(store, Action.VERIFY)
    await act(store, Action.CONFIRM)
    added = ChangeOrder(line_edits={3: LineEdit(sku="CHAI", quantity=Decimal(4))})
    reserved = Allocate(lines={3: Decimal(4)})
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="anna").execute_all(
            [OrderCommand(number="1", event=event) for event in (added, reserved)]
        )
    assert await held(store) == {(3, "EAST"): Reservation(quantity=Decimal(4))}


async def test_warehouse_without_lines_means_all_goods_in_it(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK, warehouse="EAST")
    assert await picks(store) == [(1, "WEST", Decimal(1))]
    state = await act(store, Action.PACK, warehouse="EAST")
    assert state.shipments[1].lines == {1: Decimal(1), 2: Decimal("1.5")}
    with pytest.raises(CommandError, match="has nothing to pack in EAST") as refused:
        await act(store, Action.PACK, warehouse="EAST")
    assert (refused.value.field, refused.value.rule) == ("warehouse", "stock")
    await act(store, Action.SHIP, **SHIPPED)
    await act(store, Action.PICK, warehouse="WEST")
    assert (await act(store, Action.SHIP, warehouse="WEST", **SHIPPED)).stage == "shipped"
    assert await on_hand(store) == {"EAST": Decimal(0), "WEST": Decimal(0)}


async def test_goods_picked_in_two_warehouses_are_packed_as_a_parcel_each(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK)
    packed = await act(store, Action.PACK)
    assert {parcel.warehouse: dict(parcel.lines) for parcel in packed.shipments.values()} == {
        "EAST": {1: Decimal(1), 2: Decimal("1.5")},
        "WEST": {1: Decimal(1)},
    }
    for number in (1, 2):
        await act(store, Action.SHIP, shipment=number, **SHIPPED)
    assert await on_hand(store) == {"EAST": Decimal(0), "WEST": Decimal(0)}
    assert await held(store) == {}
    assert await replayed(store) == as_history_keeps((await read(store)).state)


async def test_goods_in_one_warehouse_are_packed_as_one_parcel(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK)
    packed = await act(store, Action.PACK, lines={1: 1})
    assert [(parcel.warehouse, dict(parcel.lines)) for parcel in packed.shipments.values()] == [
        ("EAST", {1: Decimal(1)})
    ]
    rest = await act(store, Action.PACK)
    assert {number: (parcel.warehouse, dict(parcel.lines)) for number, parcel in rest.shipments.items()} == {
        1: ("EAST", {1: Decimal(1)}),
        2: ("EAST", {2: Decimal("1.5")}),
        3: ("WEST", {1: Decimal(1)}),
    }


async def test_tracking_number_for_goods_in_two_warehouses_is_rejected(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK)
    said = "cannot pack: it has the goods in EAST and WEST, a parcel each, and a tracking number belongs to one"
    with pytest.raises(
        CommandError, match=rf"{said}\. Name one warehouse \(`warehouse`, --warehouse\) at a time"
    ) as refused:
        await act(store, Action.PACK, **SHIPPED)
    assert (refused.value.field, refused.value.rule) == ("tracking_number", "input")
    assert (await read(store)).state.shipments == {}
    for place, number in (("EAST", "NP1"), ("WEST", "NP2")):
        made = await act(store, Action.PACK, warehouse=place, carrier="Northern Parcel", tracking_number=number)
    assert {parcel.warehouse: parcel.tracking_number for parcel in made.shipments.values()} == {
        "EAST": "NP1",
        "WEST": "NP2",
    }


async def test_carrier_of_goods_in_two_warehouses_is_set_on_both_parcels(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK)
    made = await act(store, Action.PACK, carrier="Northern Parcel")
    assert [(parcel.warehouse, parcel.carrier, parcel.tracking_number) for parcel in made.shipments.values()] == [
        ("EAST", "Northern Parcel", None),
        ("WEST", "Northern Parcel", None),
    ]


@pytest.mark.parametrize("lines", [{1: 0}, {1: 2, 2: 0}, {1: 2, 2: -1}, {1: 3}, {9: 1}])
async def test_quantity_above_the_stock_of_two_warehouses_is_rejected(store: Store, lines: dict[int, int]) -> None:
    await split_between_two(store)
    await act(store, Action.PICK)
    with pytest.raises(CommandError) as refused:
        await act(store, Action.PACK, lines=lines)
    assert refused.value.field.startswith("lines.")
    assert (await read(store)).state.shipments == {}


async def test_repeated_request_that_packed_two_parcels_packs_none(store: Store) -> None:
    await split_between_two(store)
    await act(store, Action.PICK)
    event = Pack(note="bench 4")
    for _ in range(2):
        async with store.transaction() as uow:
            transaction = OrderTransaction(uow, actor="anna")
            [state] = await transaction.execute_all([OrderCommand(number="1", event=event, request="bench-1")])
        assert len(state.shipments) == 2
    assert transaction.repeated == {("1", "bench-1")}
    async with store.reader() as connection:
        entries = [entry for entry in await order_history.read(connection, "1") if entry.event.action is Action.PACK]
    assert [(entry.event.note, entry.request is not None) for entry in entries] == [
        ("bench 4", True),
        ("bench 4", False),
    ]
