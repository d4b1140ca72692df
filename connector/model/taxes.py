"""Tax on an order: how it is computed and rounded. PURE.

The rate is a fraction that is added to the prices. Tax is computed once, on the whole amount, and rounded half up to
the smallest unit of the currency; it is not the sum of taxes rounded by line.
"""

from __future__ import annotations

from decimal import Decimal

from connector.model.money import EXACT, to_cents


def tax_on(untaxed: Decimal, rate: Decimal | None, places: int) -> Decimal:
    """Return the tax on `untaxed` at `rate` (0.19 is 19 %; None is no tax), rounded to `places` decimals."""
    return to_cents(EXACT.multiply(untaxed, rate or Decimal(0)), places)
