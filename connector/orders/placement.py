"""Placing an order: what may be placed, and whether an order that arrives was placed before.

A repeat is recognized by what the caller sent, not by the stored order: prices may have been filled in, and the order
may have changed since. Only a digest of what was sent is kept; it is keyed by the order's tracking key, so nobody can
test a guessed content without that key.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector.errors import CommandError
from connector.model.customer import Customer
from connector.model.keys import check_new_order_number
from connector.model.order import Order, OrderInput
from connector.model.stage import Stage
from connector.store import customers
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One order to place.

    `content` is what the caller sent, by which a repeat is recognized; None: the order itself. `moment_given` is False
    where the caller named no `placed_at`: a repeat then has the moment of the first time. `customer` are values of the
    customer that came with a new order.
    """

    order: OrderInput
    content: bytes | None = None
    moment_given: bool = True
    customer: Mapping[str, object] | None = None


async def save_customer(uow: UnitOfWork, number: str, values: Mapping[str, Any]) -> None:
    """Create or update the customer with the values that came with an order. The tier and the credit limit of a stored
    customer are not changed by an order."""
    await customers.versions(uow.connection, [number], lock=True)
    stored = await customers.load(uow.connection, [number])
    if not stored:
        await customers.save(uow, [Customer.named_by_order(number=number, **values)])
        return
    trusted = {name: value for name, value in values.items() if name not in {"tier", "credit_limit", "payment_terms"}}
    await customers.save(uow, [stored[0].updated_from_order(**trusted)])


def digest(key: str, content: bytes) -> str:
    """Return the digest of what was sent, keyed by the order's tracking key."""
    """Return the digest of what was sent, keyed by the order's tracking key."""
    return hmac.new(key.encode(), content, "sha256").hexdigest()


def check_new(item: OrderInput) -> None:
    """Raise CommandError for an order that cannot be placed: in a later stage, or without lines."""
    if item.stage is not Stage.PLACED:
        raise CommandError(
            f"Order {item.number} cannot be placed as {item.stage}.",
            hint="Place it and act on it, or import it.",
            field="stage",
            rule="stage",
        )
    if not item.lines:
        raise CommandError(f"Order {item.number} has no lines.", hint="Name at least one.", field="lines", rule="lines")


def check_length(item: OrderInput) -> None:
    """Raise CommandError if the number of a new order is too long for the suffixes of its lines and returns."""
    try:
        check_new_order_number(item.number)
    except ValueError as error:
        raise CommandError(f"number: {error}.", field="number", rule="input") from None


def same_head(order: Order, item: OrderInput) -> bool:
    """Return whether customer, currency and time are equal; for stored orders without a digest."""
    header = item.header
    stored = (order.customer.number, order.currency, order.header.placed_at)
    return stored == (item.customer, header.currency, header.placed_at)


def same_lines(order: Order, item: OrderInput) -> bool:
    lines = {line.number: (line.product.sku, line.quantity, line.unit_price, line.discount) for line in order.lines}
    return lines == {line.number: (line.sku, line.quantity, line.unit_price, line.discount) for line in item.lines}


def conflicting_order_error(number: str) -> CommandError:
    return CommandError(
        f"Order {number} exists already, with other content.",
        hint="Use another number, or change the existing order.",
        field="number",
        rule="idempotency",
    )
