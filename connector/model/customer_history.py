"""The other orders of a customer, as verification rules see them: their number and the open balance. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from connector.model.shipments import ZERO


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerHistory:
    """`open_balance`: owed on other orders in the same currency; 0 for customers without a credit limit.
    `orders_of_the_day`: orders placed on the same day. `earlier_orders`: orders placed before."""

    open_balance: Decimal = ZERO
    orders_of_the_day: int = 0
    earlier_orders: int = 0
