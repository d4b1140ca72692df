"""What commands do to stock: reserve what was allocated, give back what is not used, take from the shelf what ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from connector.errors import CommandError
from connector.model.event import Event
from connector.model.money import plain
from connector.model.order import Line, Order
from connector.model.parcels import ZERO
from connector.model.progress import Progress
from connector.orders.routing import Places, places_of, route
from connector.orders.rules import Routing
from connector.store import stock
from connector.store.stock import Level, Place, Reserved
from connector.store.unit import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One order before and after its commands; `back` are the inspections that brought something to a shelf, `at` the
    warehouses where allocations were given up."""

    order: Order
    before: Progress
    after: Progress
    back: Sequence[Event] = ()
    at: frozenset[str | None] = frozenset()

    @property
    def lines(self) -> Mapping[int, Line]:
        return {line.number: line for line in self.order.lines}


async def move(uow: UnitOfWork, moves: Sequence[Move], routing: Routing) -> None:
    """Bring stock and reservations to what the orders say now; CommandError where it is not there."""
    concerned = [item for item in moves if item.back or _moves_stock(item.before, item.after)]
    if not concerned:
        return
    skus = {line.product.sku for item in concerned for line in item.order.lines}
    levels = await stock.levels(uow.connection, skus, lock=True)
    held = await stock.reserved_for(uow.connection, [item.order.number for item in concerned])
    levels_known, held_known = dict(levels), dict(held)
    places = places_of(levels)
    for item in concerned:
        _reserve(item, levels, held, routing, places)
    mine: dict[tuple[str, int], list[Reserved]] = {}
    for key in sorted(held):
        mine.setdefault(key[:2], []).append(key)
    for item in concerned:
        _take(item, levels, held, mine)
        for event in item.back:
            _put_back(uow, item, event, levels)
    await stock.put(uow, {place: level for place, level in levels.items() if levels_known.get(place) != level})
    await stock.keep(uow, {key: quantity for key, quantity in held.items() if held_known.get(key) != quantity})


def _reserve(
    item: Move, levels: dict[Place, Level], held: dict[Reserved, Decimal], routing: Routing, places: Places
) -> None:
    order = item.order
    needs = {
        number: (line.product.sku, item.after.lines[number].allocated - line.allocated)
        for number, line in item.lines.items()
        if number in item.after.lines and item.after.lines[number].allocated > line.allocated
    }
    if not needs:
        return
    chosen = route(needs, levels, routing, places)
    for number, (sku, wanted) in needs.items():
        there = sum((quantity for (line, _), quantity in chosen.items() if line == number), ZERO)
        if there < wanted:
            raise CommandError(
                f"Order {order.number} cannot allocate {plain(wanted)} of {sku}: {plain(there)} is available.",
                hint=f"Ask for {plain(there)} at most." if there else "",
                field=f"lines.{number}",
                rule="stock",
            )
    for (number, warehouse), quantity in chosen.items():
        _change(levels, (needs[number][0], warehouse), reserved=quantity)
        key = (order.number, number, warehouse)
        held[key] = held.get(key, ZERO) + quantity


def _take(
    item: Move,
    levels: dict[Place, Level],
    held: dict[Reserved, Decimal],
    reserved: Mapping[tuple[str, int], Sequence[Reserved]],
) -> None:
    """Reservations fall by what shipped and by what is allocated no more."""
    for number, line in item.lines.items():
        now = item.after.lines.get(number)
        shipped = ZERO if now is None else now.shipped - line.shipped
        left = ZERO if now is None else now.allocated - now.shipped
        mine = reserved.get((item.order.number, number), ())
        if item.at:
            mine = sorted(mine, key=lambda key: (key[2] not in item.at, key))
        too_much = sum((held[key] for key in mine), ZERO) - left
        for key in mine:
            part = min(held[key], too_much)
            gone = min(part, shipped)
            _change(levels, (line.product.sku, key[2]), reserved=-part, on_hand=-gone)
            held[key] -= part
            too_much -= part
            shipped -= gone


def _put_back(uow: UnitOfWork, item: Move, event: Event, levels: dict[Place, Level]) -> None:
    for number, quantity in event.lines.items():
        place = (item.lines[number].product.sku, event.warehouse or "")
        known = levels.get(place)
        levels[place] = stock.arrived(known, (known.on_hand if known else ZERO) + quantity, uow.now.date())


def _change(levels: dict[Place, Level], place: Place, *, reserved: Decimal, on_hand: Decimal = ZERO) -> None:
    level = levels[place]
    levels[place] = replace(level, on_hand=level.on_hand + on_hand, reserved=level.reserved + reserved)


def _moves_stock(before: Progress, after: Progress) -> bool:
    return any(
        number not in after.lines
        or (line.allocated, line.shipped) != (after.lines[number].allocated, after.lines[number].shipped)
        for number, line in before.lines.items()
    )
