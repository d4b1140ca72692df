"""What is offered of an order can be carried out, and what is not offered is refused, wherever its life leads."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import CommandError
from connector.model.action_fields import ACTION_FIELDS, REQUESTABLE, make_event
from connector.model.actions import Action
from connector.model.event_defaults import with_defaults
from connector.model.events import Event
from connector.model.holds import Hold
from connector.model.order_header import OrderHeader
from connector.model.order_state import LineState, OrderState
from connector.model.possible_actions import PossibleAction, list_possible_actions
from connector.model.shipments import ShipmentStatus
from connector.model.stage import Stage
from connector.model.transitions import apply, next_automatic_stage

HALF = Decimal("0.5")
STEPS = 60


def new_order() -> OrderState:
    header = OrderHeader(number="O-1", placed_at=datetime(2026, 3, 1, tzinfo=UTC), currency="USD")
    lines = {number: LineState(quantity=Decimal(4), total=Decimal(40)) for number in (1, 2)}
    return OrderState(header=header, stage=Stage.PLACED, lines=lines)


def event_of(item: PossibleAction) -> Event:
    values: dict[str, Any] = {
        "lines": item.most, "shipment": item.shipment, "return_number": item.return_number,
        "amount": item.amount or item.most_amount, "hold": next(iter(item.holds), Hold.MANUAL),
        "carrier": "Swift Post", "tracking_number": "T-1", "status": ShipmentStatus.EXCEPTION, "warehouse": "EAST",
        "details": {"notes": "x"},
    }  # fmt: skip
    if item.action is Action.SPLIT:
        number, most = next(iter(item.most.items()))
        values["lines"] = {number: most * HALF}
    if item.action in {Action.SHIP, Action.PACK, Action.INSPECT_RETURN}:
        values["warehouse"] = "EAST" if item.most else None
    names = ACTION_FIELDS[item.action].requestable
    return make_event(item.action, **{name: value for name, value in values.items() if name in names})


def carried_out(state: OrderState, event: Event) -> OrderState:
    after = apply(state, with_defaults(state, event))
    while (stage := next_automatic_stage(after)) is not None:
        after = replace(after, stage=stage)
    return after


@pytest.mark.parametrize("seed", range(12))
def test_offered_actions_succeed_and_others_are_refused(seed: int) -> None:
    chance, state = random.Random(seed), new_order()
    seen: set[Action] = set()
    for _ in range(STEPS):
        offered = list_possible_actions(state)
        seen |= {item.action for item in offered}
        for item in offered:
            is_paid = item.action is Action.SPLIT and (state.invoiced or state.net)
            if not is_paid:  # then the sum that is left decides
                carried_out(state, event_of(item))
        for action in set(REQUESTABLE) - {item.action for item in offered}:
            with pytest.raises(CommandError):
                carried_out(state, event_of(PossibleAction(action=action, most={1: Decimal(1)}, amount=Decimal(1))))
        ways = [item for item in offered if item.action not in {Action.CANCEL, Action.SPLIT, Action.HOLD}]
        state = carried_out(state, event_of(chance.choice(ways)))
    assert len(seen) > 12, "The life was too short to show anything."
