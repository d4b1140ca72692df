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


def _freely(progress: OrderState) -> str | None:
    return None


def _picking(progress: OrderState) -> str | None:
    return None if progress.sum("picked") > 0 else "nothing has been picked"


def _all_shipped(progress: OrderState) -> str | None:
    return None if progress.wanted > 0 and progress.sum("shipped") == progress.wanted else "not everything has shipped"


def _all_delivered(progress: OrderState) -> str | None:
    return None if progress.sum("delivered") == progress.wanted else "not everything has been delivered"


def _settled(progress: OrderState) -> str | None:
    if progress.invoiced < progress.due:
        return "it is not invoiced in full"
    return None if progress.net >= progress.due else "it is not paid in full"


def _nothing_left(progress: OrderState) -> str | None:
    return None if progress.wanted == 0 else "not everything is canceled"


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


def apply(progress: OrderState, event: Event) -> OrderState:
    """`progress` after `event`; CommandError, naming field and rule, if the order does not allow it."""
    if isinstance(event, Advance):
        return _moved(progress, event.to)
    check(progress, event)
    after = _happened(progress, event)
    stated = isinstance(event, ChangeOrder) and "stated_total" in event.details
    if event.relines and not stated and after.header.stated_total is not None:
        return after.with_header(stated_total=None)  # it was the total of other lines
    return after


def check(progress: OrderState, event: Event) -> None:
    """CommandError if nothing of the kind can be asked now: for the stage, or for a hold."""
    action = event.action
    if progress.stage not in STAGES[action]:
        raise CommandError(
            f"Order {progress.number} is {progress.stage}: it cannot {action.words} now.",
            hint=f"That is possible while it is {one_of(STAGES[action])}.",
            field="stage",
            rule="stage",
        )
    if action in HELD and progress.holds:
        raise CommandError(
            f"Order {progress.number} is on hold ({', '.join(sorted(progress.holds))}): it cannot {action.words}.",
            hint="Release the hold first.",
            field="holds",
            rule="hold",
        )


def next_automatic_stage(progress: OrderState) -> Stage | None:
    """The stage that comes by itself now, one step; None if there is none."""
    for (here, there), guard in TRANSITIONS.items():
        if here is progress.stage and (here, there) not in BY_COMMAND and guard(progress) is None:
            return there
    return None


def _happened(progress: OrderState, event: Event) -> OrderState:
    match event:
        case Verify():
            return _moved(progress, S.VERIFIED)
        case Confirm():
            return _moved(progress, S.CONFIRMED)
        case Allocate() | Deallocate() | Pick() | Cancel():
            return line_quantities.with_lines(progress, event)
        case ChangeOrder():
            after = order_edits.changed(progress, event)
            again = after.stage is S.VERIFIED and order_edits.requires_reverification(event)
            return _moved(after, S.PLACED) if again else after
        case SplitOrder():
            return order_edits.split(progress, event)
        case PlaceHold() | ReleaseHold() | EscalateHold():
            return _held(progress, event)
        case Pack() | Unpack() | Label() | Ship() | Track() | Deliver():
            return fulfillment.dispatched(progress, event)
        case (
            RequestReturn()
            | ApproveReturn()
            | RejectReturn()
            | LabelReturn()
            | ReceiveReturn()
            | InspectReturn()
            | CloseReturn()
        ):
            return returns.returned(progress, event)
        case IssueInvoice() | Authorize() | Decline() | Capture() | Refund():
            return payments.paid(progress, event)
        case Begin() | Advance():
            raise ValueError(f"{event.action} is nothing that is asked")
        case _:
            assert_never(event)


def _moved(progress: OrderState, to: Stage | None) -> OrderState:
    guard = TRANSITIONS.get((progress.stage, to)) if to is not None else None
    reason = f"there is no way from {progress.stage} to {to}" if guard is None else guard(progress)
    if to is None or reason is not None:
        raise CommandError(
            f"Order {progress.number} cannot become {to}: {reason}.",
            hint="Do first what is missing.",
            field="stage",
            rule="transition",
        )
    # Whoever is canceled waits for nobody.
    return replace(progress, stage=to, holds=frozenset() if to is S.CANCELED else progress.holds)


def _held(progress: OrderState, event: HoldEvent) -> OrderState:
    placed = event.hold in progress.holds
    match event:
        case PlaceHold() if placed:
            raise rejection(progress, event, "hold", f"is on hold for {event.hold} already")
        case ReleaseHold() | EscalateHold() if not placed:
            raise rejection(progress, event, "hold", f"is not on hold for {event.hold}")
        case PlaceHold() | ReleaseHold():
            return replace(progress, holds=progress.holds ^ {event.hold})
        case EscalateHold():
            return progress
        case _:
            assert_never(event)
