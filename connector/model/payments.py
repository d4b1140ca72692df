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


def paid(state: OrderState, event: PaymentEvent) -> OrderState:
    if isinstance(event, Decline):
        return replace(state, declined=True)
    amount = event.amount
    most = _most(state, event)
    whole = amount is not None and amount.is_finite() and amount == to_cents(amount, state.places)
    # What closes an account may be no whole coin, where one was opened with fractions of them.
    if amount is None or not amount.is_finite() or amount <= 0 or not (whole or amount == most):
        what = "got no amount" if amount is None else f"got the amount {amount}"
        raise rejection(state, event, "amount", what, f"It is more than 0, in whole {_COINS[state.places]}.")
    if amount > most:
        left = max(most, ZERO)
        raise CommandError(
            f"Order {state.number} cannot {event.action} {plain(amount)}: {plain(left)} is left of"
            f" {plain(state.net if isinstance(event, Refund) else state.due)}.",
            hint=f"Ask for {plain(left)} at most." if left else "",
            field="amount",
            rule="amount",
        )
    match event:
        case IssueInvoice():
            number = event.reference or state.invoice_number
            return replace(state, invoiced=state.invoiced + amount, invoice_number=number)
        case Authorize():
            return replace(state, authorized=state.authorized + amount, declined=False)
        case Capture():
            return replace(state, captured=state.captured + amount, declined=False)
        case Refund():
            return replace(state, refunded=state.refunded + amount)
        case _:
            assert_never(event)


def _most(state: OrderState, event: IssueInvoice | Authorize | Capture | Refund) -> Decimal:
    """The largest amount that is possible now."""
    match event:
        case IssueInvoice():
            return state.due - state.invoiced
        case Authorize():
            return state.due - state.authorized
        case Capture():
            return state.due - state.net
        case Refund():
            return state.net
        case _:
            assert_never(event)
