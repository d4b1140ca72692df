"""What an event does to the money of an order: invoiced, authorized, declined, captured, refunded. PURE."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from connector.errors import CommandError
from connector.model.events import Authorize, Capture, Decline, IssueInvoice, PaymentEvent, Refund
from connector.model.money import plain, to_cents
from connector.model.order_state import OrderState
from connector.model.rejections import rejection
from connector.model.shipments import ZERO

_COINS = {0: "units of the currency", 2: "cents", 3: "thousandths"}


def paid(progress: OrderState, event: PaymentEvent) -> OrderState:
    if isinstance(event, Decline):
        return replace(progress, declined=True)
    amount = event.amount
    most = _most(progress, event)
    whole = amount is not None and amount.is_finite() and amount == to_cents(amount, progress.places)
    # What closes an account may be no whole coin, where one was opened with fractions of them.
    if amount is None or not amount.is_finite() or amount <= 0 or not (whole or amount == most):
        what = "got no amount" if amount is None else f"got the amount {amount}"
        raise rejection(progress, event, "amount", what, f"It is more than 0, in whole {_COINS[progress.places]}.")
    if amount > most:
        left = max(most, ZERO)
        raise CommandError(
            f"Order {progress.number} cannot {event.action} {plain(amount)}: {plain(left)} is left of"
            f" {plain(progress.net if isinstance(event, Refund) else progress.due)}.",
            hint=f"Ask for {plain(left)} at most." if left else "",
            field="amount",
            rule="amount",
        )
    match event:
        case IssueInvoice():
            number = event.reference or progress.invoice_number
            return replace(progress, invoiced=progress.invoiced + amount, invoice_number=number)
        case Authorize():
            return replace(progress, authorized=progress.authorized + amount, declined=False)
        case Capture():
            return replace(progress, captured=progress.captured + amount, declined=False)
        case Refund():
            return replace(progress, refunded=progress.refunded + amount)
        case _:
            assert_never(event)


def _most(progress: OrderState, event: IssueInvoice | Authorize | Capture | Refund) -> Decimal:
    """The largest amount that is possible now."""
    match event:
        case IssueInvoice():
            return progress.due - progress.invoiced
        case Authorize():
            return progress.due - progress.authorized
        case Capture():
            return progress.due - progress.net
        case Refund():
            return progress.net
        case _:
            assert_never(event)
