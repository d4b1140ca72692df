"""Apply the events of orders to stock: reserve on allocation, record picks, deduct shipments, release what is not used.

A reservation belongs to one warehouse and records the picked quantity, so a parcel with a warehouse leaves that one,
and a pick list does not list what was picked before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import itemgetter
from typing import TypeVar, assert_never

from connector.errors import CommandError
from connector.model.action_fields import listed_fields
from connector.model.events import (
    Allocate,
    Cancel,
    Deallocate,
    EventAtWarehouse,
    InspectReturn,
    Pack,
    Pick,
    Ship,
    StockEvent,
)
from connector.model.money import plain
from connector.model.order import Order
from connector.model.order_state import OrderState
from connector.model.rejections import rejection
from connector.model.shipments import IN_HOUSE, ZERO, Shipment
from connector.model.stock import Reservation, ReservationKey, StockKey, StockLevel
from connector.model.transitions import check
from connector.orders.inventory.sourcing import Places, choose_sources, index_places
from connector.orders.policy.rules import Routing
from connector.store import stock
from connector.store.engine import Connection
from connector.store.unit_of_work import UnitOfWork

Unpicked = Deallocate | Pick
"""Events about goods that are reserved and not picked."""
E = TypeVar("E", bound=EventAtWarehouse)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One event of an order, with the order's state before and after."""

    event: StockEvent
    before: OrderState
    after: OrderState

    @property
    def warehouse(self) -> str | None:
        """The warehouse of the event, None if it names none."""
        return None if isinstance(self.event, Allocate | Cancel) else self.event.warehouse


@dataclass(frozen=True, kw_only=True, slots=True)
class StockMove:
    """The events of one order, in sequence; `skus` are the SKUs of all its lines, old and new."""

    order: str
    skus: Mapping[int, str]
    steps: Sequence[Step] = ()


@dataclass(kw_only=True, slots=True)
class _StockState:
    """The stock levels and reservations that the moves change."""

    levels: dict[StockKey, StockLevel]
    reservations: dict[ReservationKey, Reservation]
    places: Places
    keys: dict[tuple[str, int], list[ReservationKey]] = field(default_factory=dict)

    def of_line(self, order: str, line: int) -> list[ReservationKey]:
        return self.keys.get((order, line), [])

    def reserve(self, key: ReservationKey, sku: str, quantity: Decimal) -> None:
        self.change_level((sku, key[2]), reserved=quantity)
        reservation = self.reservations.get(key)
        if reservation is None:
            self.keys[key[:2]] = sorted([*self.of_line(*key[:2]), key])
            reservation = Reservation(quantity=ZERO)
        self.reservations[key] = replace(reservation, quantity=reservation.quantity + quantity)

    def change_level(self, place: StockKey, *, reserved: Decimal, on_hand: Decimal = ZERO) -> None:
        level = self.levels[place]
        self.levels[place] = replace(level, on_hand=level.on_hand + on_hand, reserved=level.reserved + reserved)


async def apply_moves(uow: UnitOfWork, moves: Sequence[StockMove], routing: Routing) -> None:
    """Apply `moves` to stock and reservations; raises CommandError if there is not enough stock."""
    if not moves:
        return
    levels = await stock.levels(uow.connection, {sku for item in moves for sku in item.skus.values()}, lock=True)
    reservations = await stock.load_reservations(uow.connection, [item.order for item in moves])
    old_levels, old_reservations = dict(levels), dict(reservations)
    shelves = _StockState(levels=levels, reservations=reservations, places=index_places(levels))
    for key in sorted(reservations):
        shelves.keys.setdefault(key[:2], []).append(key)
    for item in moves:
        for step in item.steps:
            _apply_step(uow, item, step, shelves, routing)
    await stock.save_levels(uow, {place: level for place, level in levels.items() if old_levels.get(place) != level})
    await stock.save_reservations(
        uow, {key: reservation for key, reservation in reservations.items() if old_reservations.get(key) != reservation}
    )


async def with_lines_in_warehouse(connection: Connection, order: Order, state: OrderState, event: E) -> E:
    """Return `event` with the lines it leaves out: all that can be deallocated, picked, packed or shipped in its
    warehouse.

    `order` is as loaded, `state` its current state. A packed parcel that waits to be shipped has its lines already.
    """
    if event.lines or event.warehouse is None:
        return event
    check(state, event)
    waiting = any(item.status in IN_HOUSE for item in state.shipments.values())
    if isinstance(event, Ship) and (waiting or event.shipment is not None):
        return event
    reservations = await stock.load_reservations(connection, [order.number])
    lines: dict[int, Decimal] = {}
    for (_, line, place), reserved in sorted(reservations.items(), key=itemgetter(0)):
        if place == event.warehouse and isinstance(event, Unpicked) and reserved.unpicked > 0:
            lines[line] = reserved.unpicked
        elif place == event.warehouse and not isinstance(event, Unpicked):
            loose = reserved.picked - state.packed_at(line, place)
            if loose > 0:
                lines[line] = loose
    if not lines:
        what = f"has nothing to {event.action.words} in {event.warehouse}"
        raise rejection(state, event, "warehouse", what, rule="stock")
    return replace(event, lines=lines)


async def split_into_parcels(connection: Connection, state: OrderState, event: Pack) -> list[Pack]:
    """Split `event` into one event per warehouse in which its goods are picked, as a parcel leaves one warehouse.

    One warehouse is used if it has all goods. The event is returned as it is if the goods are not picked.
    """
    by_warehouse = await _group_by_warehouse(connection, state, event)
    if len(by_warehouse) > 1 and event.tracking_number is not None:
        what = (
            f"has the goods in {listed_fields(list(by_warehouse))}, a parcel each, and a tracking number belongs to one"
        )
        hint = "Name one warehouse (`warehouse`, --warehouse) at a time, with a tracking number of its own;"
        more = "or leave the number out, and label each parcel."
        raise rejection(state, event, "tracking_number", what, f"{hint} {more}")
    return [replace(event, lines=lines, warehouse=place) for place, lines in by_warehouse.items()] or [event]


async def _group_by_warehouse(connection: Connection, state: OrderState, event: Pack) -> dict[str, dict[int, Decimal]]:
    """Return the lines of `event` by the warehouse in which they are picked; empty if they are not all picked."""
    if not all(quantity > 0 for quantity in event.lines.values()):
        return {}
    reservations = await stock.load_reservations(connection, [state.number])
    loose: dict[str, dict[int, Decimal]] = {}
    for line in event.lines:
        mine = {
            key[2]: by_warehouse.picked
            for key, by_warehouse in sorted(reservations.items(), key=itemgetter(0))
            if key[1] == line
        }
        # Parcels of earlier versions have no warehouse: their contents are deducted from the places in sequence.
        packed_without_warehouse = state.packed(line) - sum((state.packed_at(line, place) for place in mine), ZERO)
        for place, picked in mine.items():
            room = picked - state.packed_at(line, place)
            deducted = min(room, packed_without_warehouse)
            packed_without_warehouse -= deducted
            if room > deducted:
                loose.setdefault(place, {})[line] = room - deducted
    fits = [
        place
        for place, there in loose.items()
        if all(there.get(n, ZERO) >= quantity for n, quantity in event.lines.items())
    ]
    remaining = dict(event.lines)
    by_warehouse: dict[str, dict[int, Decimal]] = {}
    for place in fits[:1] or sorted(loose):
        for line in event.lines:
            part = min(remaining[line], loose[place].get(line, ZERO))
            if part > 0:
                by_warehouse.setdefault(place, {})[line] = part
                remaining[line] -= part
    return {} if any(remaining.values()) else by_warehouse


def _apply_step(uow: UnitOfWork, item: StockMove, step: Step, shelves: _StockState, routing: Routing) -> None:
    match step.event:
        case Allocate():
            _reserve(item, step, shelves, routing)
        case Pick():
            _pick(item, step, shelves)
        case Pack():
            _check_parcel(item, step, shelves)
        case Ship():
            _ship(item, step, shelves)
        case InspectReturn():
            _restock(uow, item, step, shelves)
        case Deallocate() | Cancel():
            _release(item, step, shelves)
        case _:
            assert_never(step.event)


def _reserve(item: StockMove, step: Step, shelves: _StockState, routing: Routing) -> None:
    needs = {number: (item.skus[number], quantity) for number, quantity in step.event.lines.items()}
    chosen = choose_sources(needs, shelves.levels, routing, shelves.places)
    for number, (sku, wanted) in needs.items():
        there = sum((quantity for (line, _), quantity in chosen.items() if line == number), ZERO)
        if there < wanted:
            raise CommandError(
                f"Order {item.order} cannot allocate {plain(wanted)} of {sku}: {plain(there)} is available.",
                hint=f"Ask for {plain(there)} at most." if there else "",
                field=f"lines.{number}",
                rule="stock",
            )
    for (number, warehouse), quantity in chosen.items():
        shelves.reserve((item.order, number, warehouse), needs[number][0], quantity)


def _pick(item: StockMove, step: Step, shelves: _StockState) -> None:
    """Record the picked quantity. If the event names no warehouse, warehouses are used in the order of their names."""
    for line, quantity in step.event.lines.items():
        room = {key: shelves.reservations[key].unpicked for key in shelves.of_line(item.order, line)}
        for key, part in _divide_quantity(item, step, line, quantity, room, "reserved and not picked").items():
            shelves.reservations[key] = replace(
                shelves.reservations[key], picked=shelves.reservations[key].picked + part
            )


def _check_parcel(item: StockMove, step: Step, shelves: _StockState) -> None:
    """Check that a parcel with a warehouse contains only goods that are picked there and in no other such parcel."""
    if step.warehouse is not None:
        for line, quantity in step.event.lines.items():
            _divide_quantity(
                item,
                step,
                line,
                quantity,
                _picked_and_unpacked(item, step.before, line, shelves),
                "picked and not packed",
            )


def _ship(item: StockMove, step: Step, shelves: _StockState) -> None:
    parcel = _shipped_parcel(step)
    if step.warehouse not in {None, parcel.warehouse or step.warehouse}:
        what = f"has shipment {parcel.number} packed in {parcel.warehouse}"
        raise rejection(step.before, step.event, "warehouse", what, "Leave the warehouse out, or unpack it.", "stock")
    others = replace(step.before, shipments={n: p for n, p in step.before.shipments.items() if n != parcel.number})
    for line, quantity in parcel.lines.items():
        room = _picked_and_unpacked(item, others, line, shelves)
        for key, part in _divide_quantity(item, step, line, quantity, room, "picked", parcel.warehouse).items():
            reservation = shelves.reservations[key]
            shelves.reservations[key] = Reservation(
                quantity=reservation.quantity - part, picked=reservation.picked - part
            )
            shelves.change_level((item.skus[line], key[2]), reserved=-part, on_hand=-part)


def _release(item: StockMove, step: Step, shelves: _StockState) -> None:
    """Release what is canceled or deallocated, unpicked goods first. An event with a warehouse releases only there."""
    if step.warehouse is not None:
        for line, quantity in step.event.lines.items():
            room = {key: shelves.reservations[key].unpicked for key in shelves.of_line(item.order, line)}
            _divide_quantity(item, step, line, quantity, room, "allocated and not picked")
    for line, before in step.before.lines.items():
        after = step.after.lines[line]
        unpicked = before.picked - after.picked
        loose = _picked_and_unpacked(item, step.after, line, shelves)
        for key in reversed(list(loose)):
            part = min(unpicked, loose[key])
            shelves.reservations[key] = replace(
                shelves.reservations[key], picked=shelves.reservations[key].picked - part
            )
            unpicked -= part
        unreserved = before.allocated - after.allocated
        for key in sorted(loose, key=lambda key: (key[2] != step.warehouse, key)):
            part = min(unreserved, shelves.reservations[key].unpicked)
            shelves.reservations[key] = replace(
                shelves.reservations[key], quantity=shelves.reservations[key].quantity - part
            )
            shelves.change_level((item.skus[line], key[2]), reserved=-part)
            unreserved -= part


def _restock(uow: UnitOfWork, item: StockMove, step: Step, shelves: _StockState) -> None:
    for number, quantity in step.event.lines.items():
        place = (item.skus[number], step.warehouse or "")
        level = shelves.levels.get(place)
        on_hand = (level.on_hand if level else ZERO) + quantity
        shelves.levels[place] = stock.counted_level(level, on_hand, uow.now.date())


def _shipped_parcel(step: Step) -> Shipment:
    """Return the parcel that this step has shipped."""
    return next(
        parcel
        for number, parcel in step.after.shipments.items()
        if step.before.shipments.get(number) != parcel and parcel.status not in IN_HOUSE
    )


def _picked_and_unpacked(
    item: StockMove, state: OrderState, line: int, shelves: _StockState
) -> dict[ReservationKey, Decimal]:
    """Return the picked quantity of a line that is in no parcel with a warehouse, by reservation."""
    return {
        key: shelves.reservations[key].picked - state.packed_at(line, key[2])
        for key in shelves.of_line(item.order, line)
    }


def _divide_quantity(
    item: StockMove,
    step: Step,
    line: int,
    quantity: Decimal,
    room: Mapping[ReservationKey, Decimal],
    what: str,
    warehouse: str | None = None,
) -> dict[ReservationKey, Decimal]:
    """Divide `quantity` among reservations in the warehouse of the event; raises CommandError if it is too much."""
    warehouse = warehouse or step.warehouse
    parts: dict[ReservationKey, Decimal] = {}
    remaining = quantity
    for key, most in room.items():
        part = min(remaining, most) if warehouse in {None, key[2]} else ZERO
        if part > 0:
            parts[key] = part
            remaining -= part
    if remaining > 0:
        where = [f"{plain(most)} in {key[2]}" for key, most in room.items() if most > 0]
        raise CommandError(
            f"Order {item.order} cannot {step.event.action.words} {plain(quantity)} of line {line} in"
            f" {warehouse}: {plain(quantity - remaining) if quantity > remaining else 'nothing'} is {what} there.",
            hint=f"There is {', '.join(where)}." if where else "",
            field="warehouse",
            rule="stock",
        )
    return parts
