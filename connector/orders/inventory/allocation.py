"""Allocation: the most urgent order gets what there is; what is lost from a shelf is taken elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from connector.errors import AbortedError, CommandError
from connector.model.events import Allocate, Deallocate
from connector.model.money import plain
from connector.model.order import Order
from connector.model.order_state import OrderState
from connector.model.shipments import ZERO
from connector.model.stage import OPEN
from connector.model.stock import StockKey, StockLevel
from connector.orders.command import OrderCommand, attribute_to
from connector.orders.inventory.sourcing import Needs, choose_sources, places_of
from connector.orders.transaction import OrderTransaction
from connector.store import orders, products, stock
from connector.store.queries.backorders import list_orders_waiting_for_stock
from connector.store.queries.reservations import list_reservations

MOST_SERVED = 500
"""Waiting orders that a count serves at once; the rest is left to `tend`, or to the next allocation."""


async def allocate(
    transaction: OrderTransaction, numbers: Sequence[str], *, asked: OrderCommand | None = None
) -> list[OrderState]:
    """Reserve what is there for these orders, the one of the highest priority first; what is not there stays open.
    Orders that cannot be allocated now, or are on hold, stay as they are.

    `asked` is the command behind it, if there is one: what happens bears its name.
    """
    found = await transaction.load(numbers)
    open_ones = [order for order, _ in found.values() if _waits(order)]
    skus = {line.product.sku for order in open_ones for line in order.lines}
    levels = await stock.levels(transaction.uow.connection, skus, lock=True)
    places = places_of(levels)
    commands = []
    for order in sorted(open_ones, key=by_priority):
        lines: dict[int, Decimal] = {}
        sku_of = {line.number: line.product.sku for line in order.lines}
        for (line, warehouse), quantity in choose_sources(
            _open(order), levels, transaction.rules.routing, places
        ).items():
            lines[line] = lines.get(line, ZERO) + quantity
            place = (sku_of[line], warehouse)
            levels[place] = replace(levels[place], reserved=levels[place].reserved + quantity)
        if lines:
            commands.append(OrderCommand(number=order.number, event=Allocate(lines=lines)))
    if asked is not None:
        commands = attribute_to(asked, commands)
    done = {progress.number: progress for progress in await transaction.execute_all(commands)}
    return [done.get(number) or found[number][0].state for number in numbers]


def by_priority(order: Order) -> tuple[object, ...]:
    """Sorts the most urgent first: by priority, then by promise, then by age."""
    promised = order.header.promised_on.toordinal() if order.header.promised_on else 10**9
    return (-order.priority, promised, order.header.placed_at, order.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class StockCountReport:
    """What a count changed: `taken` are orders that lost an allocation, `short` those that did not get it back,
    `served` those that had waited and got something."""

    taken: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    served: tuple[str, ...] = ()


async def apply_stock_count(
    transaction: OrderTransaction,
    counted: Mapping[StockKey, Decimal],
    expected: Mapping[StockKey, Decimal] | None = None,
) -> StockCountReport:
    """Set what is on hand, as counted. Where less is there than is reserved, the least urgent orders lose their
    allocation first; CommandError if what is left is picked already. Then they, and those that had waited, are given
    what there is by urgency, from any warehouse. `expected` is what the counter took to be on hand: CommandError where
    it is not; AbortedError where an order that stands to lose something came by it meanwhile: the whole transaction
    is to be repeated.
    """
    lost: dict[str, set[int]] = {}
    waited, levels = await _lock(transaction, counted)
    _check_expected(levels, expected or {})
    for place, on_hand in sorted(counted.items()):
        reserved = levels[place].reserved if place in levels else ZERO
        if not on_hand.is_finite() or on_hand < 0:
            raise _refused(place, f"cannot have {on_hand} on hand", "Count what is there: 0 or more.", "input")
        if reserved <= on_hand:
            continue
        taken = await _to_take(transaction, place, reserved - on_hand)
        for number, lines in taken.items():
            lost.setdefault(number, set()).update(lines)
        events = {
            number: Deallocate(lines=lines, warehouse=place[1], note="stock lost")
            for number, lines in sorted(taken.items())
        }
        await transaction.execute_all([OrderCommand(number=number, event=event) for number, event in events.items()])
    await stock.count(transaction.uow, counted)
    again = await allocate(transaction, sorted({*lost, *waited}))
    short = [
        progress.number for progress in again
        if any(progress.lines[line].allocated < progress.lines[line].wanted for line in lost.get(progress.number, ()))
    ]  # fmt: skip
    served = [
        progress.number
        for progress in again
        if progress.number not in lost and progress.sum("allocated") > waited[progress.number]
    ]
    return StockCountReport(taken=tuple(sorted(lost)), short=tuple(short), served=tuple(served))


async def _lock(
    transaction: OrderTransaction, counted: Mapping[StockKey, Decimal]
) -> tuple[dict[str, Decimal], dict[StockKey, StockLevel]]:
    """The most urgent orders that wait for what is counted anew, with what is allocated to them; the stock, locked.

    Whoever may gain or lose is locked before the stock, as in every command: in another order, a count and a command
    could wait for each other.
    """
    connection = transaction.uow.connection
    skus = sorted({sku for sku, _ in counted})
    known = await products.find(connection, skus)
    for place in sorted(counted):
        if place[0] not in known:
            raise _refused(place, "is not known", "Import the product first, or correct its SKU.", "product")
    seen = await stock.levels(connection, skus)
    moved = {place[0] for place, on_hand in counted.items() if place not in seen or seen[place].on_hand != on_hand}
    waits = await list_orders_waiting_for_stock(connection, sorted(moved), limit=MOST_SERVED) if moved else []
    losing = [place for place, on_hand in counted.items() if place in seen and seen[place].reserved > on_hand]
    holders = {row.order_number for place in losing for row in await list_reservations(connection, place)}
    found = await transaction.load(sorted({*waits, *holders}))
    await stock.begin(transaction.uow, counted)
    concerned = {line.product.sku for order, _ in found.values() for line in order.lines}
    levels = await stock.levels(connection, concerned | set(skus), lock=True)
    return {number: found[number][0].state.sum("allocated") for number in waits}, levels


def _check_expected(levels: Mapping[StockKey, StockLevel], expected: Mapping[StockKey, Decimal]) -> None:
    for place, quantity in sorted(expected.items()):
        there = levels[place].on_hand if place in levels else ZERO
        if there != quantity:
            what = f"has {plain(there)} on hand by now, not {plain(quantity)}"
            raise _refused(place, what, "Look at it again, and count again if need be.", "expected")


async def _to_take(transaction: OrderTransaction, place: StockKey, missing: Decimal) -> dict[str, dict[int, Decimal]]:
    """What to deallocate so that `missing` units fewer are reserved at `place`."""
    rows = await list_reservations(transaction.uow.connection, place)
    if any(not transaction.has_locked(row.order_number) for row in rows):
        # To lock it now, behind the stock, could be a deadlock with a command that has it and wants the stock.
        raise AbortedError(
            f"Product {place[0]} in {place[1]} was given to another order while it was counted.",
            hint="Count it again.",
        )
    found = {
        order.number: order
        for order in await orders.load(transaction.uow.connection, [row.order_number for row in rows])
    }
    taken: dict[str, dict[int, Decimal]] = {}
    left = missing
    for row in sorted(rows, key=lambda row: by_priority(found[row.order_number]), reverse=True):
        quantity = min(left, row.quantity - row.picked)
        if quantity > 0:
            taken.setdefault(row.order_number, {})[row.line] = quantity
            left -= quantity
    if left > 0:
        what = f"cannot have {plain(missing)} fewer than is reserved: {plain(left)} of it is picked"
        raise _refused(place, what, "Cancel the picked lines first, or count again.", "reserved")
    return taken


def _waits(order: Order) -> bool:
    """Whether something of it can still be allocated."""
    if order.state.holds or order.stage not in OPEN:
        return False
    return any(line.state.allocated + line.state.canceled < line.quantity for line in order.lines)


def _open(order: Order) -> Needs:
    """What of an order is not allocated yet."""
    return {
        line.number: (line.product.sku, line.quantity - line.state.canceled - line.state.allocated)
        for line in order.lines
    }


def _refused(place: StockKey, what: str, hint: str, rule: str) -> CommandError:
    return CommandError(f"Product {place[0]} in {place[1]} {what}.", hint=hint, field="on_hand", rule=rule)
