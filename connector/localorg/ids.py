"""Record IDs: 15 case-sensitive base-62 characters, shown as 18 with a checksum that survives lost case."""

from __future__ import annotations

import re

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?\Z")
_INSTANCE = "Lo0"


def checksum(short: str) -> str:
    """Return the last three characters: one per block of five, with bit i set where character i is upper case."""
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << i for i, char in enumerate(short[start : start + 5]) if "A" <= char <= "Z")
        suffix += _SUFFIX[bits]
    return suffix


def make(prefix: str, number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    short = f"{prefix}{_INSTANCE}{digits.rjust(9, '0')}"
    return short + checksum(short)


def normalize(value: str) -> str | None:
    """Return the 18-character form of a well-formed ID, else None."""
    if not _SHAPE.match(value):
        return None
    full = value[:15] + checksum(value[:15])
    return full if len(value) == 15 or value == full else None


ADMINISTRATOR_ID = make("005", 1)
"""The first user of every org."""
