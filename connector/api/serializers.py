"""Serialize orders, customers, products, returns, histories, messages and stock to plain values for responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from operator import attrgetter

from connector.model.action_request import ReceivedAction
from connector.model.conflict import Conflict, ConflictRule
from connector.model.copying import inlined
from connector.model.customer import Customer
from connector.model.inbound_change import InboxItem
from connector.model.notification import Notification
from connector.model.order import Line, Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.reconciliation import ReconcileRun
from connector.model.stock import StockKey, StockLevel
from connector.store.invoices import Invoice
from connector.store.order_history import StoredEvent
from connector.store.queries.backorders import Backorder
from connector.store.queries.holds import OrderHold
from connector.store.shipments import serialize_shipment

JsonObject = dict[str, object]

_ORDER_PATHS = inlined(Order)
_ORDER_APART = {"customer", "lines", "shipments", "returns", "holds", "tracking_key"}
ORDER_NAMES = tuple(name for name in _ORDER_PATHS if name not in _ORDER_APART)
_order_values = attrgetter(*(_ORDER_PATHS[name] for name in ORDER_NAMES))
_LINE_PATHS = inlined(Line)
_LINE_APART = {"product", "order", "currency", "number", "waits"}
LINE_NAMES = tuple(name for name in _LINE_PATHS if name not in _LINE_APART)
_line_values = attrgetter(*(_LINE_PATHS[name] for name in LINE_NAMES))


def serialize_order(order: Order) -> JsonObject:
    """Serialize an order with the field names of an import, and its statuses; the customer is a number."""
    state = order.state
    return dict(zip(ORDER_NAMES, _order_values(order), strict=True)) | {
        "customer": order.customer.number,
        "tracking_path": f"/track/{order.tracking_key}" if order.tracking_key else None,
        "fulfillment_status": order.fulfillment_status,
        "payment_status": order.payment_status,
        "amount_due": order.amount_due,
        "tax": order.tax,
        "exact_total": order.exact_total,
        "holds": sorted(state.holds),
        "lines": [_line(line) for line in order.lines],
        "shipments": [serialize_shipment(parcel) for _, parcel in sorted(state.shipments.items())],
        "returns": [
            {"return_number": number, "status": item.status, "reason": item.reason, "resolution": item.resolution}
            for number, item in sorted(state.returns.items())
        ],
    }


def _line(line: Line) -> JsonObject:
    return {
        "line": line.number,
        "sku": line.product.sku,
        **dict(zip(LINE_NAMES, _line_values(line), strict=True)),
        "backordered": line.backordered,
        "exact_total": line.exact_total,
    }


def serialize_customer(customer: Customer, version: int) -> JsonObject:
    return asdict(customer) | {"version": version}


def serialize_product(product: Product, version: int) -> JsonObject:
    """Serialize a product so that it can be put back unchanged. A product that is put is never a placeholder."""
    document = asdict(product) | {"version": version}
    del document["placeholder"]
    return document


def serialize_event(entry: StoredEvent) -> JsonObject:
    document = {"sequence": entry.sequence, "at": entry.at, "actor": entry.actor, **entry.payload, "stage": entry.after}
    return document | ({"request": entry.request.key} if entry.request else {})


def serialize_action(item: ReceivedAction) -> JsonObject:
    """Serialize what somebody asked of an order in the org, and the answer."""
    names = ("event_id", "request_id", "action", "reason", "published_at")
    return {
        "at": item.received_at,
        "order": item.request.order or None,
        **{name: getattr(item.request, name) for name in names},
        "who": item.who,
        "state": item.state.value,
        "message": item.message,
    }


def serialize_return(item: OrderReturn) -> JsonObject:
    names = ("status", "reason", "resolution", "carrier", "tracking_number", "requested_on")
    return {
        "key": item.key,
        "order": item.order.number,
        "return_number": item.number,
        **{name: getattr(item, name) for name in names},
        "lines": [
            {
                "line": line.number,
                "sku": line.line.product.sku,
                **{name: getattr(line, name) for name in ("requested", "received", "restocked", "written_off")},
            }
            for line in item.lines
        ],
    }


def serialize_invoice(item: Invoice) -> JsonObject:
    return {"number": item.number, "issued_at": item.issued_at, "currency": item.currency, "amount": item.amount}


def serialize_backorder(item: Backorder) -> JsonObject:
    document = asdict(item)
    for line in document["waiting"]:
        del line["sku"]
    return document


def serialize_hold(item: OrderHold) -> JsonObject:
    return asdict(item)


def serialize_conflict(item: Conflict) -> JsonObject:
    return asdict(item) | {"state": item.state.value}


def serialize_conflict_rule(item: ConflictRule) -> JsonObject:
    return asdict(item) | {"choice": item.choice.value}


def serialize_parked(item: InboxItem) -> JsonObject:
    """Serialize a record of the org that could not be applied."""
    names = ("sobject", "record_id", "seen_at", "attempts", "error", "fix")
    return {name: getattr(item, name) for name in names} | {"source": item.source.value}


def serialize_message(item: Notification) -> JsonObject:
    """Serialize a message without recipient and content."""
    return {field.name: getattr(item, field.name) for field in fields(item) if field.name != "key"}


def serialize_stock(levels: Mapping[StockKey, StockLevel]) -> list[JsonObject]:
    """Serialize stock levels, sorted by product and warehouse."""
    names = ("on_hand", "reserved", "available", "since")
    return [
        {"sku": sku, "warehouse": warehouse, **{name: getattr(level, name) for name in names}}
        for (sku, warehouse), level in sorted(levels.items())
    ]


def serialize_reconciliation(run: ReconcileRun) -> JsonObject:
    """Serialize the counts of a comparison of both sides."""
    return {
        "verified": run.verified,
        "total": run.total,
        "differing": run.differing,
        "healed": run.healed,
        "verified_at": run.finished_at,
        "entities": run.counts,
    }
