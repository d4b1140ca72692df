"""Orders, returns and histories as plain values: what an answer says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from connector.model.customer import Customer
from connector.model.notification import Notification
from connector.model.order import Line, Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.stock import StockKey, StockLevel
from connector.store.order_history import StoredEvent
from connector.store.shipments import serialize_shipment

_APART = {"customer", "lines", "shipments", "returns", "holds", "tracking_key"}
_LINE_APART = {"product", "order", "currency", "number", "waits"}


def serialize_order(order: Order) -> dict[str, Any]:
    """The order by the names of an import, with its statuses; the customer by number."""
    said = {item.name: getattr(order, item.name) for item in fields(order) if item.name not in _APART}
    said |= {
        "customer": order.customer.number,
        "tracking_path": f"/track/{order.tracking_key}" if order.tracking_key else None,
        "fulfillment_status": order.fulfillment_status,
        "payment_status": order.payment_status,
        "amount_due": order.amount_due,
        "tax": order.tax,
        "exact_total": order.exact_total,
        "holds": sorted(order.holds),
        "lines": [_line(line) for line in order.lines],
        "shipments": [serialize_shipment(parcel) for _, parcel in sorted(order.shipments.items())],
        "returns": [
            {"return_number": number, "status": item.status, "reason": item.reason, "resolution": item.resolution}
            for number, item in sorted(order.returns.items())
        ],
    }
    return said


def _line(line: Line) -> dict[str, Any]:
    values = {item.name: getattr(line, item.name) for item in fields(line) if item.name not in _LINE_APART}
    return {
        "line": line.number,
        "sku": line.product.sku,
        **values,
        "backordered": line.backordered,
        "exact_total": line.exact_total,
    }


def serialize_customer(customer: Customer, version: int) -> dict[str, Any]:
    return asdict(customer) | {"version": version}


def serialize_product(product: Product, version: int) -> dict[str, Any]:
    """What can be put back as it is; whatever is put is no placeholder."""
    said = asdict(product) | {"version": version}
    del said["placeholder"]
    return said


def serialize_event(entry: StoredEvent) -> dict[str, Any]:
    said = {"sequence": entry.sequence, "at": entry.at, "actor": entry.actor, **entry.payload, "stage": entry.after}
    return said | ({"request": entry.request.key} if entry.request else {})


def serialize_return(item: OrderReturn) -> dict[str, Any]:
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


def serialize_message(item: Notification) -> dict[str, Any]:
    """Nothing of whom it is for, or what it says."""
    return {field.name: getattr(item, field.name) for field in fields(item) if field.name != "key"}


def serialize_stock(levels: Mapping[StockKey, StockLevel]) -> list[dict[str, Any]]:
    """By product and warehouse."""
    names = ("on_hand", "reserved", "available", "since")
    return [
        {"sku": sku, "warehouse": warehouse, **{name: getattr(level, name) for name in names}}
        for (sku, warehouse), level in sorted(levels.items())
    ]
