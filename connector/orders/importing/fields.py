"""What a row of each kind can say, and how its text is read. Texts are trimmed; an empty one is no value."""

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

_IN_PARENTHESES = re.compile(r"\((.+)\)\Z")
_IMPLAUSIBLE = "is not a plausible date; is its year right?"
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")
"""What no database keeps: NUL, and half of a character."""
_UTC = re.compile(r"(.*\d)\s*(?:UTC|GMT|Z)\Z", re.IGNORECASE | re.DOTALL)
NO_BREAK_SPACES = "\u00a0\u202f"
YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class BadValueError(ValueError):
    """A text that a field cannot take. `kind` is the same for all values that are wrong in the same way."""

    def __init__(self, what: str, *, value: str | None = None, kind: str = "") -> None:
        super().__init__(what if value is None else f"{shown(value)} {what}")
        self.kind = kind or what


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a file writes numbers, dates and times; no `dates` means ISO 8601, no `sign` that amounts have none."""

    decimal: str = "."
    thousands: str = ""
    sign: str = ""
    dates: tuple[str, ...] = ()
    zone: tzinfo = UTC


Read = Callable[[str, Form], Any]
"""Trimmed, non-empty text to a value; BadValueError says what is wrong and what to do."""


def key(text: str, form: Form) -> str:
    try:
        return normalize_key(text)
    except ValueError as error:
        raise BadValueError(str(error), kind="is no key") from None


def text(value: str, form: Form) -> str:
    return _whole(value)


def _whole(value: str) -> str:
    if found := _NO_TEXT.search(value):
        named = "a NUL character" if found[0] == "\x00" else "half of a character (a lone surrogate)"
        raise BadValueError(f"has {named}; take it out")
    return value


def number(value: str, form: Form) -> Decimal:
    plain = _grouped(value, form) if form.thousands else value
    if form.decimal != ".":
        plain = plain.replace(".", "?").replace(form.decimal, ".")
    try:
        return parse_decimal(plain)
    except ValueError as error:
        what = f"has more than {MOST_DIGITS} digits" if "digits" in str(error) else _not_a_number(value, form)
        raise BadValueError(what, value=value) from None


def _grouped(value: str, form: Form) -> str:
    """`value` without its thousands marks. A mark that does not stand before three digits is a decimal mark in a file
    that is not written as the profile says, and would make 12,5 to 125."""
    mark = form.thousands
    plain = value.translate(dict.fromkeys(map(ord, NO_BREAK_SPACES), " ")) if mark == " " else value
    if mark not in plain:
        return plain
    whole, point, rest = plain.partition(form.decimal)
    first, *groups = whole.lstrip("+-").split(mark)
    if mark in rest or not 1 <= len(first) <= 3 or len(groups[-1]) != 3 or any(len(x) not in {2, 3} for x in groups):
        raise BadValueError(f"has its thousands mark {mark!r} in the wrong place", value=value)
    return whole.replace(mark, "") + point + rest


def _not_a_number(value: str, form: Form) -> str:
    if any(unicodedata.category(letter) == "Sc" for letter in value):
        named = f"only the sign {form.sign!r}" if form.sign else "no currency sign"
        return f"has a currency sign; the profile names {named} (`currency_sign`)"
    if "%" in value:
        return "is a percentage; write a fraction (0.15), or translate it with `values` in a profile"
    return f"is no number written with {form.decimal!r} as decimal mark"


def amount(value: str, form: Form) -> Decimal:
    """A number with or without the currency sign of the file, and in parentheses if it is negative."""
    plain = value
    enclosed = _IN_PARENTHESES.match(plain)
    if enclosed:
        plain = enclosed[1].strip()
    if form.sign and form.sign in plain:
        minus, unsigned = ("-", plain[1:].lstrip()) if plain.startswith("-") else ("", plain)
        plain = minus + (unsigned.removeprefix(form.sign) if unsigned.startswith(form.sign)
                         else unsigned.removesuffix(form.sign)).strip()  # fmt: skip
    try:
        found = number(plain, form)
    except BadValueError as error:
        raise BadValueError(error.kind, value=value) from None
    return -found if enclosed else found


def price(value: str, form: Form) -> Decimal:
    found = amount(value, form)
    if found < 0:
        raise BadValueError("is negative; a price is 0 or more", value=value)
    return found


def quantity(value: str, form: Form) -> Decimal:
    found = number(value, form)
    if found <= 0:
        raise BadValueError("is not a quantity; it must be more than 0", value=value)
    return found


def discount(value: str, form: Form) -> Decimal:
    found = number(value, form)
    if not 0 <= found <= 1:
        raise BadValueError("is no discount; write a fraction from 0 to 1 (0.15 for 15 %)", value=value)
    return found


def tax_rate(value: str, form: Form) -> Decimal:
    found = number(value, form)
    if not 0 <= found < 1:
        raise BadValueError("is no tax rate; write a fraction below 1 (0.19 for 19 %)", value=value)
    return found


def line_number(value: str, form: Form) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 6 or int(value) < 1:
        raise BadValueError("is no line number; write 1, 2, 3, …", value=value)
    return int(value)


def currency(value: str, form: Form) -> str:
    if not _CURRENCY.match(value):
        raise BadValueError("is no currency; write its three capital letters (USD)", value=value)
    return value


def stage(value: str, form: Form) -> str:
    try:
        return Stage(value).value
    except ValueError:
        raise BadValueError(f"is no stage; it is one of {', '.join(Stage)}", value=value) from None


def yes_no(value: str, form: Form) -> bool:
    if value.lower() not in YES_NO:
        raise BadValueError("is neither yes nor no; write true or false", value=value)
    return YES_NO[value.lower()]


def moment(value: str, form: Form) -> datetime:
    found = _parsed(value, form)
    return (found if found.tzinfo is not None else found.replace(tzinfo=form.zone)).astimezone(UTC)


def day(value: str, form: Form) -> date:
    return _parsed(value, form).date()


def _parsed(value: str, form: Form) -> datetime:
    """As HTTP reads it where the file names no form; a time without a zone is in that of the file."""
    if not form.dates:
        try:
            return parse_moment(value, form.zone)
        except ValueError as error:
            what = (
                _IMPLAUSIBLE if "year" in str(error) else "is no date; write it as 2026-01-31 or 2026-01-31T10:00:00Z"
            )
            raise BadValueError(what, value=value) from None
    found = _matched(value, form)
    if found is None and (plain := _UTC.match(value)):
        found = _matched(plain[1], form)
        found = found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else None
    if found is None:
        raise BadValueError(f"is no date; write it as {' or '.join(form.dates)}", value=value)
    if found.year not in YEARS:
        raise BadValueError(_IMPLAUSIBLE, value=value)
    return found


def _matched(value: str, form: Form) -> datetime | None:
    for pattern in form.dates:
        try:
            return datetime.strptime(value, pattern)  # noqa: DTZ007
        except ValueError:
            continue
    return None


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

_HEADER: Mapping[FieldKind, Read] = {
    FieldKind.KEY: key,
    FieldKind.TEXT: text,
    FieldKind.CURRENCY: currency,
    FieldKind.MONEY: price,
    FieldKind.RATE: tax_rate,
    FieldKind.DAY: day,
    FieldKind.MOMENT: moment,
    FieldKind.FLAG: yes_no,
}

CUSTOMER: Mapping[str, Read] = {
    "number": key, "name": text, "email": text, "phone": text, "street": text, "city": text, "state": text,
    "postal_code": text, "country": text, "first_name": text, "last_name": text,
}  # fmt: skip
PRODUCT: Mapping[str, Read] = {
    "sku": key, "name": text, "description": text, "active": yes_no, "unit_price": price, "currency": currency,
}  # fmt: skip
ORDER: Mapping[str, Read] = {
    **{name: _HEADER[info.kind] for name, info in HEADER_FIELDS.items()}, "customer": key, "stage": stage
}  # fmt: skip
"""The key comes first."""
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


def typed_value(name: str, value: Any) -> Any:
    """A value that the spool keeps as text, as a value of its field."""
    if not isinstance(value, str):
        return value
    if name in NUMBERS:
        return Decimal(value)
    if name in MOMENTS:
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if name in DAYS else value
