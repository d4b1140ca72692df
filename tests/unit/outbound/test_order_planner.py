"""The plan for an order, depending on what the org has of it already."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from connector.model.change import Refusal
from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.product import Product
from connector.model.stage import Stage
from connector.outbound.plan_types import Plan
from connector.outbound.planner import accounts_ahead
from tests.order_builders import changed as altered
from tests.unit.outbound.conftest import (
    ACCOUNT,
    CUSTOMER,
    MAPPINGS,
    ORDER,
    Planner,
    an_order,
    as_written,
    changed,
    line,
    pending,
)

SHIPPED = an_order(stage=Stage.SHIPPED)
PLACED = an_order()


def only(plan: Plan, name: str) -> Any:
    """Return the only step of a plan, which must be of this type."""
    steps = {kind: list(value) for kind, value in vars(plan).items() if value}
    assert list(steps) == [name]
    [step] = steps[name]
    return step


def test_new_order_is_a_draft_graph_with_a_later_status(plan: Planner) -> None:
    new = only(plan(pending(SHIPPED)), "graphs")
    assert (new.account, new.status, new.partial, new.node_count) == (None, "Activated", False, 3)
    assert (new.order.fields["Status"], new.order.fields["AccountId"]) == ("Draft", ACCOUNT)
    assert [(row.key, row.fields["PricebookEntryId"]) for row in new.lines] == [
        ("A-1-1", "entry TEA|USD"), ("A-1-2", "entry TEA|USD"),
    ]  # fmt: skip


def test_placed_order_stays_a_draft(plan: Planner) -> None:
    assert only(plan(pending(PLACED)), "graphs").status is None


def test_new_account_travels_in_the_graph(plan: Planner) -> None:
    plan.customers = {}
    new = only(plan(pending(PLACED)), "graphs")
    assert (new.account.key, new.account.fields["Name"], new.node_count) == ("C-1", "Alder & Finch", 4)
    assert "AccountId" not in new.order.fields


def test_unchanged_order_needs_no_call(plan: Planner) -> None:
    for order in (SHIPPED, PLACED, altered(SHIPPED, notes="", lines=(line(1, unit_price=Decimal("12.750")), line(2)))):
        before = PLACED if order is PLACED else SHIPPED
        assert only(plan(changed(before, order)), "unchanged")


def test_changed_field_is_one_update_with_that_field(plan: Planner) -> None:
    row = only(plan(changed(SHIPPED, altered(SHIPPED, ship_to_city="Salem"))), "updates")
    assert (row.sobject, row.id, row.fields) == ("Order", ORDER, {"ShippingCity": "Salem"})


def test_changed_status_is_an_update_of_its_own(plan: Planner) -> None:
    planned = plan(changed(PLACED, SHIPPED))
    [row], [status] = planned.updates, planned.status_updates
    assert row.fields == {"Lifecycle_Stage__c": "shipped"}
    assert status.fields == {"Status": "Activated"}


@pytest.mark.parametrize(
    ("after", "step"),
    [
        (altered(SHIPPED, lines=(line(1), line(2, quantity=Decimal(3)))), {"update": ["A-1-2"]}),
        (altered(SHIPPED, lines=(line(1), line(2, discount=Decimal("0.15")))), {"update": ["A-1-2"]}),
        (altered(SHIPPED, lines=(line(1),)), {"delete": ["A-1-2"]}),
        (altered(SHIPPED, lines=(line(1), line(2), line(3))), {"add": ["A-1-3"]}),
        (altered(SHIPPED, lines=(line(1), line(2, product=Product(sku="JAM", name="Jam")))),
         {"delete": ["A-1-2"], "add": ["A-1-2"]}),
    ],
)  # fmt: skip
def test_change_of_a_frozen_line_reopens_an_activated_order(
    plan: Planner, after: Order, step: dict[str, list[str]]
) -> None:
    sequence = only(plan(changed(SHIPPED, after)), "rewrites")
    assert (sequence.reopen, sequence.status, sequence.partial) == ("Draft", "Activated", False)
    assert [key for key, _ in sequence.delete] == step.get("delete", [])
    assert [record.key for record in sequence.add] == step.get("add", [])
    assert [row.key for row in sequence.update] == step.get("update", [])


def test_change_of_a_frozen_header_field_reopens_the_order(plan: Planner) -> None:
    later = altered(SHIPPED, placed_at=SHIPPED.header.placed_at.replace(day=2))
    sequence = only(plan(changed(SHIPPED, later)), "rewrites")
    assert sequence.reopen == "Draft"
    assert sequence.header["EffectiveDate"] == "2026-03-02"


def test_lines_of_a_draft_change_without_reopening(plan: Planner) -> None:
    after = altered(PLACED, lines=(line(1), line(2, quantity=Decimal(3))))
    planned = plan(changed(PLACED, after))
    assert {row.key: set(row.fields) for row in planned.updates} == {
        "A-1": {"Amount_Due__c", "Exact_Total__c", "Net_Total__c"}, "A-1-2": {"Quantity", "Exact_Total__c"},
    }  # fmt: skip
    sequence = only(plan(changed(PLACED, altered(PLACED, lines=(line(1),)))), "rewrites")
    assert (sequence.reopen, sequence.status) == (None, None)


def test_lines_beyond_one_graph_are_sent_before_the_status(plan: Planner) -> None:
    large = an_order(*(line(number) for number in range(1, 1501)), stage=Stage.SHIPPED)
    new = only(plan(pending(large)), "graphs")
    assert (new.node_count, new.partial) == (500, True)
    written = as_written(large)
    some = {key: written.line_links[key] for key in list(written.line_links)[:499]}
    link = replace(written.link, snapshot={**written.link.snapshot, "Status": "Draft"})  # type: ignore[arg-type,union-attr]
    sequence = only(plan(replace(written, link=link, line_links=some)), "rewrites")
    assert (len(sequence.add), sequence.partial, sequence.status) == (1000, True, None)


def test_reference_like_text_is_sent_after_the_graph(plan: Planner) -> None:
    new = only(plan(pending(altered(SHIPPED, notes="see @{order.id}"))), "graphs")
    assert "Description" not in new.order.fields
    assert new.partial


REFUSED: list[tuple[Order, str, str | None]] = [
    (altered(SHIPPED, lines=()), "FAILED_ACTIVATION", "Order.Status"),
    (altered(SHIPPED, currency="EUR"), "INVALID_CURRENCY_ISO", "Order.CurrencyIsoCode"),
    (an_order(line(1, product=Product(sku="GUM", name="Gum"))), "REQUIRED_FIELD_MISSING", "OrderItem.PricebookEntryId"),
    (an_order(line(1, unit_price=None)), "REQUIRED_FIELD_MISSING", "OrderItem.UnitPrice"),
    (altered(SHIPPED, po_number="x" * 81), "STRING_TOO_LONG", "Order.PoNumber"),
    (
        an_order(line(1, quantity=Decimal(10) ** 17, unit_price=Decimal(0))),
        "NUMBER_OUTSIDE_VALID_RANGE",
        "OrderItem.Quantity",
    ),
]


@pytest.mark.parametrize(("order", "code", "field"), REFUSED, ids=[code for _, code, _ in REFUSED])
def test_predictable_refusal_has_code_field_and_fix(plan: Planner, order: Order, code: str, field: str) -> None:
    refused = only(plan(pending(order)), "refused").refusal
    assert (refused.code, refused.field) == (code, field)
    assert refused.fix.endswith(("replay.", "."))
    if field in {"Order.PoNumber", "OrderItem.Quantity"}:
        assert refused.source is not None
        assert refused.source.startswith("mappings/order.yaml:")


def test_order_of_a_refused_customer_has_the_customers_refusal(plan: Planner) -> None:
    reason = Refusal(
        code="DUPLICATES_DETECTED", message="twice", field=None, source=None, fix="", record="customer C-1"
    )
    plan.customers, plan.refusals = {}, {"C-1": reason}
    assert only(plan(pending(SHIPPED)), "refused").refusal is reason


def test_account_goes_ahead_for_two_orders_or_reference_like_text() -> None:
    orders = [pending(altered(PLACED, number=number)) for number in ("A-1", "A-2")]
    assert accounts_ahead(orders[:1], {}, {}) == set()
    assert accounts_ahead(orders, {}, {}) == {"C-1"}
    odd = replace(CUSTOMER, name="@{x}")
    known = pending(PLACED)
    unknown = {"C-1": replace(known, entity=odd, record=MAPPINGS.customer.map(odd))}
    assert accounts_ahead(orders[:1], {}, unknown) == {"C-1"}
    assert accounts_ahead([pending(altered(PLACED, customer=Customer(number="C-2", name="x")))], {}, {}) == set()
