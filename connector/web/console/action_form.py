"""The form of an action on an order, built from the fields of its event, and read back to the event.

Every action has its form from here: the names of its controls are the paths of the fields as HTTP has them, such as
`lines.2` and `details.promised_on`, so what is wrong with a value stands at its control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import EnumType

from pydantic import ValidationError

from connector.api.transitions import ActionBody, body_of
from connector.model import events
from connector.model.action_fields import ACTION_FIELDS, FIELD_TYPES
from connector.model.actions import Action
from connector.model.events import Event
from connector.model.money import plain
from connector.model.order import Order
from connector.model.order_header import ANYTIME, CHANGEABLE, PERSONAL, FieldKind
from connector.model.possible_actions import PossibleAction
from connector.model.shipments import CARRIER_STATUSES, Resolution, ReturnReason, ShipmentStatus
from connector.model.stage import EARLY
from connector.validation import field_errors
from connector.web.console.action_titles import CONFIRM, LABELS, label_of, title_of
from connector.web.console.frame import Form, FormError

MOST_EDITED = 50
MOST_ROWS = 200
"""Lines of one page of the form `change`, and of another form."""
ALL = "all"
"""The field of a form with more lines than it shows that asks for all that is left."""
SHOWN = "shown."
"""Begins the name of a hidden field with what a control of `change` held: what was not touched is not sent."""
SURE = "sure"
_EDIT = ("sku", "quantity", "unit_price", "discount")
_QUANTITIES = {"written_off": "Written off", "lines": "Quantity"}
_LONG = frozenset({"notes", "delivery_note", "rep_comment"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """One field. `kind`: `text`, `long`, `date`, `number` or `choice`, which has `options` as (value, title)."""

    name: str
    label: str
    kind: str = "text"
    value: str = ""
    options: Sequence[tuple[str, str]] = ()
    hint: str = ""
    required: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRow:
    """A row of a table of lines: what the line is, and a control for each column."""

    number: int
    name: str
    sku: str
    controls: Sequence[Control]


@dataclass(frozen=True, kw_only=True, slots=True)
class LineTable:
    """A field with an entry by line. `more`: the number of the line with which the next page begins."""

    name: str
    columns: Sequence[str]
    rows: Sequence[LineRow]
    more: int | None = None
    has_left: bool = True
    can_take_all: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionForm:
    """The form of one action. `fixed`: fields with a value that is not to be chosen. `confirm`: what a person must say
    yes to, for what cannot be taken back."""

    action: Action
    title: str
    controls: Sequence[Control] = ()
    table: LineTable | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    confirm: str = ""
    keeps_shown: bool = False


def build_form(item: PossibleAction, order: Order, warehouses: Sequence[str], *, first_line: int = 1) -> ActionForm:
    """Return the form of an action that the order allows."""
    has = ACTION_FIELDS[item.action]
    numbers = {"shipment": item.shipment, "return_number": item.return_number}
    fixed = {name: str(number) for name, number in numbers.items() if number is not None}
    controls: list[Control] = []
    for name in has.requestable:
        kind = FIELD_TYPES[name]
        if name in numbers or kind in (events.Quantities, events.LineEdits):
            continue
        if kind == events.Details:
            controls += _detail_controls(order)
        elif item.most or not (item.action is Action.SHIP and name == "warehouse"):
            controls.append(_control(name, item, order, warehouses, required=name in has.required))
    return ActionForm(
        action=item.action,
        title=title_of(item),
        controls=controls,
        table=_edit_table(order, first_line)
        if item.action is Action.CHANGE
        else _quantity_table(item, order, first_line),
        fixed=fixed,
        confirm=CONFIRM.get(item.action, ""),
        keeps_shown=item.action is Action.CHANGE,
    )


def _control(name: str, item: PossibleAction, order: Order, warehouses: Sequence[str], *, required: bool) -> Control:
    kind, label = FIELD_TYPES[name], label_of(name)
    if name == "amount":
        hint = f"At most {item.most_amount:f}."
        value = "" if item.amount is None else f"{item.amount:f}"
        return Control(
            name=name, label=f"{label} in {order.currency}", kind="number", value=value, hint=hint, required=True
        )
    if name == "warehouse":
        is_needed = item.action is Action.INSPECT_RETURN
        known = [(each, each) for each in warehouses]
        hint = "Where goods for stock are put." if is_needed else ""
        options = known if is_needed else [("", "any"), *known]
        return Control(name=name, label=label, kind="choice", options=options, hint=hint, required=is_needed)
    if isinstance(kind, EnumType):
        among = item.holds or (CARRIER_STATUSES if kind is ShipmentStatus else tuple(kind))
        options = [(str(each), str(each).replace("_", " ")) for each in among]
        value = {"reason": str(ReturnReason.OTHER), "resolution": str(Resolution.REFUND)}.get(name, options[0][0])
        if len(options) > 1 and item.action is Action.HOLD:  # nobody is to hold an order for a reason that was there
            value, options = "", [("", "choose…"), *options]
        return Control(name=name, label=label, kind="choice", value=value, options=options, required=True)
    if kind is date:
        return Control(name=name, label=label, kind="date", hint="Empty: today.")
    return Control(name=name, label=label, required=required)


def _quantity_table(item: PossibleAction, order: Order, first: int) -> LineTable | None:
    if not item.most:
        return None
    names = [name for name in ACTION_FIELDS[item.action].requestable if FIELD_TYPES[name] == events.Quantities]
    titles = {**_QUANTITIES, "lines": "Back to stock"} if len(names) > 1 else _QUANTITIES
    prefilled = item.action is not Action.SPLIT
    lines = [line for line in order.lines if line.number in item.most and line.number >= first]
    rows = []
    for line in lines[:MOST_ROWS]:
        most = plain(item.most[line.number])
        controls = [
            Control(
                name=f"{name}.{line.number}",
                label=f"{titles[name]} of line {line.number}",
                kind="number",
                value=most if name == "lines" and prefilled else "",
                hint=most,
            )
            for name in names
        ]
        rows.append(LineRow(number=line.number, name=line.product.name, sku=line.product.sku, controls=controls))
    return LineTable(
        name="lines",
        columns=[titles[name] for name in names],
        rows=rows,
        more=lines[MOST_ROWS].number if len(lines) > MOST_ROWS else None,
        can_take_all=len(item.most) > MOST_ROWS and item.action not in {Action.SPLIT, Action.INSPECT_RETURN},
    )


def _edit_table(order: Order, first: int) -> LineTable | None:
    if order.stage not in EARLY:
        return None
    lines = [line for line in order.lines if line.number >= first]
    rows = []
    for line in lines[:MOST_EDITED]:
        price = "" if line.unit_price is None else plain(line.unit_price)
        values = (line.product.sku, plain(line.quantity), price, plain(line.discount))
        rows.append(_edit_row(line.number, line.product.name, line.product.sku, values))
    more = lines[MOST_EDITED].number if len(lines) > MOST_EDITED else None
    if more is None:
        rows.append(_edit_row(max((line.number for line in order.lines), default=0) + 1, "", "", ("", "", "", "")))
    titles = [LABELS[name] for name in _EDIT]
    return LineTable(name="line_edits", columns=titles, rows=rows, more=more, has_left=False)


def _edit_row(number: int, name: str, sku: str, values: Sequence[str]) -> LineRow:
    controls = [
        Control(
            name=f"line_edits.{number}.{part}",
            label=f"{LABELS[part]} of line {number}",
            kind="text" if part == "sku" else "number",
            value=value,
        )
        for part, value in zip(_EDIT, values, strict=True)
    ]
    return LineRow(number=number, name=name or "A line to add", sku=sku, controls=controls)


def _detail_controls(order: Order) -> list[Control]:
    names = [name for name in CHANGEABLE if order.stage in EARLY or name in ANYTIME]
    return [_detail_control(name, getattr(order.header, name)) for name in sorted(names, key=PERSONAL.__contains__)]


def _detail_control(name: str, value: object) -> Control:
    label = label_of(name)
    path = f"details.{name}"
    match CHANGEABLE[name].kind:
        case FieldKind.FLAG:
            return Control(
                name=path, label=label, kind="choice", value="yes" if value else "no", required=True,
                options=(("no", "no"), ("yes", "yes")),
            )  # fmt: skip
        case FieldKind.DAY:
            kind = "date"
        case FieldKind.MONEY | FieldKind.RATE:
            kind = "number"
        case _:
            kind = "long" if name in _LONG else "text"
    text = plain(value) if isinstance(value, Decimal) else "" if value is None else str(value)
    return Control(name=path, label=label, kind=kind, value=text)


def read_event(action: Action, form: Form) -> Event:
    """Return the event that a form asks for. Raises FormError with a sentence for each field that is wrong."""
    if CONFIRM.get(action) and form.get(SURE) != "yes":
        raise FormError({SURE: "Say that you are sure: this cannot be taken back."})
    model = body_of(action)
    try:
        body = model.model_validate({"action": action.value, **_values(action, form)})
    except ValidationError as error:
        raise FormError(
            {wrong.field: f"{_label(wrong.field)}: {wrong.ended}" for wrong in field_errors(error, model)}
        ) from None
    assert isinstance(body, ActionBody)
    return body.requested_action().event


def _values(action: Action, form: Form) -> dict[str, object]:
    values: dict[str, object] = {}
    for name in ACTION_FIELDS[action].requestable:
        kind = FIELD_TYPES[name]
        if kind in (events.Quantities, events.LineEdits, events.Details):
            entries = {key.removeprefix(f"{name}."): text.strip() for key, text in form.items() if _is_in(key, name)}
            if kind == events.Quantities and form.get(ALL) == "yes":
                continue
            if kind == events.Quantities:
                values[name] = {line: text for line, text in entries.items() if text not in {"", "0"}}
            else:
                touched = {key: text for key, text in entries.items() if text != form.get(f"{SHOWN}{name}.{key}", "")}
                values[name] = _edits(entries, touched) if kind == events.LineEdits else _details(touched)
        elif text := form.get(name, "").strip():
            values[name] = text
    if "lines" in values and not values["lines"] and not values.get("written_off"):
        if any(_is_in(key, "lines") for key in form):
            raise FormError({"lines": "Say of at least one line how much it is."})
        del values["lines"]
    return values


def _is_in(key: str, name: str) -> bool:
    return key.startswith(f"{name}.")


def _edits(entries: Mapping[str, str], touched: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The lines of which something was touched, each with all that it is to be."""
    numbers = dict.fromkeys(key.partition(".")[0] for key in touched)
    return {
        number: {key.partition(".")[2]: text for key, text in entries.items() if key.startswith(f"{number}.") and text}
        for number in numbers
    }


def _details(touched: Mapping[str, str]) -> dict[str, str | bool | None]:
    flags = {name for name, info in CHANGEABLE.items() if info.kind is FieldKind.FLAG}
    return {name: text == "yes" if name in flags else text or None for name, text in touched.items()}


def _label(path: str) -> str:
    """What a sentence calls a field: `Quantity of line 2`."""
    name, _, rest = path.partition(".")
    line, _, part = rest.partition(".")
    if name == "details" and rest:
        return label_of(rest)
    if rest:
        return f"{LABELS.get(part, 'Quantity')} of line {line}"
    return {"lines": "Quantities", "line_edits": "Lines"}.get(name, label_of(name))
