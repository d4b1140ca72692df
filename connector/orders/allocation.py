"""Allocation: the most urgent order gets what there is; what is lost from a shelf is taken elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import ColumnElement, Numeric, cast, select

from connector.errors import CommandError
from connector.model.event import Action, Event
from connector.model.money import plain
from connector.model.order import Order
from connector.model.parcels import ZERO
from connector.model.progress import Progress
from connector.model.stage import Stage
from connector.orders.desk import Command, Desk, in_its_name
from connector.orders.routing import Needs, places_of, route
from connector.store import orders, stock
from connector.store.stock import Place
from connector.store.tables import holds, order_lines, reservations
from connector.store.tables import orders as order_table

OPEN = (Stage.VERIFIED, Stage.CONFIRMED, Stage.FULFILLING)


async def allocate(desk: Desk, numbers: Sequence[str], *, asked: Command | None = None) -> list[Progress]:
    """Reserve what is there for these orders, the one of the highest priority first; what is not there stays open.

    `asked` is the command behind it where it is about one order, done once by its request.
    """
    found = await desk.load(numbers)
    if asked is not None and await desk.repeats(asked):
        return [order.progress for order, _ in found.values()]
    open_ones = [order for order, _ in found.values() if _waits(order)]
    skus = {line.product.sku for order in open_ones for line in order.lines}
    levels = await stock.levels(desk.uow.connection, skus, lock=True)
    places = places_of(levels)
    commands = []
    for order in sorted(open_ones, key=by_priority):
        lines: dict[int, Decimal] = {}
        sku_of = {line.number: line.product.sku for line in order.lines}
        for (line, warehouse), quantity in route(_open(order), levels, desk.rules.routing, places).items():
            lines[line] = lines.get(line, ZERO) + quantity
            place = (sku_of[line], warehouse)
            levels[place] = replace(levels[place], reserved=levels[place].reserved + quantity)
        if lines:
            commands.append(Command(number=order.number, event=Event(action=Action.ALLOCATE, lines=lines)))
    if asked is not None:
        commands = in_its_name(asked, commands)
    done = {progress.number: progress for progress in await desk.act(commands)}
    return [done.get(number, found[number][0].progress) for number in numbers]


async def waiting(desk: Desk, skus: Sequence[str] | None = None, limit: int = 500) -> list[str]:
    """Orders that wait for stock and are not on hold, the most urgent first."""
    line = order_lines.c
    short = order_table.c.stage.in_([stage.value for stage in OPEN])
    statement = (
        select(order_table.c.number)
        .distinct()
        .add_columns(order_table.c.priority, order_table.c.placed_at)
        .join(order_lines, line.order_number == order_table.c.number)
        .where(short, _number(line.allocated) + _number(line.cancelled) < _number(line.quantity))
        .where(order_table.c.number.not_in(select(holds.c.order_number)))
        .order_by(order_table.c.priority.desc(), order_table.c.placed_at, order_table.c.number)
        .limit(limit)
    )
    if skus is not None:
        statement = statement.where(line.sku.in_(skus))
    return [row.number for row in await desk.uow.connection.execute(statement)]


def by_priority(order: Order) -> tuple[object, ...]:
    """Sorts the most urgent first: by priority, then by promise, then by age."""
    promised = order.promised_on.toordinal() if order.promised_on else 10**9
    return (-order.priority, promised, order.placed_at, order.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recounted:
    """What a count changed: `taken` are orders that lost an allocation, `short` those that did not get it back."""

    taken: tuple[str, ...] = ()
    short: tuple[str, ...] = ()


async def recount(desk: Desk, counted: Mapping[Place, Decimal]) -> Recounted:
    """Set what is on hand, as counted. Where less is there than is reserved, the least urgent orders lose their
    allocation first, and get it back from other warehouses where there is enough; CommandError if what is left is
    picked already."""
    lost: dict[str, set[int]] = {}
    levels = await stock.levels(desk.uow.connection, [sku for sku, _ in counted], lock=True)
    for place, on_hand in sorted(counted.items()):
        reserved = levels[place].reserved if place in levels else ZERO
        if not on_hand.is_finite() or on_hand < 0:
            raise _refused(place, f"cannot have {on_hand} on hand", "Count what is there: 0 or more.", "input")
        if reserved <= on_hand:
            continue
        taken = await _to_take(desk, place, reserved - on_hand)
        for number, lines in taken.items():
            lost.setdefault(number, set()).update(lines)
        events = {
            number: Event(action=Action.DEALLOCATE, lines=lines, warehouse=place[1], note="stock lost")
            for number, lines in sorted(taken.items())
        }
        await desk.act([Command(number=number, event=event) for number, event in events.items()])
    await stock.count(desk.uow, counted)
    again = await allocate(desk, sorted(lost)) if lost else []
    short = [
        progress.number for progress in again
        if any(progress.lines[line].allocated < progress.lines[line].wanted for line in lost[progress.number])
    ]  # fmt: skip
    return Recounted(taken=tuple(sorted(lost)), short=tuple(short))


async def _to_take(desk: Desk, place: Place, missing: Decimal) -> dict[str, dict[int, Decimal]]:
    """What to deallocate so that `missing` units fewer are reserved at `place`."""
    sku, warehouse = place
    statement = (
        select(reservations)
        .join(
            order_lines,
            (order_lines.c.order_number == reservations.c.order_number) & (order_lines.c.number == reservations.c.line),
        )
        .where(order_lines.c.sku == sku, reservations.c.warehouse == warehouse)
    )
    rows = (await desk.uow.connection.execute(statement)).all()
    found = {
        order.number: order for order in await orders.load(desk.uow.connection, [row.order_number for row in rows])
    }
    taken: dict[str, dict[int, Decimal]] = {}
    left = missing
    for row in sorted(rows, key=lambda row: by_priority(found[row.order_number]), reverse=True):
        line = found[row.order_number].progress.lines[row.line]
        quantity = min(left, row.quantity, line.allocated - line.picked)
        if quantity > 0:
            taken.setdefault(row.order_number, {})[row.line] = quantity
            left -= quantity
    if left > 0:
        what = f"cannot have {plain(missing)} fewer than is reserved: {plain(left)} of it is picked"
        raise _refused(place, what, "Cancel the picked lines first, or count again.", "reserved")
    return taken


def _waits(order: Order) -> bool:
    """Whether something of it can still be allocated."""
    if order.holds or order.stage not in OPEN:
        return False
    return any(line.allocated + line.cancelled < line.quantity for line in order.lines)


def _open(order: Order) -> Needs:
    """What of an order is not allocated yet."""
    return {line.number: (line.product.sku, line.quantity - line.cancelled - line.allocated) for line in order.lines}


def _number(column: ColumnElement[Decimal]) -> ColumnElement[Decimal]:
    # SQLite keeps exact numbers as text, which would compare as text.
    return cast(column, Numeric)


def _refused(place: Place, what: str, hint: str, rule: str) -> CommandError:
    return CommandError(f"Product {place[0]} in {place[1]} {what}.", hint=hint, field="on_hand", rule=rule)
