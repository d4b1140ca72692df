"""Whether an order that arrives is one that was placed before. PURE.

An order is the same if it was asked for in the same words: not if it is like the one that is stored, for prices may
have been filled in, and much may have happened since. Of those words a digest is kept, which only whoever has the
order's tracking key can make.
"""

from __future__ import annotations

import hmac

from connector.errors import CommandError
from connector.model.keys import check_new_order_number
from connector.model.order import Order, OrderInput
from connector.model.stage import Stage


def digest(key: str, said: bytes) -> str:
    return hmac.new(key.encode(), said, "sha256").hexdigest()


def check_new(item: OrderInput) -> None:
    """CommandError for what cannot be placed."""
    if item.stage is not Stage.PLACED:
        raise CommandError(
            f"Order {item.number} cannot be placed as {item.stage}.",
            hint="Place it, and act on it; or import it.",
            field="stage",
            rule="stage",
        )
    if not item.lines:
        raise CommandError(f"Order {item.number} has no lines.", hint="Name at least one.", field="lines", rule="lines")


def check_length(item: OrderInput) -> None:
    """CommandError for a new order whose number leaves no room for what is added to it."""
    try:
        check_new_order_number(item.number)
    except ValueError as error:
        raise CommandError(f"number: {error}.", field="number", rule="input") from None


def same_head(order: Order, item: OrderInput) -> bool:
    """For orders of whose placement no words are kept."""
    return (order.customer.number, order.currency, order.placed_at) == (item.customer, item.currency, item.placed_at)


def same_lines(order: Order, item: OrderInput) -> bool:
    lines = {line.number: (line.product.sku, line.quantity, line.unit_price, line.discount) for line in order.lines}
    return lines == {line.number: (line.sku, line.quantity, line.unit_price, line.discount) for line in item.lines}


def conflicting_order_error(number: str) -> CommandError:
    return CommandError(
        f"There is another order {number}, with other content.",
        hint="Give it a number of its own; or change the one that is there.",
        field="number",
        rule="idempotency",
    )
