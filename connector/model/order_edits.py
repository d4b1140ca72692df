"""Changes of an order itself: its lines, its header, and a part that is split off as a new order. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal

from connector.errors import CommandError
from connector.model.events import ChangeOrder, Detail, Event, LineEdit, SplitOrder
from connector.model.money import EXACT, to_cents
from connector.model.order_header import ADDRESS, ANYTIME, CHANGEABLE, VERIFIED, FieldKind
from connector.model.order_state import LineState, OrderState
from connector.model.rejections import increased, one_of, quantities, rejection
from connector.model.shipments import ZERO, ShipmentStatus
from connector.model.stage import EARLY


def apply_split(state: OrderState, event: SplitOrder) -> OrderState:
    """Cancel the part that becomes another order. It must not be allocated, invoiced or paid."""
    lines = dict(state.lines)
    for number, quantity in quantities(state, event):
        line = lines[number]
        most = line.quantity - line.allocated
        if line.allocated and line.canceled >= most:
            message = f"Order {state.number} cannot split line {number}: all of it is allocated."
            raise CommandError(message, hint="Deallocate it first.", field=f"lines.{number}", rule="quantity")
        canceled = increased(state, event, number, line.canceled, quantity, most, "is not allocated")
        lines[number] = replace(line, canceled=canceled)
    after = replace(state, lines=lines)
    if after.wanted == 0:
        raise rejection(state, event, "lines", "would have nothing left", "Leave at least one line here.")
    return _check_money(state, event, after)


def apply_change(state: OrderState, event: ChangeOrder) -> OrderState:
    """Change, add or remove lines (quantity 0 removes one), and change header fields."""
    if not event.line_edits and not event.details:
        raise rejection(
            state, event, "line_edits", "names nothing", "Say which lines or details, and what they are to be."
        )
    late = sorted(event.details.keys() - ANYTIME)
    if state.stage not in EARLY and (event.line_edits or late):
        what = "its lines" if event.line_edits else late[0]
        raise CommandError(
            f"Order {state.number} is {state.stage}: it cannot change {what} now.",
            hint=f"That is possible while it is {one_of(EARLY)}; {one_of(sorted(ANYTIME))} later too.",
            field="line_edits" if event.line_edits else f"details.{late[0]}",
            rule="stage",
        )
    after = _apply_details(state, event)
    if event.line_edits:
        after = _apply_line_edits(after, event)
    return after if after.due >= state.due else _check_money(state, event, after)


def requires_reverification(event: ChangeOrder) -> bool:
    """Return whether a change touches lines or fields that verification checks, so that it must be repeated."""
    return bool(event.line_edits or event.details.keys() & VERIFIED)


def _apply_line_edits(state: OrderState, event: ChangeOrder) -> OrderState:
    if state.sum("credited") > 0:
        what = "has a credited return"
        raise rejection(state, event, "returns", what, "Place another order for the additional goods.", "return")
    lines = dict(state.lines)
    for number, edit in event.line_edits.items():
        line = lines.get(number, LineState(quantity=ZERO))
        place = f"line_edits.{number}"
        _check_line_edit(state, event, number, edit)
        minimum = line.allocated + line.canceled
        if edit.quantity < minimum or (edit.quantity == 0 and number not in state.lines):
            hint = f"Keep {minimum} at least." if minimum else ""
            raise rejection(state, event, place, f"needs {minimum} of line {number}", hint, "quantity")
        if edit.quantity == 0:
            del lines[number]
        else:
            lines[number] = replace(line, quantity=edit.quantity, total=exact_total(edit))
    after = replace(state, lines=dict(sorted(lines.items())))
    if after.wanted == 0:
        raise rejection(state, event, "line_edits", "would have nothing left", "Cancel it instead.")
    return after


def _apply_details(state: OrderState, event: ChangeOrder) -> OrderState:
    for name, value in event.details.items():
        if name not in CHANGEABLE:
            what = f"has no detail {name}"
            raise rejection(state, event, f"details.{name}", what, f"It has {one_of(CHANGEABLE)}.")
        if (fault := _fault(name, value)) is not None:
            raise rejection(state, event, f"details.{name}", f"got the {name.replace('_', ' ')} {value}", fault)
    if event.details.keys() & ADDRESS:
        _check_parcels(state, event)
    return state.with_header(**event.details)


def _check_parcels(state: OrderState, event: ChangeOrder) -> None:
    """Reject a new address while a shipment is labeled for the old one, or has left for it."""
    for number, parcel in state.shipments.items():
        if parcel.status is ShipmentStatus.LABELED:
            what = f"has shipment {number} labeled for the old address"
            raise rejection(state, event, "shipment", what, "Unpack it first.", "shipment")
        if parcel.status not in {ShipmentStatus.PACKED, ShipmentStatus.VOID}:
            what = f"has shipment {number} that left for the old address"
            raise rejection(state, event, "shipment", what, "Split off the rest, and change the new order.", "shipment")


def _fault(name: str, value: Detail) -> str | None:
    """Return why `value` is invalid, or None. None is valid: histories keep only the names of personal fields."""
    if value is None:
        return None
    kind = CHANGEABLE[name].kind
    expected = kind.python_type
    if not isinstance(value, expected) or (expected is date and type(value) is not date):
        return f"It must be {_KIND[expected]}."
    if isinstance(value, Decimal) and not (value.is_finite() and value >= 0):
        return "It must not be less than 0."
    if kind is FieldKind.RATE and isinstance(value, Decimal) and value >= 1:
        return "It is a fraction: 0.19 for 19 %."
    return None


_KIND: Mapping[type, str] = {str: "a text", date: "a day", bool: "yes or no", Decimal: "a number"}


def exact_total(edit: LineEdit) -> Decimal:
    """Return quantity x unit price x (1 - discount), not rounded; 0 without a price."""
    if edit.unit_price is None:
        return ZERO
    return EXACT.multiply(EXACT.multiply(edit.quantity, edit.unit_price), EXACT.subtract(Decimal(1), edit.discount))


def _check_line_edit(state: OrderState, event: Event, number: int, edit: LineEdit) -> None:
    price = edit.unit_price
    for name, value, fits in (
        ("quantity", edit.quantity, edit.quantity.is_finite() and edit.quantity >= 0),
        ("unit_price", price, price is None or (price.is_finite() and price >= 0)),
        ("discount", edit.discount, edit.discount.is_finite() and 0 <= edit.discount <= 1),
    ):
        if not fits:
            what = f"got the {name.replace('_', ' ')} {value} for line {number}"
            raise rejection(state, event, f"line_edits.{number}.{name}", what, "It must not be less than 0.")
    if number < 1:
        raise rejection(state, event, f"line_edits.{number}", f"got the line number {number}", "Lines count from 1.")


def _check_money(before: OrderState, event: Event, after: OrderState) -> OrderState:
    """Reject a change after which less is due than was invoiced or paid."""
    for what, amount in (("invoiced", before.invoiced), ("paid", to_cents(before.net, before.places))):
        if amount > after.due:
            what = f"has {amount} {what}, but only {after.due} would be due"
            raise rejection(before, event, "amount", what, "Cancel lines and refund instead.", "amount")
    return after
