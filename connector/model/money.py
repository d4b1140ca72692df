"""Rounding of money and quantities: always Decimal, half up, and only where a field cannot hold more digits."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
"""Enough digits to multiply a quantity, a price and a discount of 18 digits each without rounding."""


CENTS = 2
_NONE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
_THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
PLACES: Mapping[str, int] = {**dict.fromkeys(_NONE, 0), **dict.fromkeys(_THREE, 3)}
"""Decimals of the currencies (ISO 4217) that do not have two."""


def places_of(currency: str) -> int:
    """Return the number of decimals of an amount that can be paid in `currency`."""
    return PLACES.get(currency, CENTS)


def to_cents(amount: Decimal, places: int = CENTS) -> Decimal:
    """Return `amount` rounded half up to an amount that can be paid: cents, or `places` decimals."""
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP, context=EXACT)


def money_text(amount: Decimal, places: int) -> str:
    """Return `amount` with the decimals of its currency, and more if it has more: `580.80`, `0.0395`."""
    whole, point, fraction = plain(amount).partition(".")
    return f"{whole}.{fraction.ljust(places, '0')}" if point or places else whole


def plain(amount: Decimal) -> str:
    """Return `amount` as text without exponent or trailing zeros: `14`, `9.8`, `0.0395`."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
