"""Payment events applied to an order: invoice, authorize, decline, capture, refund. PURE."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from connector.errors import CommandError
from connector.model.actions import Action
from connector.model.events import Authorize, Capture, Decline, IssueInvoice, PaymentEvent, Refund
from connector.model.money import money_text, to_cents
from connector.model.order_state import OrderState
from connector.model.rejections import rejection
from connector.model.shipments import ZERO

_COINS = {0: "units of the currency", 2: "cents", 3: "thousandths"}


def apply_payment_event(state: OrderState, event: PaymentEvent) -> OrderState:
    if isinstance(event, Decline):
        return replace(state, declined=True)
    amount = event.amount
    most = largest_amount(state, event.action)
    is_whole = amount is not None and amount.is_finite() and amount == to_cents(amount, state.places)
    # Earlier amounts may have fractions of a cent; then the amount that settles the rest may have them too.
    if amount is None or not amount.is_finite() or amount <= 0 or not (is_whole or amount == most):
        what = "got no amount" if amount is None else f"got the amount {amount}"
        raise rejection(state, event, "amount", what, f"It is more than 0, in whole {_COINS[state.places]}.")
    if amount > most:
        remaining = max(most, ZERO)
        whole = state.net if isinstance(event, Refund) else state.due
        asked, left, of = (money_text(value, state.places) for value in (amount, remaining, whole))
        raise CommandError(
            f"Order {state.number} cannot {event.action} {asked}: {left} is left of {of}.",
            hint=f"Ask for {left} at most." if remaining else hint_without_rest(state, event.action),
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


def hint_without_rest(state: OrderState, action: Action) -> str:
    """What to say of a payment for which no amount is left."""
    match action:
        case Action.INVOICE:
            done, word = state.invoiced, "invoiced"
        case Action.AUTHORIZE:
            done, word = state.authorized, "authorized"
        case Action.CAPTURE:
            done, word = state.net, "captured"
        case _:
            return "Nothing is left of what was captured." if state.captured else "Nothing was captured."
    paid, due = money_text(done, state.places), money_text(state.due, state.places)
    if done == state.due:
        return f"All that is due ({paid}) is {word} already." if done else "Nothing is due."
    return f"{paid} is {word} already, and {due} is due."


def largest_amount(state: OrderState, action: Action) -> Decimal:
    """Return the largest amount that is allowed now; 0 for an action without an amount."""
    match action:
        case Action.INVOICE:
            return state.due - state.invoiced
        case Action.AUTHORIZE:
            return state.due - state.authorized
        case Action.CAPTURE:
            return state.due - state.net
        case Action.REFUND:
            return state.net
        case _:
            return ZERO
