"""Fill in what an order leaves out: list prices and the address; check that its products exist and are sold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from connector.errors import CommandError
from connector.model.customer import Customer
from connector.model.events import ChangeOrder, LineEdit
from connector.model.order import LineInput, Order, OrderInput
from connector.model.order_header import ADDRESS
from connector.model.product import Product
from connector.store import products
from connector.store.engine import Connection
from connector.store.unit_of_work import UnitOfWork


def with_list_prices(item: OrderInput, catalog: Mapping[str, Product]) -> OrderInput:
    """Return the order with the list price in each line without a price; None stays where the product has none."""

    def filled(line: LineInput) -> LineInput:
        if line.unit_price is not None or line.sku not in catalog:
            return line
        return replace(line, unit_price=_listed(catalog[line.sku], item.header.currency))

    return replace(item, lines=tuple(filled(line) for line in item.lines))


def with_default_address(item: OrderInput, customer: Customer) -> OrderInput:
    """Return the order; one without a delivery address gets the address of its customer."""
    if any(getattr(item.header, name) for name in ADDRESS):
        return item
    parts = ("street", "city", "state", "postal_code", "country")
    address = {f"ship_to_{part}": getattr(customer, part) for part in parts}
    return item.with_header(ship_to_name=customer.name if any(address.values()) else None, **address)


async def create_placeholder_products(uow: UnitOfWork, skus: Sequence[str]) -> None:
    """Create an inactive placeholder for each unknown product, so that order lines can refer to it."""
    await products.save(
        uow, [Product(sku=sku, name=f"Unknown product {sku}", active=False, placeholder=True) for sku in skus]
    )


async def with_edit_defaults(connection: Connection, order: Order, event: ChangeOrder) -> ChangeOrder:
    """Return `event` with the price of every line edit filled in.

    Raises CommandError, with line and field, for a product that is unknown, no longer sold, or not the one of the line.
    """
    catalog = await products.find(connection, {edit.sku for edit in event.line_edits.values()})
    line_of = {line.number: line for line in order.lines}
    filled: dict[int, LineEdit] = {}
    for number, edit in event.line_edits.items():
        line = line_of.get(number)
        product = catalog.get(edit.sku)
        if line is not None and line.product.sku != edit.sku:
            what = f"line {number} is of {line.product.sku}, not of {edit.sku}"
            raise _refused(order, number, "sku", what, "Set its quantity to 0, and add another line.", "product")
        if product is None:
            raise _refused(order, number, "sku", f"there is no product {edit.sku}", "Correct the SKU.", "product")
        if line is None and not product.active:
            raise _refused(order, number, "sku", f"{edit.sku} is no longer sold", "Choose another.", "product")
        if edit.unit_price is None:
            known_price = line.unit_price if line else None
            edit = replace(
                edit, unit_price=known_price if known_price is not None else _listed(product, order.currency)
            )
        filled[number] = edit
    return replace(event, line_edits=filled)


def _listed(product: Product, currency: str) -> Decimal | None:
    return next((price.unit_price for price in product.prices if price.currency == currency), None)


def _refused(order: Order, number: int, field: str, what: str, hint: str, rule: str) -> CommandError:
    return CommandError(
        f"Order {order.number} cannot change: {what}.", hint=hint, field=f"line_edits.{number}.{field}", rule=rule
    )
