"""Split an NDJSON order of the connector's own format into its order, customer and line rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connector.orders.importing.field_parsers import KINDS, yes_no

BOOLEANS = frozenset(name for kind in KINDS.values() for name, read in kind.fields.items() if read is yes_no)


def unnest_order(order: dict[str, Any]) -> Iterator[tuple[str, dict[str, str] | str]]:
    """Yield (kind, fields as texts) for the customer, the lines and the order; a problem's text instead of fields."""
    number = order.get("number")
    customer = order.pop("customer", None)
    lines = order.pop("lines", None)
    if isinstance(customer, dict):
        yield "customers", _as_texts(customer)
        order["customer"] = customer.get("number")
    elif customer is not None:
        order["customer"] = customer
    for index, line in enumerate(lines if isinstance(lines, list) else [], start=1):
        if not isinstance(line, dict):
            yield "lines", "a line must be an object with sku and quantity"
        else:
            yield "lines", _as_texts({"line": str(index), **line, "order": number})
    if lines is not None and not isinstance(lines, list):
        yield "orders", "lines must be a list of objects"
    elif lines == []:
        yield "orders", "lines is empty; leave it out to keep the existing lines, or cancel the order"
    else:
        yield "orders", _as_texts(order)


def _as_texts(values: dict[str, Any]) -> dict[str, str] | str:
    texts = {}
    for name, value in values.items():
        if isinstance(value, bool) and name in BOOLEANS:
            texts[name] = str(value).lower()
        elif value is None or isinstance(value, str):
            texts[name] = value or ""
        else:
            is_field = any(name in kind.fields for kind in KINDS.values())
            return (
                f"{name} is not a text or a number" if is_field else f"unknown: {name}; remove it, or correct its name"
            )
    return texts
