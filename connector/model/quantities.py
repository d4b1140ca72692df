"""What an event does to the quantities of an order's lines, where they stay in the house. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from connector.model.event import Action, Event, Terms
from connector.model.money import EXACT, to_cents
from connector.model.parcels import ZERO
from connector.model.progress import LineProgress, Progress
from connector.model.refusal import quantities, raised, refused

Up = Callable[[Decimal, Decimal, Decimal, str], Decimal]
"""value, by, limit, what there is only so much of -> the new value."""


def with_lines(progress: Progress, event: Event) -> Progress:
    """After an allocation, its end, a pick or a cancellation."""
    lines = dict(progress.lines)
    for number, quantity in quantities(progress, event):

        def up(value: Decimal, by: Decimal, limit: Decimal, what: str, line: int = number) -> Decimal:
            return raised(progress, event, line, value, by, limit, what)

        lines[number] = _MOVES[event.action](lines[number], quantity, up, progress.packed(number))
    return replace(progress, lines=lines)


def _allocated(line: LineProgress, quantity: Decimal, up: Up, packed: Decimal) -> LineProgress:
    return replace(line, allocated=up(line.allocated, quantity, line.wanted, "is left to allocate"))


def _deallocated(line: LineProgress, quantity: Decimal, up: Up, packed: Decimal) -> LineProgress:
    up(line.picked, quantity, line.allocated, "is allocated and not picked")
    return replace(line, allocated=line.allocated - quantity)


def _picked(line: LineProgress, quantity: Decimal, up: Up, packed: Decimal) -> LineProgress:
    return replace(line, picked=up(line.picked, quantity, line.allocated, "is allocated and not picked"))


def _cancelled(line: LineProgress, quantity: Decimal, up: Up, packed: Decimal) -> LineProgress:
    """First what is not allocated, then what is not picked, then what is picked and goes back to its shelf."""
    cancelled = up(line.cancelled, quantity, line.ordered - line.shipped - packed, "is neither packed nor shipped")
    left = line.ordered - cancelled
    return replace(line, cancelled=cancelled, allocated=min(line.allocated, left), picked=min(line.picked, left))


_MOVES: Mapping[Action, Callable[[LineProgress, Decimal, Up, Decimal], LineProgress]] = {
    Action.ALLOCATE: _allocated,
    Action.DEALLOCATE: _deallocated,
    Action.PICK: _picked,
    Action.CANCEL: _cancelled,
}


def split(progress: Progress, event: Event) -> Progress:
    """Part of the order becomes another one: cancelled here, as long as nothing of it is allocated or paid."""
    lines = dict(progress.lines)
    for number, quantity in quantities(progress, event):
        line = lines[number]
        most = line.ordered - line.allocated
        cancelled = raised(progress, event, number, line.cancelled, quantity, most, "is not allocated")
        lines[number] = replace(line, cancelled=cancelled)
    after = replace(progress, lines=lines)
    if after.wanted == 0:
        raise refused(progress, event, "lines", "would have nothing left", "Leave at least one line here.")
    return _within(progress, event, after)


def changed(progress: Progress, event: Event) -> Progress:
    """Lines with other terms, new ones, or without those that are taken out (quantity 0)."""
    if not event.terms:
        raise refused(progress, event, "terms", "names no lines", "Say which lines, and what they are to be.")
    if progress.sum("credited") > 0:
        what = "has been credited for what came back"
        raise refused(progress, event, "returns", what, "Place another order for what is wanted besides.", "return")
    lines = dict(progress.lines)
    for number, terms in event.terms.items():
        line = lines.get(number, LineProgress(ordered=ZERO))
        place = f"terms.{number}"
        _sane(progress, event, number, terms)
        kept = line.allocated + line.cancelled
        if terms.quantity < kept or (terms.quantity == 0 and number not in progress.lines):
            hint = f"Keep {kept} at least." if kept else ""
            raise refused(progress, event, place, f"needs {kept} of line {number}", hint, "quantity")
        if terms.quantity == 0:
            del lines[number]
        else:
            lines[number] = replace(line, ordered=terms.quantity, total=exact_total(terms))
    after = replace(progress, lines=dict(sorted(lines.items())))
    if after.wanted == 0:
        raise refused(progress, event, "terms", "would have nothing left", "Cancel it instead.")
    return _within(progress, event, after)


def exact_total(terms: Terms) -> Decimal:
    """Quantity x unit price x (1 - discount), not rounded; 0 without a price."""
    if terms.unit_price is None:
        return ZERO
    return EXACT.multiply(EXACT.multiply(terms.quantity, terms.unit_price), EXACT.subtract(Decimal(1), terms.discount))


def _sane(progress: Progress, event: Event, number: int, terms: Terms) -> None:
    price = terms.unit_price
    for name, value, fits in (
        ("quantity", terms.quantity, terms.quantity.is_finite() and terms.quantity >= 0),
        ("unit_price", price, price is None or (price.is_finite() and price >= 0)),
        ("discount", terms.discount, terms.discount.is_finite() and 0 <= terms.discount <= 1),
    ):
        if not fits:
            what = f"got the {name.replace('_', ' ')} {value} for line {number}"
            raise refused(progress, event, f"terms.{number}.{name}", what, "It must not be less than 0.")
    if number < 1:
        raise refused(progress, event, f"terms.{number}", f"got the line number {number}", "Lines count from 1.")


def _within(before: Progress, event: Event, after: Progress) -> Progress:
    """What has been invoiced and paid must still be owed."""
    for what, amount in (("invoiced", before.invoiced), ("paid", to_cents(before.net, before.places))):
        if amount > after.due:
            what = f"has {amount} {what}, and would come to {after.due}"
            raise refused(before, event, "amount", what, "Cancel lines and refund instead.", "amount")
    return after
