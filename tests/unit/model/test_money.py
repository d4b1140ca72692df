"""Amounts that can be paid have the decimals of their currency, and sums stay exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connector.errors import CommandError
from connector.model.events import Capture
from connector.model.money import money_text, places_of, to_cents
from connector.model.stage import Stage
from connector.model.transitions import apply
from connector.orders.documents.invoice import build_invoice
from connector.orders.policy.rules import Billing
from tests.unit.outbound.conftest import an_order, line


@pytest.mark.parametrize(("currency", "places"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("XAU", 2)])
def test_currency_has_the_decimals_of_iso_4217(currency: str, places: int) -> None:
    assert places_of(currency) == places


@pytest.mark.parametrize(
    ("amount", "places", "rounded"),
    [("5097.45", 0, "5097"), ("5097.5", 0, "5098"), ("-0.5", 0, "-1"), ("1.2345", 3, "1.235"), ("1.005", 2, "1.01")],
)
def test_amount_is_rounded_half_up_to_the_smallest_unit(amount: str, places: int, rounded: str) -> None:
    assert str(to_cents(Decimal(amount), places)) == rounded


@pytest.mark.parametrize(
    ("currency", "due", "unit"),
    [("JPY", "3259", "1086"), ("USD", "3259.24", "1086.41"), ("KWD", "3259.237", "1086.41")],
)
def test_amount_due_and_net_unit_price_are_rounded_by_currency(currency: str, due: str, unit: str) -> None:
    """The order has 3 pieces at 1,278.132 less 15 %, which is 1,086.4122 each."""
    some = line(1, currency=currency, quantity=Decimal(3), unit_price=Decimal("1278.132"), discount=Decimal("0.15"))
    order = an_order(some, currency=currency)
    assert order.exact_total == Decimal("3259.2366")
    assert str(order.state.due) == due
    assert str(some.net_unit_price) == unit


def test_invoice_in_yen_adds_up_in_whole_yen() -> None:
    two = [
        line(1, currency="JPY", quantity=Decimal(3), unit_price=Decimal("99.5")),
        line(2, currency="JPY", quantity=Decimal(1), unit_price=Decimal("100.5")),
    ]
    order = an_order(*two, currency="JPY", freight=Decimal("10.4"), stage=Stage.CONFIRMED)
    billing = Billing(company="Tea", address=(), tax_rate=Decimal("0.1"))
    now = datetime(2026, 3, 1, tzinfo=UTC)
    view = build_invoice("INV-1", order, order.state, order.state.due, now, billing)
    assert [item.total for item in view.lines] == [299, 101]
    assert (view.freight, view.rounding, view.total) == (10, -1, 409)
    assert view.goods + view.freight + view.rounding == view.amount == order.state.due
    assert (view.tax, view.money(view.total)) == (37, "409 JPY")
    assert view.figure(Decimal(1204)) == "1,204"


def test_payment_of_half_a_yen_is_rejected() -> None:
    state = replace(an_order(line(1, currency="JPY"), currency="JPY").state, stage=Stage.CONFIRMED)
    with pytest.raises(CommandError, match="whole units of the currency"):
        apply(state, Capture(amount=Decimal("0.5")))
    dinar = replace(an_order(line(1, currency="KWD"), currency="KWD").state, stage=Stage.CONFIRMED)
    assert apply(dinar, Capture(amount=Decimal("0.005"))).captured == Decimal("0.005")


@pytest.mark.parametrize(
    ("amount", "places", "text"),
    [("580.8", 2, "580.80"), ("25", 2, "25.00"), ("0", 2, "0.00"), ("0.0395", 2, "0.0395"), ("1200.0", 0, "1200"),
     ("1.5", 3, "1.500")],
)  # fmt: skip
def test_amount_is_written_with_the_decimals_of_its_currency(amount: str, places: int, text: str) -> None:
    assert money_text(Decimal(amount), places) == text
