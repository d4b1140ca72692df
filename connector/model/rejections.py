"""How an event is refused: in one sentence that names the order, with the field and the rule for programs."""

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
    """`Order 10248 cannot ship: it names no lines.`"""
    message = f"Order {state.number} cannot {event.action.words}: it {what}."
    return CommandError(message, hint=hint, field=place, rule=rule)


def raised(
    state: OrderState, event: Event, line: int, value: Decimal, by: Decimal, limit: Decimal, what: str
) -> Decimal:
    """`value + by`; CommandError if that is more than `limit`, `what` saying what there is only so much of."""
    left = max(limit - value, ZERO)
    if by <= left:
        return value + by
    words = event.action.words
    verb = f"{words} with" if " " in words else words
    raise CommandError(
        f"Order {state.number} cannot {verb} {plain(by)} of line {line}: {plain(left)} {what}.",
        hint=f"Ask for {plain(left)} at most." if left else "",
        field=f"lines.{line}",
        rule="quantity",
    )


def quantities(state: OrderState, event: LineEvent) -> Iterable[tuple[int, Decimal]]:
    """The lines of an event: known ones, with more than 0 of each. CommandError otherwise."""
    if not event.lines:
        raise rejection(state, event, "lines", "names no lines", "Say which lines, and how many of each.")
    return checked(state, event, "lines", event.lines.items())


def checked(
    state: OrderState, event: Event, place: str, items: Iterable[tuple[int, Decimal]]
) -> Iterable[tuple[int, Decimal]]:
    for number, quantity in items:
        if number not in state.lines:
            hint = f"It has {one_of(sorted(state.lines))}."
            raise rejection(state, event, f"{place}.{number}", f"has no line {number}", hint)
        if not quantity.is_finite() or quantity <= 0:
            what = f"got the quantity {quantity}"
            raise rejection(state, event, f"{place}.{number}", what, "It must be more than 0.")
        yield number, quantity


def chosen(
    state: OrderState, event: Event, noun: str, number: int | None, statuses: Mapping[int, str], among: Set[str]
) -> int:
    """The shipment or return (`noun`) that the event names by `number`; without one, the only one that it can mean.

    `statuses` are those of all of them, `among` those that suit.
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
