"""HTTP and import read the same text as the same value, or both reject it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connector.api.schemas import Currency, Day, Key, Moment, Number
from connector.orders.importing import field_parsers
from connector.orders.importing.field_parsers import NumberAndDateFormat

REFUSED = "refused"


def by_http(kind: Any, text: str) -> Any:
    try:
        found = TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return REFUSED
    return found.astimezone(UTC) if isinstance(found, datetime) else found


def by_import(read: Any, text: str) -> Any:
    try:
        return read(text.strip(), NumberAndDateFormat()) if text.strip() else REFUSED
    except ValueError:
        return REFUSED


EIGHT = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T08:00:00Z", EIGHT),
        ("2026-01-31t08:00:00z", EIGHT),
        ("2026-01-31T08:00:00+00:00", EIGHT),
        ("2026-01-31T10:00+02:00", EIGHT),
        ("2026-01-31T10:00+0200", EIGHT),
        ("2026-01-31 08:00:00", EIGHT),
        ("2026-01-31 10:00:00 +02", EIGHT),
        ("2026-01-31T08:00:00", EIGHT),
        ("2026-01-31 08:00:00 UTC", EIGHT),
        (" 2026-01-31T08:00 ", EIGHT),
        ("2026-01-31T08", EIGHT),
        ("20260131T080000Z", EIGHT),
        ("2026-01-31", EIGHT.replace(hour=0)),
        ("20260131", EIGHT.replace(hour=0)),
        ("2026-01-31T08:00:00.5Z", EIGHT.replace(microsecond=500_000)),
        ("2026-01-31T08:00:00.123456789Z", EIGHT.replace(microsecond=123_456)),
        ("2200-12-31T23:59:59Z", datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC)),
        *((text, REFUSED) for text in (
            "", "0001-01-01", "1899-12-31T23:59:59Z", "2201-01-01", "9999-12-31T23:59:59-14:00", "1767225600", "1e9",
            "2026-02-30", "2026-1-31", "2026-W05-6", "2026-01-31T25:00Z", "2026-01-31T24:00:00Z",
            "2026-01-31T08:00:60Z", "2026-01-31T08:00:00+25:00", "31.01.2026", "01/31/2026", "tomorrow",
            "2026-01-31T08:00:00 CET", "\u0662\u0660\u0662\u0666-01-31", "2026-01-31T08:00:00ZZ",
        )),
    ],
)  # fmt: skip
def test_time_is_read_the_same_by_http_and_import(text: str, moment: Any) -> None:
    assert by_http(Moment, text) == by_import(field_parsers.moment, text) == moment
    day = by_import(field_parsers.day, text)
    assert by_http(Day, text) == day
    assert (day == REFUSED) == (moment == REFUSED)
    assert day in {REFUSED, date(2026, 1, 31), date(2200, 12, 31)}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", Decimal(5)), ("+5", Decimal(5)), ("-0.50", Decimal("-0.50")), (".5", Decimal("0.5")),
        (" 5 ", Decimal(5)), ("0", Decimal(0)),
        *((text, REFUSED) for text in (
            "", "1_000", "1e3", "1E-2", "5.", "1,000", "\u0661\u0662", "NaN", "Infinity", "-inf", "1e999",
            "9" * 19, "0x10",
            "--1", "$5", "1 000", "True",
        )),
    ],
)  # fmt: skip
def test_number_is_read_the_same_by_http_and_import(text: str, number: Any) -> None:
    assert by_http(Number, text) == by_import(field_parsers.number, text) == number


@pytest.mark.parametrize(
    "text", ["M-1", "M-1 ", "\u00a0M-1", "M\u200b1", "M\u202e1", "x" * 81, "", "A  B", "Cafe\u0301"]
)
def test_key_is_read_the_same_by_http_and_import(text: str) -> None:
    assert by_http(Key, text) == by_import(field_parsers.key, text)


@pytest.mark.parametrize("text", ["USD", "usd", "US", "USDD", "US\u0130", "USD\n1", ""])
def test_currency_is_read_the_same_by_http_and_import(text: str) -> None:
    assert by_http(Currency, text) == by_import(field_parsers.currency, text)
