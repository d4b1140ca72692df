"""What a refused payment advises: only what the order accepts afterwards."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import CommandError
from connector.model.event_defaults import with_defaults
from connector.model.events import Authorize, Capture, IssueInvoice, PaymentEvent, Refund
from connector.model.order_state import OrderState
from connector.model.stage import Stage
from connector.model.transitions import apply
from tests.unit.model.test_possible_actions import new_order


def paid(**changes: Any) -> OrderState:
    """A delivered order of 80, all of it authorized, invoiced and captured, apart from `changes`."""
    amount = Decimal(80)
    order = replace(new_order(), stage=Stage.DELIVERED, authorized=amount, invoiced=amount, captured=amount)
    return replace(order, **changes)


def refusal(state: OrderState, event: PaymentEvent) -> CommandError:
    with pytest.raises(CommandError) as refused:
        apply(state, with_defaults(state, event))
    return refused.value


@pytest.mark.parametrize(
    ("kind", "word"), [(Authorize, "authorized"), (IssueInvoice, "invoiced"), (Capture, "captured")]
)
def test_second_payment_says_that_all_is_done_whether_or_not_it_has_an_amount(kind: Any, word: str) -> None:
    for event in (kind(), kind(amount=Decimal(10))):
        assert refusal(paid(), event).hint == f"All that is due (80.00) is {word} already."
    assert refusal(paid(captured=Decimal(90), invoiced=Decimal(90), authorized=Decimal(90)), kind()).hint == (
        f"90.00 is {word} already, and 80.00 is due."
    )
    free = paid(lines={}, captured=Decimal(0), invoiced=Decimal(0), authorized=Decimal(0))
    assert refusal(free, kind()).hint == "Nothing is due."


def test_refund_without_amount_advises_an_amount_only_if_one_can_be_refunded() -> None:
    advice = refusal(paid(), Refund()).hint
    assert advice == "Give an amount to refund it anyway, 80.00 at most."
    most = Decimal(re.findall(r"[\d.]+\d", advice)[0])
    assert apply(paid(), with_defaults(paid(), Refund(amount=most))).refunded == most
    nothing = "Nothing is left of what was captured."
    assert refusal(paid(refunded=Decimal(80)), Refund(amount=Decimal(1))).hint == nothing
    assert refusal(paid(captured=Decimal(0)), Refund()).hint == "Nothing was captured."
