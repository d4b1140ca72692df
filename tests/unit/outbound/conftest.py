"""Input of the planners: an org's describe, our mappings, and orders with or without links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.describe import describe
from connector.localorg.metadata.sfdx_source import load_into_schema
from connector.localorg.standard_objects import standard_schema
from connector.mapping.loader import load_mappings
from connector.model.change import Change, EntityKind, Refusal
from connector.model.customer import Customer
from connector.model.order import Line, Order
from connector.model.product import Price, Product
from connector.model.record import FieldValue, Link, MappedRecord
from connector.model.stage import Stage
from connector.outbound.order_planner import OrderContext
from connector.outbound.org_profile import SOBJECTS, OrgProfile
from connector.outbound.plan_types import PendingEntity, Plan
from connector.outbound.planner import plan_orders
from connector.outbound.preflight import normalize
from connector.salesforce.describe import read_describe
from tests.order_builders import stored_line, stored_order

CUSTOMER = Customer(number="C-1", name="Alder & Finch", city="Portland")
TEA = Product(sku="TEA", name="Tea", prices=(Price(currency="USD", unit_price=Decimal("12.75")),))
MAPPINGS = load_mappings()
ACCOUNT = "001000000000001AAA"
ORDER = "801000000000001AAA"


@cache
def profile() -> OrgProfile:
    schema = standard_schema()
    load_into_schema(schema, our_metadata())
    return OrgProfile(
        org_id="00D",
        describes={name: read_describe(describe(schema, name, "66.0")) for name in SOBJECTS},
        statuses={"Draft": "Draft", "Activated": "Activated"},
        price_book="01s000000000001AAA",
        currencies=frozenset({"USD"}),
    )


def line(number: int, **changes: Any) -> Line:
    given: dict[str, Any] = {
        "order": "A-1", "number": number, "product": TEA, "currency": "USD",
        "quantity": Decimal(2), "unit_price": Decimal("12.75"), "discount": Decimal(0),
    }  # fmt: skip
    return stored_line(**given | changes)


def an_order(*lines: Line, **changes: Any) -> Order:
    names = (
        "channel po_number notes promised_on shipped_on carrier tracking_number freight ship_to_name ship_to_street"
        " ship_to_city ship_to_state ship_to_postal_code ship_to_country"
    )
    given: dict[str, Any] = {
        "number": "A-1", "version": 1, "customer": CUSTOMER, "placed_at": datetime(2026, 3, 1, tzinfo=UTC),
        "currency": "USD", "stage": Stage.PLACED, "lines": lines or (line(1), line(2)), **dict.fromkeys(names.split()),
    }  # fmt: skip
    return stored_order(**given | changes)


def pending(order: Order, **given: Any) -> PendingEntity:
    change = Change(
        entity=EntityKind.ORDER, key=order.key, partition=0, version=1, attempts=0, captured_at=order.header.placed_at
    )
    return PendingEntity(change=change, entity=order, record=MAPPINGS.order.map(order), **given)


def as_written(order: Order) -> PendingEntity:
    """The order as a pending entity whose links say that the org has all of it."""
    fresh = pending(order)
    assert fresh.record is not None
    header = {**_snapshot(fresh.record), "AccountId": ACCOUNT, "Pricebook2Id": profile().price_book}
    lines = {
        record.key: Link(
            entity="line", key=record.key, sobject="OrderItem", salesforce_id=f"802{number:012}AAA",
            snapshot={**_snapshot(record), "PricebookEntryId": f"entry {_price(record)}"},
        )
        for number, record in enumerate(fresh.record.children)
    }  # fmt: skip
    link = Link(entity="order", key=order.key, sobject="Order", salesforce_id=ORDER, snapshot=header)
    return replace(fresh, link=link, line_links=lines)


def _snapshot(record: MappedRecord) -> dict[str, FieldValue]:
    return normalize(record.fields)


def _price(record: MappedRecord) -> str:
    return next(lookup.key for lookup in record.lookups.values())


def changed(before: Order, after: Order) -> PendingEntity:
    """A pending entity with the values of `after`, while the org has `before`."""
    written = as_written(before)
    return pending(after, link=written.link, line_links=written.line_links)


@dataclass
class Planner:
    customers: Mapping[str, Link]
    refusals: Mapping[str, Refusal]

    def __call__(self, *pending_entities: PendingEntity) -> Plan:
        accounts = {CUSTOMER.number: MAPPINGS.customer.map(CUSTOMER)}
        context = OrderContext(
            profile=profile(),
            customers=self.customers,
            accounts={key: record for key, record in accounts.items() if record is not None},
            refusals=self.refusals,
            prices={"TEA|USD": "entry TEA|USD", "JAM|USD": "entry JAM|USD"},
            inactive_prices=set(),
            source=MAPPINGS.source,
        )
        return plan_orders(pending_entities, context)


@pytest.fixture
def plan() -> Planner:
    link = Link(entity="customer", key="C-1", sobject="Account", salesforce_id=ACCOUNT, snapshot={})
    return Planner({"C-1": link}, {})
