"""The reasons for a hold. PURE."""

from __future__ import annotations

from enum import StrEnum


class Hold(StrEnum):
    """Why an order is on hold: a person must act before it goes on."""

    PAYMENT = "payment"
    ADDRESS = "address"
    STOCK = "stock"
    FRAUD = "fraud"
    CREDIT = "credit"
    MANUAL = "manual"
