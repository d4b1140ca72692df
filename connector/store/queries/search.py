"""Finds orders and customers by what people have at hand: a number on a letter, a phone that rings, a record ID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Select, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.order_return import return_key, split_key
from connector.model.record import owner_of
from connector.model.search_keys import email_key, typed_phone_key
from connector.store.queries.typed_text import LAST, complete_numbers
from connector.store.tables import customer_searches, customers, invoices, links, orders, products, returns, shipments

MOST_EXACT = 60
ORDER, CUSTOMER, PRODUCT, RETURN = "order", "customer", "product", "return"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """An `entity` with its `key` that has what was looked for as its `what`: `invoice number`, `email`."""

    entity: str
    key: str
    what: str


async def find_exact(connection: AsyncConnection, text: str, *, with_contacts: bool) -> list[Hit]:
    """What has exactly this number, whatever its capital letters; with `with_contacts`, also by email or phone."""
    typed = sorted({text, text.upper()})
    numbers = [
        _numbers("order number", ORDER, orders.c.number).where(
            orders.c.number.in_([*typed, *await complete_numbers(connection, text)])
        ),
        _numbers("customer number", CUSTOMER, customers.c.number).where(customers.c.number.in_(typed)),
        _numbers("invoice number", ORDER, invoices.c.order_number).where(invoices.c.number.in_(typed)),
        _numbers("tracking number", ORDER, shipments.c.order_number).where(shipments.c.tracking_number.in_(typed)),
        _numbers("tracking number of a return", ORDER, returns.c.order_number).where(
            returns.c.tracking_number.in_(typed)
        ),
        _numbers("SKU", PRODUCT, products.c.sku).where(products.c.sku.in_(typed)),
    ]
    if with_contacts:
        searched = customer_searches.c
        numbers.append(_numbers("email", CUSTOMER, searched.customer).where(searched.email_key == email_key(text)))
        phone = typed_phone_key(text)
        if phone is not None:
            begins = (searched.phone_key >= phone, searched.phone_key < phone + LAST)
            numbers.append(_numbers("phone", CUSTOMER, searched.customer).where(*begins))
    # Many orders can have one of these, so they come last, behind what is one of its kind.
    numbers.append(_numbers("purchase order", ORDER, orders.c.number).where(orders.c.po_number.in_(typed)))
    rows = await connection.execute(union_all(*numbers).limit(MOST_EXACT))
    found = [Hit(entity=row[0], key=row[1], what=row[2]) for row in rows]
    order, number = split_key(text.upper())
    if order:
        is_return = (returns.c.order_number.in_({order, text[: len(order)]}), returns.c.number == number)
        own = await connection.execute(select(returns.c.order_number).where(*is_return).limit(2))
        found += [Hit(entity=RETURN, key=return_key(key, number), what="return number") for (key,) in own]
    return list(dict.fromkeys(found))


async def find_record(connection: AsyncConnection, org_ids: Sequence[str], record: str) -> list[Hit]:
    """Whose record has this 18-character ID; of a line its order, of a price its product."""
    statement = select(links.c.entity, links.c.key).where(links.c.org_id.in_(org_ids), links.c.salesforce_id == record)
    found = []
    for entity, key in await connection.execute(statement):
        owner = owner_of(entity, key)
        part = "" if owner is None else f" of its {entity.replace('_', ' ')}"
        kind, name = (entity, key) if owner is None else owner
        found.append(Hit(entity=str(kind), key=name, what=f"record ID{part}"))
    return found


def _numbers(what: str, entity: str, column: Column[str]) -> Select[str, str, str]:
    return select(literal(entity), column, literal(what))
