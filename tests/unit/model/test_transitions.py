"""Which action an order allows in which state, and what becomes of the order: the state machine as tables of cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import CommandError
from connector.model import events as e
from connector.model.actions import Action
from connector.model.holds import Hold
from connector.model.order_header import OrderHeader
from connector.model.order_state import LineState, OrderState
from connector.model.shipments import (
    Resolution,
    Return,
    ReturnLine,
    ReturnReason,
    ReturnStatus,
    Shipment,
    ShipmentStatus,
)
from connector.model.stage import Stage
from connector.model.transitions import STAGES, apply, check, next_automatic_stage

DAY = date(2026, 3, 2)
PRICE = Decimal(10)
Values = dict[str, Any]


def order(**values: Any) -> OrderState:
    """An order with one line of four at 10 USD. `values`: quantities of the line, fields of the state or header."""
    line = {name: Decimal(values.pop(name)) for name in LineState.__dataclass_fields__ if name in values}
    line = {"quantity": Decimal(4), **line}
    state = {name: values.pop(name) for name in OrderState.__dataclass_fields__ if name in values}
    for name in ("shipments", "returns"):
        state[name] = {item.number: item for item in state.get(name, ())}
    for name in ("invoiced", "authorized", "captured", "refunded"):
        state[name] = Decimal(state.get(name, 0))
    header = OrderHeader(number="O-1", placed_at=datetime(2026, 3, 1, tzinfo=UTC), currency="USD", **values)
    lines = {1: LineState(**line, total=line["quantity"] * PRICE)}
    return OrderState(header=header, lines=lines, **{"stage": Stage.PLACED, **state})


def parcel(number: int = 1, quantity: int = 4, **values: Any) -> Shipment:
    return Shipment(number=number, lines={1: Decimal(quantity)}, **values)


def returned(requested: int = 2, status: ReturnStatus = ReturnStatus.REQUESTED, **values: Any) -> Return:
    counts = {name: Decimal(values.pop(name)) for name in ("received", "restocked", "written_off") if name in values}
    return Return(number=1, lines={1: ReturnLine(requested=Decimal(requested), **counts)}, status=status, **values)


def of(quantity: int | str, line: int = 1) -> dict[int, Decimal]:
    return {line: Decimal(quantity)}


PLACED: Values = {}
VERIFIED: Values = {"stage": Stage.VERIFIED}
CONFIRMED: Values = {"stage": Stage.CONFIRMED}
ALLOCATED = CONFIRMED | {"allocated": 4}
PICKED: Values = {"stage": Stage.FULFILLING, "allocated": 4, "picked": 4}
PACKED = PICKED | {"shipments": [parcel()]}
ON_THE_WAY = PICKED | {"stage": Stage.SHIPPED, "shipped": 4, "shipments": [parcel(status=ShipmentStatus.IN_TRANSIT)]}
DELIVERED = ON_THE_WAY | {
    "stage": Stage.DELIVERED, "delivered": 4, "shipments": [parcel(status=ShipmentStatus.DELIVERED)]
}  # fmt: skip
APPROVED = DELIVERED | {"returns": [returned(status=ReturnStatus.APPROVED)]}
RECEIVED = DELIVERED | {"returned": 2, "returns": [returned(status=ReturnStatus.RECEIVED, received=2)]}

ALLOWED = """
                placed verified confirmed fulfilling shipped delivered completed canceled | on-hold
change          yes    yes      yes       yes        yes     yes       yes       no       | yes
split           yes    yes      yes       yes        no      no        no        no       | no
verify          yes    no       no        no         no      no        no        no       | no
confirm         no     yes      no        no         no      no        no        no       | no
allocate        no     yes      yes       yes        no      no        no        no       | no
deallocate      yes    yes      yes       yes        no      no        no        no       | yes
pick            no     no       yes       yes        no      no        no        no       | no
pack            no     no       no        yes        no      no        no        no       | no
unpack          no     no       no        yes        no      no        no        no       | yes
label           no     no       no        yes        no      no        no        no       | no
ship            no     no       no        yes        no      no        no        no       | no
track           no     no       no        yes        yes     no        no        no       | yes
deliver         no     no       no        yes        yes     no        no        no       | yes
cancel          yes    yes      yes       yes        no      no        no        no       | yes
invoice         no     no       yes       yes        yes     yes       no        no       | yes
authorize       yes    yes      yes       yes        yes     yes       no        no       | yes
decline         yes    yes      yes       yes        yes     yes       no        no       | yes
capture         yes    yes      yes       yes        yes     yes       yes       no       | yes
refund          yes    yes      yes       yes        yes     yes       yes       yes      | yes
hold            yes    yes      yes       yes        no      no        no        no       | yes
escalate        yes    yes      yes       yes        yes     yes       yes       yes      | yes
release         yes    yes      yes       yes        yes     yes       yes       yes      | yes
request_return  no     no       no        yes        yes     yes       yes       no       | yes
approve_return  no     no       no        yes        yes     yes       yes       no       | yes
reject_return   no     no       no        yes        yes     yes       yes       no       | yes
label_return    no     no       no        yes        yes     yes       yes       no       | yes
receive_return  no     no       no        yes        yes     yes       yes       no       | yes
inspect_return  no     no       no        yes        yes     yes       yes       no       | yes
close_return    no     no       no        yes        yes     yes       yes       no       | yes
"""
_HEAD, *_ROWS = ([*line.replace("|", " ").split()] for line in ALLOWED.strip().splitlines())


def some_event(action: Action) -> e.Event:
    """An event of this action, with any values."""
    kind = e.EVENT_TYPES[action]
    given: Values = {
        "lines": of(1), "hold": Hold.FRAUD, "carrier": "Swift Post", "tracking_number": "T-1",
        "status": ShipmentStatus.EXCEPTION,
    }  # fmt: skip
    return kind(**{name: value for name, value in given.items() if name in kind.__dataclass_fields__})


def rejection_of(
    decide: Callable[[OrderState, e.Event], object], state: OrderState, event: e.Event
) -> tuple[str | None, str | None] | None:
    """Field and rule of the rejection; None if there is none."""
    try:
        decide(state, event)
    except CommandError as error:
        return error.field, error.rule
    return None


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row[0])
def test_action_is_allowed_in_some_stages_and_rejected_in_all_others(row: list[str]) -> None:
    event = some_event(Action(row[0]))
    found = {stage: rejection_of(check, order(stage=stage), event) for stage in Stage}
    answers = dict(zip(_HEAD[:-1], row[1:-1], strict=True))
    assert found == {stage: None if answer == "yes" else ("stage", "stage") for stage, answer in answers.items()}


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row[0])
def test_action_on_hold_is_allowed_or_rejected(row: list[str]) -> None:
    event = some_event(Action(row[0]))
    state = order(stage=STAGES[event.action][0], holds=frozenset({Hold.MANUAL}))
    assert rejection_of(check, state, event) == (None if row[-1] == "yes" else ("holds", "hold"))


CHANGES: list[tuple[Values, e.Event, Values]] = [
    # -- verification, stock -----------------------------------------------------------------------------------------
    (PLACED, e.Verify(), {"stage": Stage.VERIFIED}),
    (VERIFIED, e.Confirm(), {"stage": Stage.CONFIRMED}),
    (CONFIRMED, e.Allocate(lines=of(3)), {"allocated": 3}),
    (ALLOCATED, e.Deallocate(lines=of(1)), {"allocated": 3}),
    (ALLOCATED, e.Pick(lines=of(4)), {"picked": 4}),
    (CONFIRMED | {"allocated": 1}, e.Cancel(lines=of(3)), {"canceled": 3}),
    (ALLOCATED, e.Cancel(lines=of(1)), {"canceled": 1, "allocated": 3}),
    (PICKED, e.Cancel(lines=of(1)), {"canceled": 1, "allocated": 3, "picked": 3}),
    # -- shipment ----------------------------------------------------------------------------------------------------
    (PICKED, e.Pack(lines=of(3), warehouse="EAST"), {"shipments": [parcel(1, 3, warehouse="EAST")]}),
    (PACKED, e.Unpack(), {"shipments": [parcel(status=ShipmentStatus.VOID)]}),
    (
        PACKED,
        e.Label(carrier="Swift Post", tracking_number="T-1"),
        {"shipments": [parcel(status=ShipmentStatus.LABELED, carrier="Swift Post", tracking_number="T-1")]},
    ),
    (
        PACKED,
        e.Ship(carrier="Swift Post", on=DAY),
        {
            "shipped": 4, "carrier": "Swift Post", "shipped_on": DAY,
            "shipments": [parcel(status=ShipmentStatus.IN_TRANSIT, carrier="Swift Post", shipped_on=DAY)],
        },
    ),
    (
        PICKED,
        e.Ship(lines=of(1), on=DAY),
        {
            "shipped": 1, "shipped_on": DAY,
            "shipments": [parcel(1, 1, status=ShipmentStatus.IN_TRANSIT, shipped_on=DAY)],
        },
    ),
    (
        ON_THE_WAY,
        e.Track(status=ShipmentStatus.EXCEPTION),
        {"shipments": [parcel(status=ShipmentStatus.EXCEPTION)]},
    ),
    *(
        (
            ON_THE_WAY,
            event,
            {"delivered": 4, "shipments": [parcel(status=ShipmentStatus.DELIVERED, delivered_on=DAY)]},
        )
        for event in (e.Deliver(on=DAY), e.Track(status=ShipmentStatus.DELIVERED, on=DAY))
    ),
    # -- money -------------------------------------------------------------------------------------------------------
    (CONFIRMED, e.IssueInvoice(amount=Decimal(40), reference="INV-1"), {"invoiced": 40, "invoice_number": "INV-1"}),
    (PLACED | {"declined": True}, e.Authorize(amount=Decimal(40)), {"authorized": 40, "declined": False}),
    (PLACED, e.Decline(), {"declined": True}),
    (PLACED | {"captured": 10, "declined": True}, e.Capture(amount=Decimal(30)), {"captured": 40, "declined": False}),
    (PLACED | {"captured": 40, "refunded": 5}, e.Refund(amount=Decimal(35)), {"refunded": 40}),
    # -- holds -------------------------------------------------------------------------------------------------------
    (PLACED, e.PlaceHold(hold=Hold.FRAUD), {"holds": frozenset({Hold.FRAUD})}),
    (
        PLACED | {"holds": frozenset({Hold.FRAUD, Hold.STOCK})},
        e.ReleaseHold(hold=Hold.FRAUD),
        {"holds": frozenset({Hold.STOCK})},
    ),
    (PLACED | {"holds": frozenset({Hold.FRAUD})}, e.EscalateHold(hold=Hold.FRAUD), {}),
    # -- returns -----------------------------------------------------------------------------------------------------
    (
        DELIVERED,
        e.RequestReturn(lines=of(2), reason=ReturnReason.DAMAGED, on=DAY),
        {"returns": [returned(reason=ReturnReason.DAMAGED, requested_on=DAY)]},
    ),
    (DELIVERED | {"returns": [returned()]}, e.ApproveReturn(), {"returns": APPROVED["returns"]}),
    (DELIVERED | {"returns": [returned()]}, e.RejectReturn(), {"returns": [returned(status=ReturnStatus.REJECTED)]}),
    (
        APPROVED,
        e.LabelReturn(carrier="Swift Post", tracking_number="T-2"),
        {"returns": [returned(status=ReturnStatus.APPROVED, carrier="Swift Post", tracking_number="T-2")]},
    ),
    (APPROVED, e.ReceiveReturn(lines=of(2)), {"returned": 2, "returns": RECEIVED["returns"]}),
    (
        RECEIVED,
        e.InspectReturn(lines=of(1), warehouse="EAST"),
        {"credited": 1, "returns": [returned(status=ReturnStatus.RECEIVED, received=2, restocked=1)]},
    ),
    (
        RECEIVED,
        e.InspectReturn(written_off=of(2)),
        {"credited": 2, "returns": [returned(status=ReturnStatus.CLOSED, received=2, written_off=2)]},
    ),
    (
        RECEIVED
        | {"returns": [returned(status=ReturnStatus.RECEIVED, received=2, resolution=Resolution.REPLACEMENT)]},
        e.InspectReturn(written_off=of(2)),
        {
            "returns": [
                returned(
                    status=ReturnStatus.CLOSED, received=2, written_off=2, resolution=Resolution.REPLACEMENT
                )
            ]
        },
    ),
    (APPROVED, e.CloseReturn(), {"returns": [returned(status=ReturnStatus.CLOSED)]}),
    # -- changes of what was ordered ---------------------------------------------------------------------------------
    (CONFIRMED | {"stated_total": Decimal(39)}, e.SplitOrder(lines=of(1)), {"canceled": 1, "stated_total": None}),
    (
        VERIFIED,
        e.ChangeOrder(line_edits={1: e.LineEdit(sku="TEA", quantity=Decimal(6), unit_price=PRICE)}),
        {"stage": Stage.PLACED, "quantity": 6},
    ),
    (CONFIRMED, e.ChangeOrder(details={"po_number": "PO-7"}), {"po_number": "PO-7"}),
    # -- stages that follow automatically ----------------------------------------------------------------------------
    (PICKED | {"stage": Stage.CONFIRMED}, e.Advance(to=Stage.FULFILLING), {"stage": Stage.FULFILLING}),
    (ON_THE_WAY | {"stage": Stage.FULFILLING}, e.Advance(to=Stage.SHIPPED), {"stage": Stage.SHIPPED}),
    (DELIVERED | {"stage": Stage.SHIPPED}, e.Advance(to=Stage.DELIVERED), {"stage": Stage.DELIVERED}),
    (DELIVERED | {"invoiced": 40, "captured": 40}, e.Advance(to=Stage.COMPLETED), {"stage": Stage.COMPLETED}),
    (
        PLACED | {"canceled": 4, "holds": frozenset({Hold.STOCK})},
        e.Advance(to=Stage.CANCELED),
        {"stage": Stage.CANCELED, "holds": frozenset()},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "event", "change"), CHANGES, ids=lambda value: getattr(value, "action", ""))
def test_event_changes_what_it_is_about_and_nothing_else(before: Values, event: e.Event, change: Values) -> None:
    assert apply(order(**before), event) == order(**{**before, **change})


def test_every_event_but_the_first_has_a_case() -> None:
    assert {type(event) for _, event, _ in CHANGES} == set(e.EVENT_TYPES.values()) - {e.Begin}
    assert {Action(row[0]) for row in _ROWS} == STAGES.keys()


TWO_PARCELS = PICKED | {"shipments": [parcel(1, 2), parcel(2, 2)]}

REJECTIONS: list[tuple[Values, e.Event, str, str]] = [
    (CONFIRMED, e.Allocate(), "lines", "input"),
    (CONFIRMED, e.Allocate(lines=of(1, line=2)), "lines.2", "input"),
    (CONFIRMED, e.Allocate(lines=of(0)), "lines.1", "input"),
    (CONFIRMED, e.Allocate(lines=of("NaN")), "lines.1", "input"),
    (CONFIRMED, e.Allocate(lines=of(5)), "lines.1", "quantity"),
    (CONFIRMED | {"canceled": 1}, e.Allocate(lines=of(4)), "lines.1", "quantity"),
    (PICKED, e.Deallocate(lines=of(1)), "lines.1", "quantity"),
    (CONFIRMED | {"allocated": 1}, e.Pick(lines=of(2)), "lines.1", "quantity"),
    (PACKED, e.Cancel(lines=of(1)), "lines.1", "quantity"),
    (PACKED, e.Pack(lines=of(1)), "lines.1", "quantity"),
    (PICKED, e.Unpack(), "shipment", "shipment"),
    (PACKED, e.Unpack(shipment=2), "shipment", "shipment"),
    (TWO_PARCELS, e.Unpack(), "shipment", "shipment"),
    (PACKED, e.Label(carrier="", tracking_number="T-1"), "carrier", "input"),
    (PACKED, e.Label(carrier="Swift Post", tracking_number=""), "tracking_number", "input"),
    (PACKED, e.Ship(lines=of(1), shipment=1), "shipment", "input"),
    (PICKED | {"ship_complete": True}, e.Ship(lines=of(3)), "ship_complete", "complete"),
    (PACKED, e.Deliver(), "shipment", "shipment"),
    (ON_THE_WAY, e.Track(status=ShipmentStatus.PACKED), "status", "input"),
    (CONFIRMED, e.IssueInvoice(), "amount", "input"),
    (CONFIRMED, e.IssueInvoice(amount=Decimal("0.001")), "amount", "input"),
    (CONFIRMED | {"invoiced": 40}, e.IssueInvoice(amount=Decimal("0.01")), "amount", "amount"),
    (PLACED, e.Authorize(amount=Decimal(41)), "amount", "amount"),
    (PLACED | {"captured": 40}, e.Capture(amount=Decimal(1)), "amount", "amount"),
    (PLACED, e.Capture(amount=Decimal(-1)), "amount", "input"),
    (PLACED | {"captured": 10, "refunded": 10}, e.Refund(amount=Decimal(1)), "amount", "amount"),
    (PLACED | {"holds": frozenset({Hold.FRAUD})}, e.PlaceHold(hold=Hold.FRAUD), "hold", "input"),
    (PLACED, e.ReleaseHold(hold=Hold.FRAUD), "hold", "input"),
    (PLACED, e.EscalateHold(hold=Hold.FRAUD), "hold", "input"),
    (ON_THE_WAY, e.RequestReturn(lines=of(1)), "lines.1", "quantity"),
    (DELIVERED | {"returns": [returned(3)]}, e.RequestReturn(lines=of(2)), "lines.1", "quantity"),
    (DELIVERED, e.ApproveReturn(), "return_number", "return"),
    (APPROVED, e.RejectReturn(), "return_number", "return"),
    (APPROVED, e.LabelReturn(carrier="", tracking_number="T-2"), "carrier", "input"),
    (APPROVED, e.ReceiveReturn(lines=of(3)), "lines.1", "quantity"),
    (APPROVED, e.InspectReturn(written_off=of(1)), "return_number", "return"),
    (RECEIVED, e.InspectReturn(), "lines", "input"),
    (RECEIVED, e.InspectReturn(lines=of(1)), "warehouse", "input"),
    (RECEIVED, e.InspectReturn(written_off=of(3)), "lines.1", "quantity"),
    (RECEIVED, e.CloseReturn(), "return_number", "return"),
    (ALLOCATED, e.SplitOrder(lines=of(1)), "lines.1", "quantity"),
    (PLACED, e.SplitOrder(lines=of(4)), "lines", "input"),
    (PLACED, e.ChangeOrder(), "line_edits", "input"),
    (
        ALLOCATED,
        e.ChangeOrder(line_edits={1: e.LineEdit(sku="TEA", quantity=Decimal(3), unit_price=PRICE)}),
        "line_edits.1",
        "quantity",
    ),
    (ON_THE_WAY, e.ChangeOrder(details={"freight": Decimal(1)}), "details.freight", "stage"),
    (PLACED, e.Advance(to=Stage.SHIPPED), "stage", "transition"),
    (PLACED, e.Advance(to=Stage.CANCELED), "stage", "transition"),
    (CONFIRMED, e.Advance(to=Stage.FULFILLING), "stage", "transition"),
    (PICKED, e.Advance(to=Stage.SHIPPED), "stage", "transition"),
    (DELIVERED, e.Advance(to=Stage.COMPLETED), "stage", "transition"),
]


@pytest.mark.parametrize(
    ("before", "event", "field", "rule"), REJECTIONS, ids=lambda value: getattr(value, "action", "")
)
def test_impossible_event_is_rejected_with_field_and_rule(
    before: Values, event: e.Event, field: str, rule: str
) -> None:
    assert rejection_of(apply, order(**before), event) == (field, rule)


AUTOMATIC: list[tuple[Values, Stage | None]] = [
    (PLACED, None),
    (PLACED | {"canceled": 4}, Stage.CANCELED),
    (VERIFIED, None),
    (ALLOCATED, None),
    (PICKED | {"stage": Stage.CONFIRMED}, Stage.FULFILLING),
    (PICKED, None),
    (PICKED | {"shipped": 3}, None),
    (PICKED | {"shipped": 3, "canceled": 1, "allocated": 3, "picked": 3}, Stage.SHIPPED),
    (ON_THE_WAY, None),
    (DELIVERED | {"stage": Stage.SHIPPED}, Stage.DELIVERED),
    (DELIVERED | {"invoiced": 40}, None),
    (DELIVERED | {"captured": 40}, None),
    (DELIVERED | {"invoiced": 40, "captured": 40}, Stage.COMPLETED),
    (DELIVERED | {"stage": Stage.COMPLETED}, None),
    ({"stage": Stage.CANCELED, "canceled": 4}, None),
]


@pytest.mark.parametrize(("state", "follows"), AUTOMATIC)
def test_stage_follows_automatically_once_its_condition_holds(state: Values, follows: Stage | None) -> None:
    assert next_automatic_stage(order(**state)) == follows


def test_event_leaves_the_state_before_it_as_it_was() -> None:
    before = order(**PACKED)
    copy = replace(before, lines=dict(before.lines), shipments=dict(before.shipments))
    apply(before, e.Ship(on=DAY))
    assert before == copy
