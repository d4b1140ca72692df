"""NDJSON in our own form: an order with its customer and lines inside, taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connector.orders.importing.fields import KINDS, yes_no

BOOLEANS = frozenset(name for kind in KINDS.values() for name, read in kind.fields.items() if read is yes_no)


def unnested(order: dict[str, Any]) -> Iterator[tuple[str, dict[str, str] | str]]:
    """Customer, lines and the order itself by kind, each a mapping of texts, or what is wrong with it."""
    number = order.get("number")
    customer = order.pop("customer", None)
    lines = order.pop("lines", None)
    if isinstance(customer, dict):
        yield "customers", _texts(customer)
        order["customer"] = customer.get("number")
    elif customer is not None:
        order["customer"] = customer
    for index, line in enumerate(lines if isinstance(lines, list) else [], start=1):
        if not isinstance(line, dict):
            yield "lines", "a line is an object with sku and quantity"
        else:
            yield "lines", _texts({"line": str(index), **line, "order": number})
    if lines is not None and not isinstance(lines, list):
        yield "orders", "lines is a list of objects"
    elif lines == []:
        yield "orders", "lines is empty; leave it out to keep those there are, or cancel the order"
    else:
        yield "orders", _texts(order)


def _texts(values: dict[str, Any]) -> dict[str, str] | str:
    found = {}
    for name, value in values.items():
        if isinstance(value, bool) and name in BOOLEANS:
            found[name] = str(value).lower()
        elif value is None or isinstance(value, str):
            found[name] = value or ""
        else:
            known = any(name in kind.fields for kind in KINDS.values())
            return (
                f"{name} is not a text or a number" if known else f"unknown: {name}; take it out, or correct its name"
            )
    return found
