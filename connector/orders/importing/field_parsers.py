"""The fields that a row of each kind can have, and the functions that read a field's text.

The functions get trimmed, non-empty texts; an empty cell has no value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connector.model.keys import normalize_key
from connector.model.literals import MOST_DIGITS, YEARS, parse_decimal, parse_moment
from connector.model.order_header import HEADER_FIELDS, FieldKind, names_of
from connector.model.stage import Stage
from connector.model.storable_text import NOT_STORABLE

_IN_PARENTHESES = re.compile(r"\((.+)\)\Z")
_IMPLAUSIBLE = "is not a plausible date: check its year"
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_UTC = re.compile(r"(.*\d)\s*(?:UTC|GMT|Z)\Z", re.IGNORECASE | re.DOTALL)
NO_BREAK_SPACES = "\u00a0\u202f"
YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class BadValueError(ValueError):
    """A text is not valid for its field. `kind` groups the errors of one sort in the report, whatever their value."""

    def __init__(self, what: str, *, value: str | None = None, kind: str = "") -> None:
        super().__init__(what if value is None else f"{quote_value(value)} {what}")
        self.kind = kind or what


@dataclass(frozen=True, kw_only=True)
class NumberAndDateFormat:
    """How a file writes numbers, dates and times. Without `dates` it is ISO 8601; without `sign` amounts have no
    currency sign."""

    decimal: str = "."
    thousands: str = ""
    sign: str = ""
    dates: tuple[str, ...] = ()
    zone: tzinfo = UTC


FieldReader = Callable[[str, NumberAndDateFormat], Any]
"""Reads a trimmed, non-empty text; raises BadValueError, which says what is wrong and what to do."""


def key(text: str, form: NumberAndDateFormat) -> str:
    try:
        return normalize_key(text)
    except ValueError as error:
        raise BadValueError(str(error), kind="is not a valid key") from None


def text(value: str, form: NumberAndDateFormat) -> str:
    return _check_storable(value)


def _check_storable(value: str) -> str:
    if match := NOT_STORABLE.search(value):
        problem = "a NUL character" if match[0] == "\x00" else "half of a character (a lone surrogate)"
        raise BadValueError(f"has {problem}; remove it")
    return value


def number(value: str, form: NumberAndDateFormat) -> Decimal:
    plain = _without_thousands_marks(value, form) if form.thousands else value
    if form.decimal != ".":
        plain = plain.replace(".", "?").replace(form.decimal, ".")
    try:
        return parse_decimal(plain)
    except ValueError as error:
        what = f"has more than {MOST_DIGITS} digits" if "digits" in str(error) else _number_problem(value, form)
        raise BadValueError(what, value=value) from None


def _without_thousands_marks(value: str, form: NumberAndDateFormat) -> str:
    """Remove the thousands marks of `value`.

    Raises BadValueError if a mark does not separate groups of digits: it is then probably a decimal mark, in a file
    that is not written as the profile says, and removing it would turn 12,5 into 125.
    """
    mark = form.thousands
    plain = value.translate(dict.fromkeys(map(ord, NO_BREAK_SPACES), " ")) if mark == " " else value
    if mark not in plain:
        return plain
    integer_part, point, fraction = plain.partition(form.decimal)
    first, *groups = integer_part.lstrip("+-").split(mark)
    if (
        mark in fraction
        or not 1 <= len(first) <= 3
        or len(groups[-1]) != 3
        or any(len(x) not in {2, 3} for x in groups)
    ):
        raise BadValueError(f"has its thousands mark {mark!r} in the wrong place", value=value)
    return integer_part.replace(mark, "") + point + fraction


def _number_problem(value: str, form: NumberAndDateFormat) -> str:
    if any(unicodedata.category(char) == "Sc" for char in value):
        allowed = f"only the sign {form.sign!r}" if form.sign else "no currency sign"
        return f"has a currency sign; the profile names {allowed} (`currency_sign`)"
    if "%" in value:
        return "is a percentage; write a fraction (0.15), or translate it with `values` in a profile"
    other_mark = "," if form.decimal == "." else "."
    if re.fullmatch(r"[+-]?[0-9.,]+", value) and other_mark in value:
        return f"is not a number: expected {form.decimal!r} as the decimal mark"
    return f"is not a number: expected one as 12{form.decimal}5"


def amount(value: str, form: NumberAndDateFormat) -> Decimal:
    """Read a number with or without the file's currency sign; a number in parentheses is negative."""
    plain = value
    enclosed = _IN_PARENTHESES.match(plain)
    if enclosed:
        plain = enclosed[1].strip()
    if form.sign and form.sign in plain:
        minus, unsigned = ("-", plain[1:].lstrip()) if plain.startswith("-") else ("", plain)
        plain = minus + (unsigned.removeprefix(form.sign) if unsigned.startswith(form.sign)
                         else unsigned.removesuffix(form.sign)).strip()  # fmt: skip
    try:
        parsed = number(plain, form)
    except BadValueError as error:
        raise BadValueError(error.kind, value=value) from None
    return -parsed if enclosed else parsed


def price(value: str, form: NumberAndDateFormat) -> Decimal:
    parsed = amount(value, form)
    if parsed < 0:
        raise BadValueError("is not a price: expected 0 or more", value=value)
    return parsed


def quantity(value: str, form: NumberAndDateFormat) -> Decimal:
    parsed = number(value, form)
    if parsed <= 0:
        raise BadValueError("is not a quantity: expected more than 0", value=value)
    return parsed


def discount(value: str, form: NumberAndDateFormat) -> Decimal:
    parsed = number(value, form)
    if not 0 <= parsed <= 1:
        raise BadValueError("is not a discount: expected a fraction from 0 to 1 (0.15 for 15 %)", value=value)
    return parsed


def tax_rate(value: str, form: NumberAndDateFormat) -> Decimal:
    parsed = number(value, form)
    if not 0 <= parsed < 1:
        raise BadValueError("is not a tax rate: expected a fraction from 0 to below 1 (0.19 for 19 %)", value=value)
    return parsed


def line_number(value: str, form: NumberAndDateFormat) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 6 or int(value) < 1:
        raise BadValueError("is not a line number: expected 1, 2, 3, …", value=value)
    return int(value)


def currency(value: str, form: NumberAndDateFormat) -> str:
    if not _CURRENCY.match(value):
        raise BadValueError("is not a currency: expected three capital letters (USD)", value=value)
    return value


def stage(value: str, form: NumberAndDateFormat) -> str:
    try:
        return Stage(value).value
    except ValueError:
        raise BadValueError(f"is not a stage: expected one of {', '.join(Stage)}", value=value) from None


def yes_no(value: str, form: NumberAndDateFormat) -> bool:
    if value.lower() not in YES_NO:
        raise BadValueError("is not a yes/no value: expected true or false", value=value)
    return YES_NO[value.lower()]


def moment(value: str, form: NumberAndDateFormat) -> datetime:
    parsed = _parse_date_time(value, form)
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=form.zone)).astimezone(UTC)


def day(value: str, form: NumberAndDateFormat) -> date:
    return _parse_date_time(value, form).date()


def _parse_date_time(value: str, form: NumberAndDateFormat) -> datetime:
    """Read a date or time: in the file's date formats, or if it has none in ISO 8601, as the HTTP API does.

    A time without a time zone is in that of the file.
    """
    if not form.dates:
        try:
            return parse_moment(value, form.zone)
        except ValueError as error:
            what = "is not a date: expected 2026-01-31 or 2026-01-31T10:00:00Z"
            if "year" in str(error):
                what = _IMPLAUSIBLE
            elif "exist" in str(error):
                what = str(error)
            raise BadValueError(what, value=value) from None
    parsed = _parse_by_formats(value, form)
    if parsed is None and (plain := _UTC.match(value)):
        parsed = _parse_by_formats(plain[1], form)
        parsed = parsed.replace(tzinfo=UTC) if parsed is not None and parsed.tzinfo is None else None
    if parsed is None:
        raise BadValueError(f"is not a date: expected {' or '.join(form.dates)}", value=value)
    if parsed.year not in YEARS:
        raise BadValueError(_IMPLAUSIBLE, value=value)
    return parsed


def _parse_by_formats(value: str, form: NumberAndDateFormat) -> datetime | None:
    for pattern in form.dates:
        try:
            return datetime.strptime(value, pattern)  # noqa: DTZ007
        except ValueError:
            continue
    return None


def quote_value(value: str) -> str:
    """Quote a value for a message: on one line, with 40 characters at most."""
    flat = " ".join(value.split())
    return repr(flat if len(flat) <= 40 else flat[:40] + "…")


def time_zone(name: str) -> tzinfo:
    """Return the time zone of that name; raises ValueError if the time zone database does not have it."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone: expected a name such as Europe/Berlin") from None


NUMBERS = frozenset(
    {
        "quantity",
        "unit_price",
        "discount",
        *names_of(lambda info: info.kind in {FieldKind.MONEY, FieldKind.RATE}),
    }
)
MOMENTS = frozenset(names_of(lambda info: info.kind is FieldKind.MOMENT))
DAYS = frozenset(names_of(lambda info: info.kind is FieldKind.DAY))

_HEADER: Mapping[FieldKind, FieldReader] = {
    FieldKind.KEY: key,
    FieldKind.TEXT: text,
    FieldKind.CURRENCY: currency,
    FieldKind.MONEY: price,
    FieldKind.RATE: tax_rate,
    FieldKind.DAY: day,
    FieldKind.MOMENT: moment,
    FieldKind.FLAG: yes_no,
}

CUSTOMER: Mapping[str, FieldReader] = {
    "number": key, "name": text, "email": text, "phone": text, "street": text, "city": text, "state": text,
    "postal_code": text, "country": text, "first_name": text, "last_name": text, "payment_terms": text,
}  # fmt: skip
PRODUCT: Mapping[str, FieldReader] = {
    "sku": key, "name": text, "description": text, "active": yes_no, "unit_price": price, "currency": currency,
}  # fmt: skip
ORDER: Mapping[str, FieldReader] = {
    **{name: _HEADER[info.kind] for name, info in HEADER_FIELDS.items()}, "customer": key, "stage": stage
}  # fmt: skip
"""The key is the first field, as in every kind."""
LINE: Mapping[str, FieldReader] = {
    "order": key, "line": line_number, "sku": key, "quantity": quantity, "unit_price": price, "discount": discount,
}  # fmt: skip


@dataclass(frozen=True)
class RowKind:
    """A kind of row. `keys` identify its entity. A new entity needs the `required` fields; no row can empty them."""

    name: str
    fields: Mapping[str, FieldReader]
    keys: tuple[str, ...]
    required: tuple[str, ...]


KINDS = {
    "customers": RowKind("customer", CUSTOMER, ("number",), ()),
    "products": RowKind("product", PRODUCT, ("sku",), ("name",)),
    "orders": RowKind("order", ORDER, ("number",), ("customer", "placed_at", "currency")),
    "lines": RowKind("line", LINE, ("order", "line"), ("sku", "quantity")),
}


def typed_value(name: str, value: Any) -> Any:
    """Convert a value that the spool stores as text to the type of its field."""
    if not isinstance(value, str):
        return value
    if name in NUMBERS:
        return Decimal(value)
    if name in MOMENTS:
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if name in DAYS else value
