"""Rejections of commands: one sentence that names the order, and the field and the rule for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from decimal import Decimal

from connector.errors import CommandError
from connector.model.events import Event, LineEvent
from connector.model.money import plain
from connector.model.order_state import OrderState
from connector.model.shipments import ZERO


def rejection(
    state: OrderState, event: Event, place: str, what: str, hint: str = "", rule: str = "input"
) -> CommandError:
    """Return the error `Order 10248 cannot ship: it names no lines.`; `what` is the part after the colon."""
    message = f"Order {state.number} cannot {event.action.words}: it {what}."
    return CommandError(message, hint=hint, field=place, rule=rule)


def increased(
    state: OrderState, event: Event, line: int, value: Decimal, by: Decimal, limit: Decimal, what: str
) -> Decimal:
    """Return `value + by`. Raises CommandError if that is more than `limit`; `what` describes the remaining quantity in
    its message (`2 is left to allocate`)."""
    remaining = max(limit - value, ZERO)
    if by <= remaining:
        return value + by
    words = event.action.words
    verb = f"{words} with" if " " in words else words
    rest = plain(remaining) if remaining else "nothing"
    raise CommandError(
        f"Order {state.number} cannot {verb} {plain(by)} of line {line}: {rest} {what}.",
        hint=f"Ask for {plain(remaining)} at most." if remaining else "",
        field=f"lines.{line}",
        rule="quantity",
    )


def quantities(state: OrderState, event: LineEvent) -> Iterable[tuple[int, Decimal]]:
    """Return the lines of an event. Raises CommandError if there are none, if the order lacks one of them, or if a
    quantity is not positive."""
    if not event.lines:
        raise rejection(state, event, "lines", "names no lines", "Say which lines, and how many of each.")
    return checked_quantities(state, event, "lines", event.lines.items())


def checked_quantities(
    state: OrderState, event: Event, place: str, items: Iterable[tuple[int, Decimal]]
) -> Iterable[tuple[int, Decimal]]:
    for number, quantity in items:
        if number not in state.lines:
            numbers = sorted(state.lines)
            hint = f"Its only line is {numbers[0]}." if len(numbers) == 1 else f"It has {one_of(numbers)}."
            raise rejection(state, event, f"{place}.{number}", f"has no line {number}", hint)
        if not quantity.is_finite() or quantity <= 0:
            what = f"got the quantity {quantity}"
            raise rejection(state, event, f"{place}.{number}", what, "It must be more than 0.")
        yield number, quantity


def choose_number(
    state: OrderState, event: Event, noun: str, number: int | None, statuses: Mapping[int, str], among: Set[str]
) -> int:
    """Return the number of the shipment or return (`noun`) that the event is for: `number`, or without it the only
    possible one. CommandError if there is none, or more than one.

    `statuses` are the statuses of all shipments or returns by number; those with a status of `among` are possible.
    """
    possible = sorted(each for each, status in statuses.items() if status in among)
    if number is None and len(possible) == 1:
        return possible[0]
    if number is not None and number in possible:
        return number
    if number is None:
        what = f"names no {noun}" if possible else f"has no {noun} for that"
    elif number in statuses:
        what = f"has {noun} {number}, which is {statuses[number].replace('_', ' ')}"
    else:
        what = f"has no {noun} {number}"
    field = noun if noun == "shipment" else f"{noun}_number"
    raise rejection(state, event, field, what, f"Possible now: {one_of(possible)}." if possible else "", noun)


def one_of(values: Iterable[object]) -> str:
    items = [str(value) for value in values]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}" if items else "none"
