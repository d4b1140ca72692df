"""Canonical JSON: equal values give equal bytes, for digests. PURE."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from connector.model.money import plain


def canonical_bytes(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys; equal numbers are written the same way (1.50 as 1.5)."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)
