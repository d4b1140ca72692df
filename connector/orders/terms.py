"""New terms for the lines of an order: products must exist and be sold, a price that is not named is the list price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import CommandError
from connector.model.event import Event, Terms
from connector.model.order import Order
from connector.model.product import Product
from connector.store import products


async def completed(connection: AsyncConnection, order: Order, event: Event) -> Event:
    """`event` with every term filled in; CommandError naming line and rule."""
    catalogue = await products.find(connection, {terms.sku for terms in event.terms.values()})
    known = {line.number: line for line in order.lines}
    filled: dict[int, Terms] = {}
    for number, terms in event.terms.items():
        line = known.get(number)
        product = catalogue.get(terms.sku)
        if line is not None and line.product.sku != terms.sku:
            what = f"line {number} is of {line.product.sku}, not of {terms.sku}"
            raise _refused(order, number, "sku", what, "Take it out, and put in another line.", "product")
        if product is None:
            raise _refused(order, number, "sku", f"there is no product {terms.sku}", "Correct the SKU.", "product")
        if line is None and not product.active:
            raise _refused(order, number, "sku", f"{terms.sku} is no longer sold", "Choose another.", "product")
        if terms.unit_price is None:
            terms = replace(terms, unit_price=line.unit_price if line else _listed(product, order.currency))
        filled[number] = terms
    return replace(event, terms=filled)


def _listed(product: Product, currency: str) -> Decimal | None:
    return next((price.unit_price for price in product.prices if price.currency == currency), None)


def _refused(order: Order, number: int, field: str, what: str, hint: str, rule: str) -> CommandError:
    return CommandError(
        f"Order {order.number} cannot change: {what}.", hint=hint, field=f"terms.{number}.{field}", rule=rule
    )
