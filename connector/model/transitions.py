"""The state machine of an order. PURE.

`apply` returns the state of an order after an event, or raises CommandError if the order does not allow it.
`next_automatic_stage` returns the stage that follows automatically. No other code changes the state of an order, so
replaying the events of its history gives the same state again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import assert_never

from connector.errors import CommandError
from connector.model import fulfillment, line_quantities, order_edits, payments, returns
from connector.model.actions import Action
from connector.model.events import (
    Advance,
    Allocate,
    ApproveReturn,
    Authorize,
    Begin,
    Cancel,
    Capture,
    ChangeOrder,
    CloseReturn,
    Confirm,
    Deallocate,
    Decline,
    Deliver,
    EscalateHold,
    Event,
    HoldEvent,
    InspectReturn,
    IssueInvoice,
    Label,
    LabelReturn,
    Pack,
    Pick,
    PlaceHold,
    ReceiveReturn,
    Refund,
    RejectReturn,
    ReleaseHold,
    RequestReturn,
    Ship,
    SplitOrder,
    Track,
    Unpack,
    Verify,
)
from connector.model.order_state import OrderState
from connector.model.rejections import one_of, rejection
from connector.model.stage import EARLY, Stage

S = Stage
_SOLD = (S.CONFIRMED, S.FULFILLING, S.SHIPPED, S.DELIVERED)
_OUT = (S.FULFILLING, S.SHIPPED, S.DELIVERED, S.COMPLETED)

STAGES: Mapping[Action, tuple[Stage, ...]] = {
    Action.CHANGE: (*EARLY, S.SHIPPED, S.DELIVERED, S.COMPLETED),
    Action.SPLIT: EARLY,
    Action.VERIFY: (S.PLACED,),
    Action.CONFIRM: (S.VERIFIED,),
    Action.ALLOCATE: (S.VERIFIED, S.CONFIRMED, S.FULFILLING),
    Action.DEALLOCATE: EARLY,
    Action.PICK: (S.CONFIRMED, S.FULFILLING),
    Action.PACK: (S.FULFILLING,),
    Action.UNPACK: (S.FULFILLING,),
    Action.LABEL: (S.FULFILLING,),
    Action.SHIP: (S.FULFILLING,),
    Action.TRACK: (S.FULFILLING, S.SHIPPED),
    Action.DELIVER: (S.FULFILLING, S.SHIPPED),
    Action.CANCEL: EARLY,
    Action.INVOICE: _SOLD,
    Action.AUTHORIZE: (S.PLACED, S.VERIFIED, *_SOLD),
    Action.DECLINE: (S.PLACED, S.VERIFIED, *_SOLD),
    Action.CAPTURE: (S.PLACED, S.VERIFIED, *_SOLD, S.COMPLETED),
    Action.REFUND: tuple(Stage),
    Action.HOLD: EARLY,
    Action.ESCALATE: tuple(Stage),
    Action.RELEASE: tuple(Stage),
    Action.REQUEST_RETURN: _OUT,
    Action.APPROVE_RETURN: _OUT,
    Action.REJECT_RETURN: _OUT,
    Action.LABEL_RETURN: _OUT,
    Action.RECEIVE_RETURN: _OUT,
    Action.INSPECT_RETURN: _OUT,
    Action.CLOSE_RETURN: _OUT,
}
"""The stages in which each action is allowed."""

HELD = frozenset(
    {Action.VERIFY, Action.CONFIRM, Action.ALLOCATE, Action.PICK, Action.PACK, Action.LABEL, Action.SHIP, Action.SPLIT}
)
"""The actions that are rejected while an order is on hold. Payments, cancellation and shipments on their way go on."""


def _freely(state: OrderState) -> str | None:
    return None


def _picking(state: OrderState) -> str | None:
    return None if state.sum("picked") > 0 else "nothing has been picked"


def _all_shipped(state: OrderState) -> str | None:
    return None if state.wanted > 0 and state.sum("shipped") == state.wanted else "not everything has shipped"


def _all_delivered(state: OrderState) -> str | None:
    return None if state.sum("delivered") == state.wanted else "not everything has been delivered"


def _settled(state: OrderState) -> str | None:
    if state.invoiced < state.due:
        return "it is not invoiced in full"
    return None if state.net >= state.due else "it is not paid in full"


def _nothing_left(state: OrderState) -> str | None:
    return None if state.wanted == 0 else "not everything is canceled"


Guard = Callable[[OrderState], str | None]
"""Returns why a transition is not possible yet; None if it is."""

TRANSITIONS: Mapping[tuple[Stage, Stage], Guard] = {
    (S.PLACED, S.VERIFIED): _freely,
    (S.VERIFIED, S.PLACED): _freely,
    (S.VERIFIED, S.CONFIRMED): _freely,
    (S.CONFIRMED, S.FULFILLING): _picking,
    (S.FULFILLING, S.SHIPPED): _all_shipped,
    (S.SHIPPED, S.DELIVERED): _all_delivered,
    (S.DELIVERED, S.COMPLETED): _settled,
    **{(stage, S.CANCELED): _nothing_left for stage in EARLY},
}
"""Every transition from stage to stage, with its guard. The CHECK constraint on the history is made from this table."""

BY_COMMAND = {(S.PLACED, S.VERIFIED), (S.VERIFIED, S.CONFIRMED), (S.VERIFIED, S.PLACED)}
"""The transitions that a command makes; the others are automatic, see `next_automatic_stage`."""


def apply(state: OrderState, event: Event) -> OrderState:
    """Return the state after `event`. Raises CommandError, with field and rule, if the order does not allow it."""
    if isinstance(event, Advance):
        return _move_to(state, event.to)
    check(state, event)
    after = _apply(state, event)
    stated = isinstance(event, ChangeOrder) and "stated_total" in event.details
    if event.relines and not stated and after.header.stated_total is not None:
        return after.with_header(stated_total=None)  # it was the total of the old lines
    return after


def check(state: OrderState, event: Event) -> None:
    """Raise CommandError if the action is not allowed in this stage, or because of a hold."""
    action = event.action
    if state.stage not in STAGES[action]:
        raise CommandError(
            f"Order {state.number} is {state.stage}: it cannot {action.words} now.",
            hint=f"That is possible while it is {one_of(STAGES[action])}.",
            field="stage",
            rule="stage",
        )
    if action in HELD and state.holds:
        raise CommandError(
            f"Order {state.number} is on hold ({', '.join(sorted(state.holds))}): it cannot {action.words}.",
            hint="Release the hold first." if len(state.holds) == 1 else "Release these holds first.",
            field="holds",
            rule="hold",
        )


def next_automatic_stage(state: OrderState) -> Stage | None:
    """Return the stage that follows automatically now; None if there is none."""
    for (here, there), guard in TRANSITIONS.items():
        if here is state.stage and (here, there) not in BY_COMMAND and guard(state) is None:
            return there
    return None


def _apply(state: OrderState, event: Event) -> OrderState:
    match event:
        case Verify():
            return _move_to(state, S.VERIFIED)
        case Confirm():
            return _move_to(state, S.CONFIRMED)
        case Allocate() | Deallocate() | Pick() | Cancel():
            return line_quantities.apply_quantity_event(state, event)
        case ChangeOrder():
            after = order_edits.apply_change(state, event)
            reverify = after.stage is S.VERIFIED and order_edits.requires_reverification(event)
            return _move_to(after, S.PLACED) if reverify else after
        case SplitOrder():
            return order_edits.apply_split(state, event)
        case PlaceHold() | ReleaseHold() | EscalateHold():
            return _apply_hold_event(state, event)
        case Pack() | Unpack() | Label() | Ship() | Track() | Deliver():
            return fulfillment.apply_shipment_event(state, event)
        case (
            RequestReturn()
            | ApproveReturn()
            | RejectReturn()
            | LabelReturn()
            | ReceiveReturn()
            | InspectReturn()
            | CloseReturn()
        ):
            return returns.apply_return_event(state, event)
        case IssueInvoice() | Authorize() | Decline() | Capture() | Refund():
            return payments.apply_payment_event(state, event)
        case Begin() | Advance():
            raise ValueError(f"{event.action} cannot be asked for")
        case _:
            assert_never(event)


def _move_to(state: OrderState, to: Stage | None) -> OrderState:
    guard = TRANSITIONS.get((state.stage, to)) if to is not None else None
    reason = f"there is no way from {state.stage} to {to}" if guard is None else guard(state)
    if to is None or reason is not None:
        raise CommandError(
            f"Order {state.number} cannot become {to}: {reason}.",
            hint="Complete that first.",
            field="stage",
            rule="transition",
        )
    # A canceled order waits for nobody, so its holds are cleared.
    return replace(state, stage=to, holds=frozenset() if to is S.CANCELED else state.holds)


def _apply_hold_event(state: OrderState, event: HoldEvent) -> OrderState:
    on_hold = event.hold in state.holds
    match event:
        case PlaceHold() if on_hold:
            raise rejection(state, event, "hold", f"is on hold for {event.hold} already")
        case ReleaseHold() | EscalateHold() if not on_hold:
            raise rejection(state, event, "hold", f"is not on hold for {event.hold}")
        case PlaceHold() | ReleaseHold():
            return replace(state, holds=state.holds ^ {event.hold})
        case EscalateHold():
            return state
        case _:
            assert_never(event)
