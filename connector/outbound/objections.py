"""Why an order would be refused, in the org's codes and our words."""

from __future__ import annotations

from connector.model.change import Refusal
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.record import Lookup, MappedRecord
from connector.outbound.facts import OrgFacts
from connector.outbound.preflight import Source


def no_currency(order: Order | OrderReturn, facts: OrgFacts) -> Refusal:
    has = ", ".join(sorted(facts.currencies))
    fix = f"Ask an admin to activate {order.currency} in the org, or correct the order's currency, then replay."
    if not facts.multi_currency:
        fix = (
            f"Correct the order's currency. If {order.currency} is the org's own, set CONNECTOR_SALESFORCE__CURRENCY"
            " to it, then replay."
        )
    return Refusal(
        code="INVALID_CURRENCY_ISO",
        message=f"The org has no currency {order.currency}; it has {has}.",
        field="Order.CurrencyIsoCode",
        source=None,
        fix=fix,
        record=f"order {order.key}",
    )


def no_lines(record: MappedRecord) -> Refusal:
    return Refusal(
        code="FAILED_ACTIVATION",
        message="An order must have at least one product.",
        field="Order.Status",
        source=None,
        fix="Give the order a line, import it, then replay.",
        record=f"order {record.key}",
    )


def no_original(name: str, line: MappedRecord, lookup: Lookup, source: Source) -> Refusal:
    return Refusal(
        code="REQUIRED_FIELD_MISSING",
        message=f"The org has no {lookup.entity} {lookup.key} that {line.entity} {line.key} could refer to.",
        field=f"{line.sobject}.{name}",
        source=source(line.sobject, name),
        fix="Bring the original order to the org (`connector resync order NUMBER`), then replay.",
        record=f"{line.entity} {line.key}",
    )
