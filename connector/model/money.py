"""How money and quantities are rounded: Decimal all the way, half up, and only where a field forces it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
"""Room for what an import takes: 18 digits each of quantity, price and discount, multiplied without a rounding."""


CENTS = 2
_NONE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
_THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
PLACES: Mapping[str, int] = {**dict.fromkeys(_NONE, 0), **dict.fromkeys(_THREE, 3)}
"""Decimals of the currencies (ISO 4217) that have others than two."""


def places_of(currency: str) -> int:
    """How many decimals an amount to be paid has."""
    return PLACES.get(currency, CENTS)


def to_cents(amount: Decimal, places: int = CENTS) -> Decimal:
    """`amount` rounded half up to what can be paid, as an invoice would show it: cents, or `places` decimals."""
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP, context=EXACT)


def plain(amount: Decimal) -> str:
    """Decimal text without exponent or trailing zeros: `14`, `9.8`, `0.0395`."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
