"""Builds the refusals of orders, returns and customers that fail our checks: the org's codes, a message and a fix."""

from __future__ import annotations

from decimal import Decimal

from connector.model.change import Refusal
from connector.model.money import plain
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.record import Lookup, MappedRecord
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import Fields
from connector.outbound.preflight import Source


def rejection_for_no_currency(order: Order | OrderReturn, profile: OrgProfile) -> Refusal:
    available = ", ".join(sorted(profile.currencies))
    fix = f"Ask an admin to activate {order.currency} in the org, or correct the order's currency, then replay."
    if not profile.multi_currency:
        fix = (
            f"Correct the order's currency. If {order.currency} is the org's own, set CONNECTOR_SALESFORCE__CURRENCY"
            " to it, then replay."
        )
    return Refusal(
        code="INVALID_CURRENCY_ISO",
        message=f"The org has no currency {order.currency}; it has {available}.",
        field="Order.CurrencyIsoCode",
        source=None,
        fix=fix,
        record=f"order {order.key}",
    )


def rejection_for_no_lines(record: MappedRecord) -> Refusal:
    return Refusal(
        code="FAILED_ACTIVATION",
        message="An order must have at least one product.",
        field="Order.Status",
        source=None,
        fix="Give the order a line, then replay.",
        record=f"order {record.key}",
    )


def rejection_for_other_price_book(line: MappedRecord) -> Refusal:
    return Refusal(
        code="OTHER_PRICE_BOOK",
        message=f"line {line.key}: its order has another price book than the standard one, whose prices are not known.",
        field=f"{line.sobject}.PricebookEntryId",
        source=None,
        fix="Remove the line here and add it to the order in Salesforce, then replay.",
        record=f"line {line.key}",
    )


def rejection_for_reference_like_key(record: MappedRecord, name: str) -> Refusal:
    return Refusal(
        code="INVALID_INPUT",
        message=f"{name}: the key contains `@{{`, which the org takes for a reference to another record.",
        field=f"{record.sobject}.{record.external_id}",
        source=None,
        fix="Import the order under a number without `@{`.",
        record=name,
    )


def rejection_for_missing_original(name: str, line: MappedRecord, lookup: Lookup, source: Source) -> Refusal:
    return Refusal(
        code="REQUIRED_FIELD_MISSING",
        message=f"The org has no {lookup.entity} {lookup.key} that {line.entity} {line.key} could refer to.",
        field=f"{line.sobject}.{name}",
        source=source(line.sobject, name),
        fix="Bring the original order to the org (`connector resync order NUMBER`), then replay.",
        record=f"{line.entity} {line.key}",
    )


def rejection_for_changed_account_type(customer: str, *, person: bool) -> Refusal:
    """`person`: whether the customer is a person now."""
    here, there = ("a person", "company") if person else ("a company", "person")
    undo = "take its last name out" if person else "give it its last name again"
    return Refusal(
        code="FIELD_INTEGRITY_EXCEPTION",
        message=f"Customer {customer} is {here} by now, and its account in the org is a {there}'s: an account stays"
        " what it was made as.",
        field="Account.RecordTypeId",
        source=None,
        fix=f"Give {here} a customer number of its own, or {undo}. If an admin has converted the account in the org:"
        f" `connector resync customer {customer}`, push, then replay what is still refused.",
        record=f"customer {customer}",
    )


def rejection_for_no_company_type(label: str) -> Refusal:
    return Refusal(
        code="INVALID_CROSS_REFERENCE_KEY",
        message="Every account that the connector's user can make in the org is a person's.",
        field="Account.RecordTypeId",
        source=None,
        fix="Ask an admin to give the connector's user (profile or permission set) a record type of Account for"
        " companies, then replay.",
        record=label,
    )


def rejection_for_no_record_type(record: MappedRecord, lookup: Lookup, source: Source) -> Refusal:
    return Refusal(
        code="INVALID_CROSS_REFERENCE_KEY",
        message=f"{record.sobject} has no active record type {lookup.key} that the connector's user may use.",
        field=f"{record.sobject}.RecordTypeId",
        source=source(record.sobject, "RecordTypeId", person=bool(record.person)),
        fix="Name another in the mapping, or ask an admin to give it to the connector's user, then replay.",
        record=f"{record.entity} {record.key}",
    )


def rejection_for_no_last_name(record: MappedRecord, source: Source) -> Refusal:
    return Refusal(
        code="REQUIRED_FIELD_MISSING",
        message="Required fields are missing: [LastName]",
        field=f"{record.sobject}.LastName",
        source=source(record.sobject, "LastName", person=True),
        fix=f"Give customer {record.key} a last name, then replay.",
        record=f"{record.entity} {record.key}",
    )


def rejection_for_excess_decimals(
    line: MappedRecord, fields: Fields, profile: OrgProfile, source: Source
) -> Refusal | None:
    """Refuse a unit price with more decimals than the org gives the currency: the org would round it silently."""
    price = fields.get("UnitPrice")
    currency = next((item.key.rpartition("|")[2] for item in line.lookups.values() if item.entity == "price"), "")
    places = profile.decimals.get(currency)
    if places is None or not isinstance(price, Decimal) or profile.round_amount(price, currency) == price:
        return None
    return Refusal(
        code="WOULD_BE_ROUNDED",
        message=f"Unit Price: {plain(price)} {currency} has more decimals than the {places} it has in the org.",
        field=f"{line.sobject}.UnitPrice",
        source=source(line.sobject, "UnitPrice"),
        fix=f"Correct the price, or ask an admin to give {currency} more decimals in the org, then replay.",
        record=f"line {line.key}",
    )
