"""What a row of each kind can say, and how its text is read. Texts are trimmed; an empty one is no value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connector.model.keys import normalize_key
from connector.model.stage import Stage

MOST_DIGITS = 18
ISO = ""
YEARS = range(1900, 2201)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?\Z|[+-]?\.\d+\Z", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}\Z")


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a file writes numbers, dates and times; no `dates` means ISO 8601."""

    decimal: str = "."
    thousands: str = ""
    dates: tuple[str, ...] = ()
    zone: tzinfo = UTC


Read = Callable[[str, Form], Any]
"""Trimmed, non-empty text to a value; ValueError says what is wrong and what to do."""


def key(text: str, form: Form) -> str:
    return normalize_key(text)


def text(value: str, form: Form) -> str:
    if "\x00" in value:
        raise ValueError("has a NUL character; take it out")
    return value


def number(value: str, form: Form) -> Decimal:
    plain = value.replace(form.thousands, "") if form.thousands else value
    if form.decimal != ".":
        plain = plain.replace(".", "?").replace(form.decimal, ".")
    if not _NUMBER.match(plain):
        raise ValueError(f"{shown(value)} is no number written with {form.decimal!r} as decimal mark")
    found = Decimal(plain)
    if len(found.as_tuple().digits) > MOST_DIGITS:
        raise ValueError(f"{shown(value)} has more than {MOST_DIGITS} digits")
    return found


def price(value: str, form: Form) -> Decimal:
    found = number(value, form)
    if found < 0:
        raise ValueError(f"{shown(value)} is negative; a price is 0 or more")
    return found


def quantity(value: str, form: Form) -> Decimal:
    found = number(value, form)
    if found <= 0:
        raise ValueError(f"{shown(value)} is not a quantity; it must be more than 0")
    return found


def discount(value: str, form: Form) -> Decimal:
    found = number(value, form)
    if not 0 <= found <= 1:
        raise ValueError(f"{shown(value)} is no discount; write a fraction from 0 to 1 (0.15 for 15 %)")
    return found


def tax_rate(value: str, form: Form) -> Decimal:
    found = number(value, form)
    if not 0 <= found < 1:
        raise ValueError(f"{shown(value)} is no tax rate; write a fraction below 1 (0.19 for 19 %)")
    return found


def line_number(value: str, form: Form) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 999_999:
        raise ValueError(f"{shown(value)} is no line number; write 1, 2, 3, …")
    return int(value)


def currency(value: str, form: Form) -> str:
    if not _CURRENCY.match(value):
        raise ValueError(f"{shown(value)} is no currency; write its three capital letters (USD)")
    return value


def stage(value: str, form: Form) -> str:
    try:
        return Stage(value).value
    except ValueError:
        raise ValueError(f"{shown(value)} is no stage; it is one of {', '.join(Stage)}") from None


def yes_no(value: str, form: Form) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if value.lower() not in known:
        raise ValueError(f"{shown(value)} is neither yes nor no; write true or false")
    return known[value.lower()]


def moment(value: str, form: Form) -> datetime:
    found = _parsed(value, form)
    if found.tzinfo is None:
        found = found.replace(tzinfo=form.zone)
    return found.astimezone(UTC)


def day(value: str, form: Form) -> date:
    return _parsed(value, form).date()


def _parsed(value: str, form: Form) -> datetime:
    for pattern in form.dates or (ISO,):
        try:
            found = datetime.fromisoformat(value) if pattern is ISO else datetime.strptime(value, pattern)  # noqa: DTZ007
        except ValueError:
            continue
        if found.year not in YEARS:
            raise ValueError(f"{shown(value)} is not a plausible date; is its year right?")
        return found
    wanted = " or ".join(form.dates) or "2026-01-31 or 2026-01-31T10:00:00Z"
    raise ValueError(f"{shown(value)} is no date; write it as {wanted}")


def shown(value: str) -> str:
    """A value as a message repeats it: short, on one line."""
    flat = " ".join(value.split())
    return repr(flat if len(flat) <= 40 else flat[:40] + "…")


def zone(name: str) -> tzinfo:
    """ValueError for a name the time zone database does not have."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Berlin") from None


CUSTOMER: Mapping[str, Read] = {
    "number": key, "name": text, "email": text, "phone": text, "street": text, "city": text, "state": text,
    "postal_code": text, "country": text, "first_name": text, "last_name": text,
}  # fmt: skip
PRODUCT: Mapping[str, Read] = {
    "sku": key, "name": text, "description": text, "active": yes_no, "unit_price": price, "currency": currency,
}  # fmt: skip
ORDER: Mapping[str, Read] = {
    "number": key, "customer": key, "placed_at": moment, "currency": currency, "stage": stage, "channel": text,
    "po_number": text, "notes": text, "promised_on": day, "shipped_on": day, "carrier": text, "tracking_number": key,
    "freight": price, "tax_rate": tax_rate, "stated_total": price, "service_level": text, "ship_complete": yes_no,
    "delivery_note": text, "ship_to_name": text, "ship_to_street": text, "ship_to_city": text, "ship_to_state": text,
    "ship_to_postal_code": text, "ship_to_country": text,
}  # fmt: skip
LINE: Mapping[str, Read] = {
    "order": key, "line": line_number, "sku": key, "quantity": quantity, "unit_price": price, "discount": discount,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """`keys` name a row; `required` must have a value, once the entity is new, and cannot be emptied later."""

    name: str
    fields: Mapping[str, Read]
    keys: tuple[str, ...]
    required: tuple[str, ...]


KINDS = {
    "customers": Kind("customer", CUSTOMER, ("number",), ()),
    "products": Kind("product", PRODUCT, ("sku",), ("name",)),
    "orders": Kind("order", ORDER, ("number",), ("customer", "placed_at", "currency")),
    "lines": Kind("line", LINE, ("order", "line"), ("sku", "quantity")),
}
