"""What happens besides the edits of a schedule: a customer and an order are created, and a rep deletes lines.

It has a source of chance of its own, so that the rest of a schedule does not depend on it.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal

from connector.model.order import LineInput, OrderInput
from connector.model.stage import Stage
from tests.order_builders import order_input

CREATE = "create"
LINES = ("N-1-1", "N-2-1", "N-3-1")
ORDERS = ("N-1", "N-2")


class Extras:
    """Draws what happens before an action."""

    def __init__(self, seed: int, *, actions: int) -> None:
        self._random = random.Random(f"extras of {seed}")
        self._action = 0
        self._create_at = self._random.randint(1, actions)
        self.is_created = False
        self.deleted: dict[str, str] = {}
        """The IDs of orders in the recycle bin, by key."""

    def draw(self) -> str | None:
        """`create`, the key of a line to delete, that of an order to delete or to undelete, or nothing; most often
        nothing."""
        self._action += 1
        if not self.is_created and self._action >= self._create_at:
            self.is_created = True
            return CREATE
        chance = self._random.random()
        return self._random.choice(LINES if chance < 0.05 else ORDERS) if chance < 0.09 else None


def new_order(number: str, customer: str) -> OrderInput:
    line = LineInput(number=1, sku="P-1", quantity=Decimal(2), unit_price=Decimal(14))
    return order_input(
        number=number,
        customer=customer,
        placed_at=datetime(2026, 2, 3, tzinfo=UTC),
        currency="USD",
        stage=Stage.PLACED,
        lines=(line,),
    )
