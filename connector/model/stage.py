"""The stages of an order, in the sequence in which an order passes them."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """The stage of an order. From `confirmed` on, the order is Activated in the org."""

    PLACED = "placed"
    VERIFIED = "verified"
    CONFIRMED = "confirmed"
    FULFILLING = "fulfilling"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    CANCELED = "canceled"


EARLY = (Stage.PLACED, Stage.VERIFIED, Stage.CONFIRMED, Stage.FULFILLING)
"""The stages before everything has shipped."""
OPEN = (Stage.VERIFIED, Stage.CONFIRMED, Stage.FULFILLING)
"""The stages in which an order is allocated stock."""
