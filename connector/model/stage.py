"""The stages of an order, in the order in which it passes them."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Where an order stands; from `confirmed` on, the org's order is Activated."""

    PLACED = "placed"
    VERIFIED = "verified"
    CONFIRMED = "confirmed"
    FULFILLING = "fulfilling"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    CANCELED = "canceled"


EARLY = (Stage.PLACED, Stage.VERIFIED, Stage.CONFIRMED, Stage.FULFILLING)
"""As long as something of it is still here, or to come."""
OPEN = (Stage.VERIFIED, Stage.CONFIRMED, Stage.FULFILLING)
"""In these stages an order is given stock."""
