"""Allocate stock to orders by urgency, and reallocate after a stock count."""

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
from connector.orders.inventory.sourcing import Needs, choose_sources, index_places
from connector.orders.transaction import OrderTransaction
from connector.store import orders, products, stock
from connector.store.queries.backorders import list_orders_waiting_for_stock
from connector.store.queries.reservations import list_reservations

MAX_ORDERS_PER_COUNT = 500
"""How many waiting orders one stock count allocates to; order automation or the next allocation does the rest."""


async def allocate(
    transaction: OrderTransaction, numbers: Sequence[str], *, command: OrderCommand | None = None
) -> list[OrderState]:
    """Reserve available stock for these orders, the highest priority first, and return their states.

    A quantity that is not available stays open. Orders that cannot be allocated now, or are on hold, do not change.

    `command` is the command that asked for this, if there is one: the events are attributed to it.
    """
    loaded = await transaction.load(numbers)
    allocatable = [order for order, _ in loaded.values() if _is_allocatable(order)]
    skus = {line.product.sku for order in allocatable for line in order.lines}
    levels = await stock.levels(transaction.uow.connection, skus, lock=True)
    places = index_places(levels)
    commands = []
    for order in sorted(allocatable, key=by_priority):
        lines: dict[int, Decimal] = {}
        sku_of = {line.number: line.product.sku for line in order.lines}
        for (line, warehouse), quantity in choose_sources(
            _open_quantities(order), levels, transaction.rules.routing, places
        ).items():
            lines[line] = lines.get(line, ZERO) + quantity
            place = (sku_of[line], warehouse)
            levels[place] = replace(levels[place], reserved=levels[place].reserved + quantity)
        if lines:
            commands.append(OrderCommand(number=order.number, event=Allocate(lines=lines)))
    if command is not None:
        commands = attribute_to(command, commands)
    changed_states = {state.number: state for state in await transaction.execute_all(commands)}
    return [changed_states.get(number) or loaded[number][0].state for number in numbers]


def by_priority(order: Order) -> tuple[object, ...]:
    """Return a sort key that puts the most urgent order first: by priority, promised day, then age."""
    promised = order.header.promised_on.toordinal() if order.header.promised_on else 10**9
    return (-order.priority, promised, order.header.placed_at, order.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class StockCountReport:
    """What a count changed: `orders_reduced` lost an allocation, `orders_short` did not get it back, `orders_served`
    had waited and got stock."""

    orders_reduced: tuple[str, ...] = ()
    orders_short: tuple[str, ...] = ()
    orders_served: tuple[str, ...] = ()


async def apply_stock_count(
    transaction: OrderTransaction,
    counted: Mapping[StockKey, Decimal],
    expected: Mapping[StockKey, Decimal] | None = None,
) -> StockCountReport:
    """Set the counted quantities on hand, and reallocate.

    If less is on hand than is reserved, the least urgent orders lose their allocation first. Then these orders and the
    waiting ones are allocated by urgency, from any warehouse. `expected` is the quantity on hand that the caller saw.

    Raises CommandError if picked goods would be missing, or a quantity on hand is not as expected, and AbortedError if
    an order reserved counted stock meanwhile: the caller then repeats the whole transaction.
    """
    lost_lines: dict[str, set[int]] = {}
    waiting, levels = await _lock_orders_and_stock(transaction, counted)
    _check_expected(levels, expected or {})
    for place, on_hand in sorted(counted.items()):
        reserved = levels[place].reserved if place in levels else ZERO
        if not on_hand.is_finite() or on_hand < 0:
            raise _stock_error(place, f"cannot have {on_hand} on hand", "Count what is there: 0 or more.", "input")
        if reserved <= on_hand:
            continue
        reductions = await _choose_reductions(transaction, place, reserved - on_hand)
        for number, lines in reductions.items():
            lost_lines.setdefault(number, set()).update(lines)
        events = {
            number: Deallocate(lines=lines, warehouse=place[1], note="stock lost")
            for number, lines in sorted(reductions.items())
        }
        await transaction.execute_all([OrderCommand(number=number, event=event) for number, event in events.items()])
    await stock.count(transaction.uow, counted)
    reallocated = await allocate(transaction, sorted({*lost_lines, *waiting}))
    orders_short = [
        state.number for state in reallocated
        if any(state.lines[line].allocated < state.lines[line].wanted for line in lost_lines.get(state.number, ()))
    ]  # fmt: skip
    orders_served = [
        state.number
        for state in reallocated
        if state.number not in lost_lines and state.sum("allocated") > waiting[state.number]
    ]
    return StockCountReport(
        orders_reduced=tuple(sorted(lost_lines)), orders_short=tuple(orders_short), orders_served=tuple(orders_served)
    )


async def _lock_orders_and_stock(
    transaction: OrderTransaction, counted: Mapping[StockKey, Decimal]
) -> tuple[dict[str, Decimal], dict[StockKey, StockLevel]]:
    """Lock the orders that may gain or lose stock, then the stock.

    Returns the waiting orders with their allocated quantity, and the stock levels. Orders are locked before stock, as
    in every command; in another sequence, a count and a command could deadlock.
    """
    connection = transaction.uow.connection
    skus = sorted({sku for sku, _ in counted})
    known_products = await products.find(connection, skus)
    for place in sorted(counted):
        if place[0] not in known_products:
            raise _stock_error(place, "is not known", "Import the product first, or correct its SKU.", "product")
    current_levels = await stock.levels(connection, skus)
    changed_skus = {
        place[0]
        for place, on_hand in counted.items()
        if place not in current_levels or current_levels[place].on_hand != on_hand
    }
    waiting = (
        await list_orders_waiting_for_stock(connection, sorted(changed_skus), limit=MAX_ORDERS_PER_COUNT)
        if changed_skus
        else []
    )
    overreserved = [
        place
        for place, on_hand in counted.items()
        if place in current_levels and current_levels[place].reserved > on_hand
    ]
    holders = {row.order_number for place in overreserved for row in await list_reservations(connection, place)}
    loaded = await transaction.load(sorted({*waiting, *holders}))
    await stock.create_missing_rows(transaction.uow, counted)
    order_skus = {line.product.sku for order, _ in loaded.values() for line in order.lines}
    levels = await stock.levels(connection, order_skus | set(skus), lock=True)
    return {number: loaded[number][0].state.sum("allocated") for number in waiting}, levels


def _check_expected(levels: Mapping[StockKey, StockLevel], expected: Mapping[StockKey, Decimal]) -> None:
    for place, quantity in sorted(expected.items()):
        there = levels[place].on_hand if place in levels else ZERO
        if there != quantity:
            what = f"has {plain(there)} on hand by now, not {plain(quantity)}"
            raise _stock_error(place, what, "Read the stock again, then repeat the count if needed.", "expected")


async def _choose_reductions(
    transaction: OrderTransaction, place: StockKey, missing: Decimal
) -> dict[str, dict[int, Decimal]]:
    """Return the quantities to deallocate by order and line, so that `missing` fewer units are reserved at `place`."""
    rows = await list_reservations(transaction.uow.connection, place)
    if any(not transaction.has_locked(row.order_number) for row in rows):
        # Locking the order after the stock could deadlock with a command that holds the order and waits for the stock.
        raise AbortedError(
            f"Product {place[0]} in {place[1]} was allocated to another order during the count.",
            hint="Count it again.",
        )
    order_by_number = {
        order.number: order
        for order in await orders.load(transaction.uow.connection, [row.order_number for row in rows])
    }
    reductions: dict[str, dict[int, Decimal]] = {}
    remaining = missing
    for row in sorted(rows, key=lambda row: by_priority(order_by_number[row.order_number]), reverse=True):
        quantity = min(remaining, row.quantity - row.picked)
        if quantity > 0:
            reductions.setdefault(row.order_number, {})[row.line] = quantity
            remaining -= quantity
    if remaining > 0:
        what = f"cannot have {plain(missing)} fewer than is reserved: {plain(remaining)} of it is picked"
        raise _stock_error(place, what, "Cancel the picked lines first, or count again.", "reserved")
    return reductions


def _is_allocatable(order: Order) -> bool:
    """Return whether a line of the order can still be allocated."""
    if order.state.holds or order.stage not in OPEN:
        return False
    return any(line.state.allocated + line.state.canceled < line.quantity for line in order.lines)


def _open_quantities(order: Order) -> Needs:
    """Return the SKU and the quantity not allocated yet, by line."""
    return {
        line.number: (line.product.sku, line.quantity - line.state.canceled - line.state.allocated)
        for line in order.lines
    }


def _stock_error(place: StockKey, what: str, hint: str, rule: str) -> CommandError:
    return CommandError(f"Product {place[0]} in {place[1]} {what}.", hint=hint, field="on_hand", rule=rule)
