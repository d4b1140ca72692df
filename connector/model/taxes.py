"""Tax on an order: how it is computed and rounded. PURE.

The rate is a fraction that comes on top of the prices. Tax is computed once, on all that is owed, and rounded half up
to what the currency can pay; it is not added up from rounded lines.
"""

from __future__ import annotations

from decimal import Decimal

from connector.model.money import EXACT, to_cents


def tax_on(untaxed: Decimal, rate: Decimal | None, places: int) -> Decimal:
    """The tax on `untaxed` at `rate` (0.19 is 19 %; None is no tax), with `places` decimals."""
    return to_cents(EXACT.multiply(untaxed, rate or Decimal(0)), places)
