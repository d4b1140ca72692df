"""What may happen to an order, and what it is then: quantities per line, money, holds, and the stage they lead to.

PURE, and the only place that decides it: `apply` takes an order's progress one event further, or refuses with a
sentence; `follow` says which stage comes by itself. History is the list of these events: applied again, they give the
same progress.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from connector.errors import CommandError
from connector.model.money import plain, to_cents
from connector.model.order import Line, Order
from connector.model.progress import ZERO, Hold, LineProgress, Progress
from connector.model.stage import Stage

S = Stage


class Action(StrEnum):
    """What can be asked of an order. `begin` is the first event of a history, `advance` a stage that came by itself."""

    BEGIN = "begin"
    VERIFY = "verify"
    CONFIRM = "confirm"
    ALLOCATE = "allocate"
    DEALLOCATE = "deallocate"
    PICK = "pick"
    SHIP = "ship"
    DELIVER = "deliver"
    RETURN = "return"
    CANCEL = "cancel"
    INVOICE = "invoice"
    AUTHORISE = "authorise"
    DECLINE = "decline"
    CAPTURE = "capture"
    REFUND = "refund"
    HOLD = "hold"
    RELEASE = "release"
    ADVANCE = "advance"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """`lines` are quantities by line number; `amount` is money in the order's currency; `to` a stage."""

    action: Action
    lines: Mapping[int, Decimal] = field(default_factory=dict)
    amount: Decimal | None = None
    hold: Hold | None = None
    to: Stage | None = None
    note: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None


_EARLY = (S.PLACED, S.VERIFIED, S.CONFIRMED, S.FULFILLING)
_SOLD = (S.CONFIRMED, S.FULFILLING, S.SHIPPED, S.DELIVERED)

STAGES: Mapping[Action, tuple[Stage, ...]] = {
    Action.VERIFY: (S.PLACED,),
    Action.CONFIRM: (S.VERIFIED,),
    Action.ALLOCATE: (S.VERIFIED, S.CONFIRMED, S.FULFILLING),
    Action.DEALLOCATE: _EARLY,
    Action.PICK: (S.CONFIRMED, S.FULFILLING),
    Action.SHIP: (S.FULFILLING,),
    Action.DELIVER: (S.FULFILLING, S.SHIPPED),
    Action.RETURN: (S.FULFILLING, S.SHIPPED, S.DELIVERED, S.COMPLETED),
    Action.CANCEL: _EARLY,
    Action.INVOICE: _SOLD,
    Action.AUTHORISE: (S.PLACED, S.VERIFIED, *_SOLD),
    Action.DECLINE: (S.PLACED, S.VERIFIED, *_SOLD),
    Action.CAPTURE: (S.PLACED, S.VERIFIED, *_SOLD),
    Action.REFUND: tuple(Stage),
    Action.HOLD: _EARLY,
    Action.RELEASE: tuple(Stage),
}
"""In which stages an action makes sense."""

HELD = frozenset({Action.VERIFY, Action.CONFIRM, Action.ALLOCATE, Action.PICK, Action.SHIP})
"""What waits while an order is on hold; money, cancelling and what is already on its way go on."""


def _freely(progress: Progress) -> str | None:
    return None


def _picking(progress: Progress) -> str | None:
    return None if progress.sum("picked") > 0 else "nothing has been picked"


def _all_shipped(progress: Progress) -> str | None:
    return None if progress.wanted > 0 and progress.sum("shipped") == progress.wanted else "not everything has shipped"


def _all_delivered(progress: Progress) -> str | None:
    return None if progress.sum("delivered") == progress.wanted else "not everything has been delivered"


def _settled(progress: Progress) -> str | None:
    if progress.invoiced < progress.due:
        return "it is not invoiced in full"
    return None if progress.captured >= progress.due else "it is not paid in full"


def _nothing_left(progress: Progress) -> str | None:
    return None if progress.wanted == 0 else "not everything is cancelled"


Guard = Callable[[Progress], str | None]
"""Why a transition must wait; None if it need not."""

TRANSITIONS: Mapping[tuple[Stage, Stage], Guard] = {
    (S.PLACED, S.VERIFIED): _freely,
    (S.VERIFIED, S.CONFIRMED): _freely,
    (S.CONFIRMED, S.FULFILLING): _picking,
    (S.FULFILLING, S.SHIPPED): _all_shipped,
    (S.SHIPPED, S.DELIVERED): _all_delivered,
    (S.DELIVERED, S.COMPLETED): _settled,
    **{(stage, S.CANCELLED): _nothing_left for stage in _EARLY},
}
"""Every way from stage to stage. The schema's CHECK on the history is made from this table."""

_ASKED = {Action.VERIFY: S.VERIFIED, Action.CONFIRM: S.CONFIRMED}
"""Transitions that somebody asks for; the others come by themselves, see `follow`."""


def apply(progress: Progress, event: Event) -> Progress:
    """`progress` after `event`; CommandError, naming field and rule, if the order does not allow it."""
    action = event.action
    if action is Action.ADVANCE:
        return _moved(progress, event.to)
    if progress.stage not in STAGES[action]:
        raise CommandError(
            f"Order {progress.number} is {progress.stage}: it cannot {action} now.",
            hint=f"That is possible while it is {_or(STAGES[action])}.",
            field="stage",
            rule="stage",
        )
    if action in HELD and progress.holds:
        raise CommandError(
            f"Order {progress.number} is on hold ({', '.join(sorted(progress.holds))}): it cannot {action}.",
            hint="Release the hold first.",
            field="holds",
            rule="hold",
        )
    if action in _ASKED:
        return _moved(progress, _ASKED[action])
    if action in _QUANTITIES:
        return _with_lines(progress, event)
    if action in {Action.HOLD, Action.RELEASE}:
        return _held(progress, event)
    return _paid(progress, event)


def follow(progress: Progress) -> Stage | None:
    """The stage that comes by itself now, one step; None if there is none."""
    asked = set(_ASKED.values())
    for (here, there), guard in TRANSITIONS.items():
        if here is progress.stage and there not in asked and guard(progress) is None:
            return there
    return None


def _moved(progress: Progress, to: Stage | None) -> Progress:
    guard = TRANSITIONS.get((progress.stage, to)) if to is not None else None
    reason = f"there is no way from {progress.stage} to {to}" if guard is None else guard(progress)
    if to is None or reason is not None:
        raise CommandError(
            f"Order {progress.number} cannot become {to}: {reason}.",
            hint="Do first what is missing.",
            field="stage",
            rule="transition",
        )
    return replace(progress, stage=to)


def _allocated(line: LineProgress, quantity: Decimal) -> LineProgress:
    return replace(line, allocated=_up(line.allocated, quantity, line.ordered - line.cancelled, "is left to allocate"))


def _deallocated(line: LineProgress, quantity: Decimal) -> LineProgress:
    _up(line.picked, quantity, line.allocated, "is allocated and not picked")
    return replace(line, allocated=line.allocated - quantity)


def _picked(line: LineProgress, quantity: Decimal) -> LineProgress:
    return replace(line, picked=_up(line.picked, quantity, line.allocated, "is allocated and not picked"))


def _shipped(line: LineProgress, quantity: Decimal) -> LineProgress:
    return replace(line, shipped=_up(line.shipped, quantity, line.picked, "is picked and not shipped"))


def _delivered(line: LineProgress, quantity: Decimal) -> LineProgress:
    return replace(line, delivered=_up(line.delivered, quantity, line.shipped, "is on its way"))


def _returned(line: LineProgress, quantity: Decimal) -> LineProgress:
    return replace(line, returned=_up(line.returned, quantity, line.delivered, "was delivered and not returned"))


def _cancelled(line: LineProgress, quantity: Decimal) -> LineProgress:
    """First what is not allocated, then what is not picked, then what is picked and goes back to its shelf."""
    cancelled = _up(line.cancelled, quantity, line.ordered - line.shipped, "has not shipped")
    left = line.ordered - cancelled
    return replace(line, cancelled=cancelled, allocated=min(line.allocated, left), picked=min(line.picked, left))


_QUANTITIES: Mapping[Action, Callable[[LineProgress, Decimal], LineProgress]] = {
    Action.ALLOCATE: _allocated,
    Action.DEALLOCATE: _deallocated,
    Action.PICK: _picked,
    Action.SHIP: _shipped,
    Action.DELIVER: _delivered,
    Action.RETURN: _returned,
    Action.CANCEL: _cancelled,
}


class _TooMuchError(Exception):
    """`left` is what there is."""

    def __init__(self, left: Decimal, what: str) -> None:
        super().__init__(what)
        self.left = left
        self.what = what


def _up(value: Decimal, by: Decimal, limit: Decimal, what: str) -> Decimal:
    if by > limit - value:
        raise _TooMuchError(limit - value, what)
    return value + by


def _with_lines(progress: Progress, event: Event) -> Progress:
    lines = dict(progress.lines)
    if not event.lines:
        raise _refused(progress, event, "lines", "names no lines", "Say which lines, and how many of each.")
    for number, quantity in event.lines.items():
        place = f"lines.{number}"
        line = lines.get(number)
        if line is None:
            raise _refused(progress, event, place, f"has no line {number}", f"It has {_or(sorted(lines))}.")
        if not quantity.is_finite() or quantity <= 0:
            raise _refused(progress, event, place, f"got the quantity {quantity}", "It must be more than 0.")
        try:
            lines[number] = _QUANTITIES[event.action](line, quantity)
        except _TooMuchError as error:
            raise CommandError(
                f"Order {progress.number} cannot {event.action} {plain(quantity)} of line {number}:"
                f" {plain(error.left)} {error.what}.",
                hint=f"Ask for {plain(error.left)} at most." if error.left else "",
                field=place,
                rule="quantity",
            ) from None
    return replace(progress, lines=lines)


def _held(progress: Progress, event: Event) -> Progress:
    if event.hold is None:
        raise _refused(progress, event, "hold", "got no reason", f"It is one of {_or(list(Hold))}.")
    on = event.hold in progress.holds
    if event.action is Action.HOLD and on:
        raise _refused(progress, event, "hold", f"is on hold for {event.hold} already", "")
    if event.action is Action.RELEASE and not on:
        raise _refused(progress, event, "hold", f"is not on hold for {event.hold}", "")
    return replace(progress, holds=progress.holds ^ {event.hold})


def _paid(progress: Progress, event: Event) -> Progress:
    if event.action is Action.DECLINE:
        return replace(progress, declined=True)
    amount = event.amount
    if amount is None or not amount.is_finite() or amount <= 0 or amount != to_cents(amount):
        raise _refused(progress, event, "amount", f"got the amount {amount}", "It is more than 0, in whole cents.")
    most = {
        Action.INVOICE: progress.due - progress.invoiced,
        Action.AUTHORISE: progress.due - progress.authorised,
        Action.CAPTURE: progress.due - progress.net,
        Action.REFUND: progress.net,
    }[event.action]
    if amount > most:
        left = max(most, ZERO)
        raise CommandError(
            f"Order {progress.number} cannot {event.action} {plain(amount)}: {plain(left)} is left of"
            f" {plain(progress.net if event.action is Action.REFUND else progress.due)}.",
            hint=f"Ask for {plain(left)} at most." if left else "",
            field="amount",
            rule="amount",
        )
    match event.action:
        case Action.INVOICE:
            return replace(progress, invoiced=progress.invoiced + amount)
        case Action.AUTHORISE:
            return replace(progress, authorised=progress.authorised + amount, declined=False)
        case Action.CAPTURE:
            return replace(progress, captured=progress.captured + amount, declined=False)
        case _:
            return replace(progress, refunded=progress.refunded + amount)


def _refused(progress: Progress, event: Event, place: str, what: str, hint: str) -> CommandError:
    return CommandError(
        f"Order {progress.number} cannot {event.action}: it {what}.", hint=hint, field=place, rule="input"
    )


def _or(values: object) -> str:
    items = [str(value) for value in values]  # type: ignore[attr-defined]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def as_imported(order: Order) -> Order:
    """An order of which only the stage is known, with the quantities and the money that its stage stands for."""
    stage = order.stage
    lines = tuple(_implied(line, stage) for line in order.lines)
    order = replace(order, lines=lines)
    if stage is not S.COMPLETED:
        return order
    due = order.progress.due
    return replace(order, invoiced=due, captured=due)


def _implied(line: Line, stage: Stage) -> Line:
    quantity = line.quantity
    if stage is S.CANCELLED:
        return replace(line, cancelled=quantity)
    if stage not in {S.SHIPPED, S.DELIVERED, S.COMPLETED}:
        return line
    delivered = ZERO if stage is S.SHIPPED else quantity
    return replace(line, allocated=quantity, picked=quantity, shipped=quantity, delivered=delivered)
