"""Why an order waits. PURE."""

from __future__ import annotations

from enum import StrEnum


class Hold(StrEnum):
    """Why an order waits for a person."""

    PAYMENT = "payment"
    ADDRESS = "address"
    STOCK = "stock"
    FRAUD = "fraud"
    CREDIT = "credit"
    MANUAL = "manual"
