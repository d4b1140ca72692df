"""What is known of a customer beside one order: what else was ordered, what else is owed. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from connector.model.shipments import ZERO


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerHistory:
    """`open_balance`: owed on other orders in the same currency, known for customers with a credit limit only."""

    open_balance: Decimal = ZERO
    orders_of_the_day: int = 0
    earlier_orders: int = 0
