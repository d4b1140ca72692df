"""The tax of an invoice is the same in all documents, and the taxes of partial invoices add up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.model.events import Confirm, IssueInvoice, Verify
from connector.model.money import to_cents
from connector.model.notification import MessageKind
from connector.model.order import Order
from connector.notifications.renderer import TemplateRenderer
from connector.notifications.view import build_view
from connector.orders.command import OrderCommand
from connector.orders.documents import invoice_pdf
from connector.orders.documents.invoice import InvoiceView, build_invoice, dump, load
from connector.orders.documents.tracking_page import invoice_page
from connector.orders.policy.rules import Billing, standard
from connector.orders.transaction import OrderTransaction
from connector.store import invoices
from connector.store.engine import Store
from tests.order_builders import changed
from tests.unit.store import samples
from tests.unit.store.samples import placements
from tests.web.test_documents import an_order

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GROSS = Billing(company="Us", address=(), tax_rate=Decimal("0.19"))
NET = replace(GROSS, net=True)


def issued(order: Order, billing: Billing, amounts: Iterable[Decimal]) -> list[InvoiceView]:
    """Issue invoices over these amounts, one after the other."""
    state, views = order.state, []
    for amount in amounts:
        views.append(build_invoice("INV-1", order, state, amount, NOW, billing))
        state = replace(state, invoiced=state.invoiced + amount)
    return views


def included(total: Decimal, rate: Decimal) -> Decimal:
    return to_cents(total - total / (1 + rate))


def test_taxes_of_three_partial_invoices_add_up_to_the_tax_of_the_order() -> None:
    thirds = [Decimal("39.67"), Decimal("39.67"), Decimal("39.66")]
    views = issued(an_order(("1", "119", "0"), freight="0"), GROSS, thirds)
    assert [str(view.tax) for view in views] == ["6.33", "6.34", "6.33"]


def test_tax_invoiced_before_a_cancellation_is_not_charged_again() -> None:
    order = an_order(("1", "119", "0"), freight="0")
    [first] = issued(order, GROSS, [Decimal("39.67")])
    [rest] = issued(changed(an_order(("1", "100", "0"), freight="0"), invoiced=first.amount), GROSS, [Decimal("60.33")])
    assert first.tax + rest.tax == included(Decimal(100), GROSS.tax_rate)


@given(
    st.lists(st.decimals("0.0001", 500, places=4), min_size=1, max_size=5),
    st.sampled_from(["0.0825", "0.19", "0.07", "0.255", "0.99"]).map(Decimal),
    st.booleans(),
    st.lists(st.integers(1, 100), min_size=1, max_size=6),
)
def test_taxes_of_any_partial_invoices_add_up_to_the_total_tax(
    prices: list[Decimal], rate: Decimal, net: bool, weights: list[int]
) -> None:
    order = an_order(*(("1", str(price), "0") for price in prices), freight="0")
    order = changed(order, tax_rate=rate if net else None)
    billing = replace(GROSS, tax_rate=rate)
    due = order.state.due
    bounds = [to_cents(due * sum(weights[:index]) / sum(weights)) for index in range(len(weights) + 1)]
    amounts = [after - before for before, after in pairwise(bounds) if after > before]
    views = issued(order, billing, amounts)
    assert all(view.tax >= 0 for view in views)
    whole = order.tax if net else included(due, rate)
    assert sum(view.tax for view in views) == whole
    if due:
        [one] = issued(order, billing, [due])
        assert one.tax == whole
        assert load(dump(one)) == one


def test_rounded_tax_is_equal_in_order_invoice_and_mail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 98.045 are 98.05 in cents; 19 % of what is not rounded are 18.62855.
    order = changed(an_order(("1", "98.045", "0"), freight="0"), tax_rate=Decimal("0.19"))
    [invoice] = issued(order, NET, [Decimal("116.68")])
    assert (invoice.tax_added, invoice.tax) == (Decimal("18.63"), Decimal("18.63"))
    told = replace(build_view(MessageKind.INVOICE, order, NET, "", NOW), invoice=invoice)
    mail = TemplateRenderer().render(told)
    confirmation = TemplateRenderer().render(replace(told, kind=MessageKind.CONFIRMATION))
    printed: list[str] = []
    monkeypatch.setattr(invoice_pdf, "_total", lambda _, label, value: printed.append(f"{label} {value}"))
    invoice_pdf.invoice_pdf(invoice)
    for text in (invoice_page(invoice), mail.text, mail.html, confirmation.text, confirmation.html, str(printed)):
        assert set(re.findall(r"18\.6\d", text)) == {"18.63"}


def test_confirmation_shows_the_tax_of_the_whole_order_after_partial_invoices() -> None:
    order = changed(an_order(("1", "119", "0"), freight="0"), invoiced=Decimal(100))
    view = build_view(MessageKind.CONFIRMATION, order, GROSS, "", NOW)
    assert (view.bill.total, view.bill.tax) == (Decimal(119), Decimal(19))
    assert "of which 19 % tax: 19.00 USD" in TemplateRenderer().render(view).text


@pytest.mark.parametrize(("said", "rate", "tax"), [(None, "0.19", "3.19"), ("0", "0", "0"), ("0.07", "0.07", "1.40")])
async def test_tax_rate_of_the_order_wins_even_if_it_is_zero(
    store: Store, said: str | None, rate: str, tax: str
) -> None:
    rules = replace(standard(), billing=GROSS)
    await samples.stock(store)
    async with store.transaction() as uow:
        transaction = OrderTransaction(uow, actor="shop", rules=rules)
        item = samples.order("1", tax_rate=said and Decimal(said), lines=(samples.line(1, quantity="1", price="20"),))
        await transaction.place(placements([changed(item, freight=None)]))
        events = (Verify(), Confirm(), IssueInvoice())
        await transaction.execute_all([OrderCommand(number="1", event=event) for event in events])
    async with store.reader() as connection:
        [found] = await invoices.of_order(connection, "1")
    view = load(found.body)
    assert (view.tax_rate, view.tax) == (Decimal(rate), Decimal(tax))
    assert bool(re.search("tax", invoice_page(view), re.IGNORECASE)) == bool(view.tax)
