"""How many entities are here: of one org those whose account it has, and all products."""

from __future__ import annotations

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.store import customers, orders, products, returns
from connector.store.scope import DEFAULT, scope_of
from connector.store.tables import customer_orgs
from connector.store.tables import orders as order_table
from connector.store.tables import returns as return_table


async def count_entities(connection: AsyncConnection) -> dict[EntityKind, int]:
    """By kind. The default org has what is assigned to no other one."""
    totals = {
        EntityKind.CUSTOMER: await customers.count(connection),
        EntityKind.PRODUCT: await products.count(connection),
        EntityKind.ORDER: await orders.count(connection),
        EntityKind.RETURN: await returns.count(connection),
    }
    scope = scope_of(connection)
    if scope is None:
        return totals
    for kind, statement in _ASSIGNED.items():
        if scope != DEFAULT:
            statement = statement.where(customer_orgs.c.org == scope)
        assigned: int = (await connection.execute(statement)).scalar_one()
        totals[kind] = totals[kind] - assigned if scope == DEFAULT else assigned
    return totals


_OF_CUSTOMERS: Select[int] = select(func.count()).select_from(customer_orgs)
_OF_ORDERS = _OF_CUSTOMERS.join(order_table, order_table.c.customer == customer_orgs.c.customer)
_ASSIGNED = {
    EntityKind.CUSTOMER: _OF_CUSTOMERS,
    EntityKind.ORDER: _OF_ORDERS,
    EntityKind.RETURN: _OF_ORDERS.join(return_table, return_table.c.order_number == order_table.c.number),
}
