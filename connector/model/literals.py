"""Parse times, days and numbers, the same way for HTTP, the command line and imports. PURE.

Ambiguous spellings are rejected: seconds since 1970, week dates, digits of other scripts.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal

YEARS = range(1900, 2201)
"""The years that are accepted; any other is taken for a mistake."""
MOST_DIGITS = 18

_ISO = re.compile(
    r"(?:\d{4}-\d{2}-\d{2}|\d{8})(?:[Tt ](?:[01]\d|2[0-3])(?::?\d{2}(?::?\d{2}(?:[.,]\d{1,9})?)?)?"
    r" ?(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_ZONE = re.compile("UTC|GMT")
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)", re.ASCII)


def parse_moment(text: str, zone: tzinfo = UTC) -> datetime:
    """Parse an ISO 8601 date with or without a time. Without an offset it is in `zone`; without a time it is midnight.

    Raises ValueError; the message continues a sentence that begins with the name of the field.
    """
    moment = _parse(text, "must be a time or a day, as 2026-01-31T08:00:00Z or 2026-01-31")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def parse_day(text: str) -> date:
    """Return the day of an ISO 8601 date, as it is written, with or without a time. ValueError as for parse_moment."""
    return _parse(text, "must be a day, as 2026-01-31").date()


def parse_decimal(text: str) -> Decimal:
    """Parse a decimal number; every digit is kept. ValueError as for parse_moment."""
    bare = text.strip()
    if not _DECIMAL.fullmatch(bare):
        raise ValueError("must be a number or a numeric text")
    return Decimal(bare) if len(bare) <= MOST_DIGITS else check_digits(Decimal(bare))


def check_digits(number: Decimal) -> Decimal:
    """Return `number`; ValueError if it has more digits than the databases and the org keep."""
    if not number.is_finite() or len(number.as_tuple().digits) > MOST_DIGITS or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError(f"must be a number of at most {MOST_DIGITS} digits")
    return number


def check_year(year: int) -> None:
    if year not in YEARS:
        raise ValueError(f"must be in a year from {YEARS[0]} to {YEARS[-1]}")


def _parse(text: str, wanted: str) -> datetime:
    bare = text.strip()
    if not _ISO.fullmatch(bare):
        raise ValueError(wanted)
    try:
        moment = datetime.fromisoformat(
            _ZONE.sub("Z", bare.upper().replace(" ", "T", 1)).replace(" ", "").replace(",", ".")
        )
    except ValueError:
        what = "time" if _is_day(bare[:10] if "-" in bare[:5] else bare[:8]) else "day"
        raise ValueError(f"names a {what} that does not exist") from None
    check_year(moment.year)
    return moment


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
