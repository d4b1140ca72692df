"""Which org an entity belongs to, where one database serves several: that of the account."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.order_return import split_key
from connector.store.scope import DEFAULT
from connector.store.sql import select_in
from connector.store.tables import customer_orgs, orders

_OF_CUSTOMERS = select(customer_orgs.c.customer, customer_orgs.c.org)
_OF_ORDERS = select(orders.c.number, customer_orgs.c.org).join(
    customer_orgs, customer_orgs.c.customer == orders.c.customer
)


async def find_orgs(connection: AsyncConnection, kind: EntityKind, keys: Sequence[str]) -> dict[str, str]:
    """The names of the orgs by key; none of products, which are in every org. The default org has all others."""
    if kind is EntityKind.PRODUCT:
        return {}
    owners = {key: split_key(key)[0] if kind is EntityKind.RETURN else key for key in keys}
    of_customers = kind is EntityKind.CUSTOMER
    statement, column = (_OF_CUSTOMERS, customer_orgs.c.customer) if of_customers else (_OF_ORDERS, orders.c.number)
    named = dict(await select_in(connection, statement, column, {*owners.values()}))
    return {key: named.get(owner, DEFAULT) for key, owner in owners.items()}
