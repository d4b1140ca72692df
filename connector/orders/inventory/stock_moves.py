"""What commands do to stock: reserve what is allocated, note what is picked where, take from the shelf what ships, and
give back what is not used.

A reservation lies in one warehouse, and knows what of it is picked there: so a parcel that names its warehouse leaves
that one, and a pick list never sends anybody to a shelf that was emptied for this order before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import itemgetter
from typing import TypeVar, assert_never

from connector.errors import CommandError
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
    listed_fields,
)
from connector.model.money import plain
from connector.model.order import Order
from connector.model.order_state import OrderState
from connector.model.rejections import rejection
from connector.model.shipments import IN_HOUSE, ZERO, Shipment
from connector.model.stock import Reservation, ReservationKey, StockKey, StockLevel
from connector.model.transitions import check
from connector.orders.inventory.sourcing import Places, choose_sources, places_of
from connector.orders.policy.rules import Routing
from connector.store import stock
from connector.store.engine import Connection
from connector.store.unit_of_work import UnitOfWork

Unpicked = Deallocate | Pick
"""What concerns goods that are reserved and not picked."""
E = TypeVar("E", bound=EventAtWarehouse)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One event of an order, with its progress before and after."""

    event: StockEvent
    before: OrderState
    after: OrderState

    @property
    def warehouse(self) -> str | None:
        """The one that the event names."""
        return None if isinstance(self.event, Allocate | Cancel) else self.event.warehouse


@dataclass(frozen=True, kw_only=True, slots=True)
class StockMove:
    """What happened to one order, step by step; `skus` are those of all its lines, old and new."""

    order: str
    skus: Mapping[int, str]
    steps: Sequence[Step] = ()


@dataclass(kw_only=True, slots=True)
class _Shelves:
    """The stock that the moves concern, as they change it."""

    levels: dict[StockKey, StockLevel]
    held: dict[ReservationKey, Reservation]
    places: Places
    keys: dict[tuple[str, int], list[ReservationKey]] = field(default_factory=dict)

    def of_line(self, order: str, line: int) -> list[ReservationKey]:
        return self.keys.get((order, line), [])

    def reserve(self, key: ReservationKey, sku: str, quantity: Decimal) -> None:
        self.change((sku, key[2]), reserved=quantity)
        known = self.held.get(key)
        if known is None:
            self.keys[key[:2]] = sorted([*self.of_line(*key[:2]), key])
            known = Reservation(quantity=ZERO)
        self.held[key] = replace(known, quantity=known.quantity + quantity)

    def change(self, place: StockKey, *, reserved: Decimal, on_hand: Decimal = ZERO) -> None:
        level = self.levels[place]
        self.levels[place] = replace(level, on_hand=level.on_hand + on_hand, reserved=level.reserved + reserved)


async def apply_moves(uow: UnitOfWork, moves: Sequence[StockMove], routing: Routing) -> None:
    """Bring stock and reservations to what the orders say now; CommandError where it is not there."""
    if not moves:
        return
    levels = await stock.levels(uow.connection, {sku for item in moves for sku in item.skus.values()}, lock=True)
    held = await stock.reserved_for(uow.connection, [item.order for item in moves])
    levels_known, held_known = dict(levels), dict(held)
    shelves = _Shelves(levels=levels, held=held, places=places_of(levels))
    for key in sorted(held):
        shelves.keys.setdefault(key[:2], []).append(key)
    for item in moves:
        for step in item.steps:
            _follow(uow, item, step, shelves, routing)
    await stock.put(uow, {place: level for place, level in levels.items() if levels_known.get(place) != level})
    await stock.keep(uow, {key: found for key, found in held.items() if held_known.get(key) != found})


async def lines_in_warehouse(connection: Connection, order: Order, progress: OrderState, event: E) -> E:
    """`event` with the lines it leaves out: all that can be given up, picked, packed or shipped in the warehouse named.
    `order` is as it was found, `progress` as it is by now. A parcel that waits to be shipped has its lines already."""
    if event.lines or event.warehouse is None:
        return event
    check(progress, event)
    waiting = any(item.status in IN_HOUSE for item in progress.shipments.values())
    if isinstance(event, Ship) and (waiting or event.shipment is not None):
        return event
    held = await stock.reserved_for(connection, [order.number])
    lines: dict[int, Decimal] = {}
    for (_, line, place), reserved in sorted(held.items(), key=itemgetter(0)):
        if place == event.warehouse and isinstance(event, Unpicked) and reserved.unpicked > 0:
            lines[line] = reserved.unpicked
        elif place == event.warehouse and not isinstance(event, Unpicked):
            loose = reserved.picked - progress.packed_at(line, place)
            if loose > 0:
                lines[line] = loose
    if not lines:
        what = f"has nothing to {event.action.words} in {event.warehouse}"
        raise rejection(progress, event, "warehouse", what, rule="stock")
    return replace(event, lines=lines)


async def split_into_parcels(connection: Connection, progress: OrderState, event: Pack) -> list[Pack]:
    """One event for each warehouse that the goods of `event` are picked in, for a parcel leaves one warehouse; all of
    them from one, if it has all. Where that cannot be said, the event as it is."""
    found = await _by_warehouse(connection, progress, event)
    if len(found) > 1 and event.tracking_number is not None:
        what = f"has the goods in {listed_fields(list(found))}, a parcel each, and a tracking number belongs to one"
        hint = "Name one warehouse (`warehouse`, --warehouse) at a time, with a tracking number of its own;"
        more = "or leave the number out, and label each parcel."
        raise rejection(progress, event, "tracking_number", what, f"{hint} {more}")
    return [replace(event, lines=lines, warehouse=place) for place, lines in found.items()] or [event]


async def _by_warehouse(connection: Connection, progress: OrderState, event: Pack) -> dict[str, dict[int, Decimal]]:
    """The lines of `event` by the warehouse that they are picked in; empty where that cannot be said."""
    if not all(quantity > 0 for quantity in event.lines.values()):
        return {}
    held = await stock.reserved_for(connection, [progress.number])
    loose: dict[str, dict[int, Decimal]] = {}
    for line in event.lines:
        mine = {key[2]: found.picked for key, found in sorted(held.items(), key=itemgetter(0)) if key[1] == line}
        # Parcels of earlier versions may name no warehouse: what is in them is taken off in the order of places.
        nowhere = progress.packed(line) - sum((progress.packed_at(line, place) for place in mine), ZERO)
        for place, picked in mine.items():
            room = picked - progress.packed_at(line, place)
            taken = min(room, nowhere)
            nowhere -= taken
            if room > taken:
                loose.setdefault(place, {})[line] = room - taken
    fits = [
        place for place, there in loose.items() if all(there.get(n, ZERO) >= asked for n, asked in event.lines.items())
    ]
    left = dict(event.lines)
    found: dict[str, dict[int, Decimal]] = {}
    for place in fits[:1] or sorted(loose):
        for line in event.lines:
            part = min(left[line], loose[place].get(line, ZERO))
            if part > 0:
                found.setdefault(place, {})[line] = part
                left[line] -= part
    return {} if any(left.values()) else found


def _follow(uow: UnitOfWork, item: StockMove, step: Step, shelves: _Shelves, routing: Routing) -> None:
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
            _put_back(uow, item, step, shelves)
        case Deallocate() | Cancel():
            _give_back(item, step, shelves)
        case _:
            assert_never(step.event)


def _reserve(item: StockMove, step: Step, shelves: _Shelves, routing: Routing) -> None:
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


def _pick(item: StockMove, step: Step, shelves: _Shelves) -> None:
    """Where the event names no warehouse, goods are picked in the order of their names."""
    for line, quantity in step.event.lines.items():
        room = {key: shelves.held[key].unpicked for key in shelves.of_line(item.order, line)}
        for key, part in _shared(item, step, line, quantity, room, "reserved and not picked").items():
            shelves.held[key] = replace(shelves.held[key], picked=shelves.held[key].picked + part)


def _check_parcel(item: StockMove, step: Step, shelves: _Shelves) -> None:
    """A parcel that names its warehouse holds what is picked there, and in no other such parcel."""
    if step.warehouse is not None:
        for line, quantity in step.event.lines.items():
            _shared(item, step, line, quantity, _loose(item, step.before, line, shelves), "picked and not packed")


def _ship(item: StockMove, step: Step, shelves: _Shelves) -> None:
    parcel = _left(step)
    if step.warehouse not in {None, parcel.warehouse or step.warehouse}:
        what = f"has shipment {parcel.number} packed in {parcel.warehouse}"
        raise rejection(step.before, step.event, "warehouse", what, "Leave the warehouse out, or unpack it.", "stock")
    others = replace(step.before, shipments={n: p for n, p in step.before.shipments.items() if n != parcel.number})
    for line, quantity in parcel.lines.items():
        room = _loose(item, others, line, shelves)
        for key, part in _shared(item, step, line, quantity, room, "picked", parcel.warehouse).items():
            known = shelves.held[key]
            shelves.held[key] = Reservation(quantity=known.quantity - part, picked=known.picked - part)
            shelves.change((item.skus[line], key[2]), reserved=-part, on_hand=-part)


def _give_back(item: StockMove, step: Step, shelves: _Shelves) -> None:
    """What is canceled, or allocated no more: what is not picked first. An event that names a warehouse gives up
    nothing in another."""
    if step.warehouse is not None:
        for line, quantity in step.event.lines.items():
            room = {key: shelves.held[key].unpicked for key in shelves.of_line(item.order, line)}
            _shared(item, step, line, quantity, room, "allocated and not picked")
    for line, before in step.before.lines.items():
        after = step.after.lines[line]
        unpicked = before.picked - after.picked
        loose = _loose(item, step.after, line, shelves)
        for key in reversed(list(loose)):
            part = min(unpicked, loose[key])
            shelves.held[key] = replace(shelves.held[key], picked=shelves.held[key].picked - part)
            unpicked -= part
        left = before.allocated - after.allocated
        for key in sorted(loose, key=lambda key: (key[2] != step.warehouse, key)):
            part = min(left, shelves.held[key].unpicked)
            shelves.held[key] = replace(shelves.held[key], quantity=shelves.held[key].quantity - part)
            shelves.change((item.skus[line], key[2]), reserved=-part)
            left -= part


def _put_back(uow: UnitOfWork, item: StockMove, step: Step, shelves: _Shelves) -> None:
    for number, quantity in step.event.lines.items():
        place = (item.skus[number], step.warehouse or "")
        known = shelves.levels.get(place)
        on_hand = (known.on_hand if known else ZERO) + quantity
        shelves.levels[place] = stock.arrived(known, on_hand, uow.now.date())


def _left(step: Step) -> Shipment:
    """The parcel that this step has sent off."""
    return next(
        parcel
        for number, parcel in step.after.shipments.items()
        if step.before.shipments.get(number) != parcel and parcel.status not in IN_HOUSE
    )


def _loose(item: StockMove, progress: OrderState, line: int, shelves: _Shelves) -> dict[ReservationKey, Decimal]:
    """What of a line is picked, by place, and not in a parcel that names its warehouse."""
    return {
        key: shelves.held[key].picked - progress.packed_at(line, key[2]) for key in shelves.of_line(item.order, line)
    }


def _shared(
    item: StockMove,
    step: Step,
    line: int,
    quantity: Decimal,
    room: Mapping[ReservationKey, Decimal],
    what: str,
    warehouse: str | None = None,
) -> dict[ReservationKey, Decimal]:
    """`quantity` by place, in the warehouse that is asked for; CommandError where that is too little."""
    warehouse = warehouse or step.warehouse
    found: dict[ReservationKey, Decimal] = {}
    left = quantity
    for key, most in room.items():
        part = min(left, most) if warehouse in {None, key[2]} else ZERO
        if part > 0:
            found[key] = part
            left -= part
    if left > 0:
        where = [f"{plain(most)} in {key[2]}" for key, most in room.items() if most > 0]
        raise CommandError(
            f"Order {item.order} cannot {step.event.action.words} {plain(quantity)} of line {line} in"
            f" {warehouse}: {plain(quantity - left)} is {what} there.",
            hint=f"There is {', '.join(where)}." if where else "",
            field="warehouse",
            rule="stock",
        )
    return found
