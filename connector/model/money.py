"""How money and quantities are rounded: Decimal all the way, half up, and only where a field forces it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

CENT = Decimal("0.01")
EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
"""Room for what an import takes: 18 digits each of quantity, price and discount, multiplied without a rounding."""


def to_cents(amount: Decimal) -> Decimal:
    """`amount` rounded half up to two decimals, as an invoice would show it."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP, context=EXACT)


def plain(amount: Decimal) -> str:
    """Decimal text without exponent or trailing zeros: `14`, `9.8`, `0.0395`."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
