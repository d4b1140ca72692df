"""What may happen to an order, and what it is then: quantities per line, money, holds, and the stage they lead to.

PURE, and the only place that decides it: `apply` takes an order's progress one event further, or refuses with a
sentence; `follow` says which stage comes by itself. History is the list of these events: applied again, they give the
same progress.
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
"""In which stages an action makes sense."""

HELD = frozenset(
    {Action.VERIFY, Action.CONFIRM, Action.ALLOCATE, Action.PICK, Action.PACK, Action.LABEL, Action.SHIP, Action.SPLIT}
)
"""What waits while an order is on hold; money, canceling and what is already on its way go on."""


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
"""Why a transition must wait; None if it need not."""

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
"""Every way from stage to stage. The schema's CHECK on the history is made from this table."""

BY_COMMAND = {(S.PLACED, S.VERIFIED), (S.VERIFIED, S.CONFIRMED), (S.VERIFIED, S.PLACED)}
"""Transitions that a command makes; the others come by themselves, see `follow`."""


def apply(state: OrderState, event: Event) -> OrderState:
    """`progress` after `event`; CommandError, naming field and rule, if the order does not allow it."""
    if isinstance(event, Advance):
        return _moved(state, event.to)
    check(state, event)
    after = _happened(state, event)
    stated = isinstance(event, ChangeOrder) and "stated_total" in event.details
    if event.relines and not stated and after.header.stated_total is not None:
        return after.with_header(stated_total=None)  # it was the total of other lines
    return after


def check(state: OrderState, event: Event) -> None:
    """CommandError if nothing of the kind can be asked now: for the stage, or for a hold."""
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
            hint="Release the hold first.",
            field="holds",
            rule="hold",
        )


def next_automatic_stage(state: OrderState) -> Stage | None:
    """The stage that comes by itself now, one step; None if there is none."""
    for (here, there), guard in TRANSITIONS.items():
        if here is state.stage and (here, there) not in BY_COMMAND and guard(state) is None:
            return there
    return None


def _happened(state: OrderState, event: Event) -> OrderState:
    match event:
        case Verify():
            return _moved(state, S.VERIFIED)
        case Confirm():
            return _moved(state, S.CONFIRMED)
        case Allocate() | Deallocate() | Pick() | Cancel():
            return line_quantities.with_lines(state, event)
        case ChangeOrder():
            after = order_edits.changed(state, event)
            again = after.stage is S.VERIFIED and order_edits.requires_reverification(event)
            return _moved(after, S.PLACED) if again else after
        case SplitOrder():
            return order_edits.split(state, event)
        case PlaceHold() | ReleaseHold() | EscalateHold():
            return _held(state, event)
        case Pack() | Unpack() | Label() | Ship() | Track() | Deliver():
            return fulfillment.dispatched(state, event)
        case (
            RequestReturn()
            | ApproveReturn()
            | RejectReturn()
            | LabelReturn()
            | ReceiveReturn()
            | InspectReturn()
            | CloseReturn()
        ):
            return returns.returned(state, event)
        case IssueInvoice() | Authorize() | Decline() | Capture() | Refund():
            return payments.paid(state, event)
        case Begin() | Advance():
            raise ValueError(f"{event.action} is nothing that is asked")
        case _:
            assert_never(event)


def _moved(state: OrderState, to: Stage | None) -> OrderState:
    guard = TRANSITIONS.get((state.stage, to)) if to is not None else None
    reason = f"there is no way from {state.stage} to {to}" if guard is None else guard(state)
    if to is None or reason is not None:
        raise CommandError(
            f"Order {state.number} cannot become {to}: {reason}.",
            hint="Do first what is missing.",
            field="stage",
            rule="transition",
        )
    # Whoever is canceled waits for nobody.
    return replace(state, stage=to, holds=frozenset() if to is S.CANCELED else state.holds)


def _held(state: OrderState, event: HoldEvent) -> OrderState:
    placed = event.hold in state.holds
    match event:
        case PlaceHold() if placed:
            raise rejection(state, event, "hold", f"is on hold for {event.hold} already")
        case ReleaseHold() | EscalateHold() if not placed:
            raise rejection(state, event, "hold", f"is not on hold for {event.hold}")
        case PlaceHold() | ReleaseHold():
            return replace(state, holds=state.holds ^ {event.hold})
        case EscalateHold():
            return state
        case _:
            assert_never(event)
