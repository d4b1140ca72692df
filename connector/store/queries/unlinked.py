"""Finds entities that no record of the org is linked to."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Exists, Text, and_, cast, exists, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.order_return import MARK, return_key, split_key
from connector.store.queries.customer_org import CUSTOMER_OF, belongs_to
from connector.store.scope import scope_of
from connector.store.tables import customers, links, order_lines, orders, products, returns
from connector.store.types import Key

_KEYS = {
    EntityKind.CUSTOMER: customers.c.number,
    EntityKind.PRODUCT: products.c.sku,
    EntityKind.ORDER: orders.c.number,
}


async def list_unlinked(
    connection: AsyncConnection, org_id: str, kind: EntityKind, *, after: str | None, limit: int
) -> list[str]:
    """Return up to `limit` keys of entities without a link, that follow `after`, in the order of their index."""
    if kind is EntityKind.RETURN:
        return await _list_unlinked_returns(connection, org_id, after=after, limit=limit)
    key = _KEYS[kind]
    statement = select(key).where(~_has_link(org_id, kind.value, key)).order_by(key).limit(limit)
    if kind is not EntityKind.PRODUCT:
        statement = statement.where(belongs_to(scope_of(connection), CUSTOMER_OF[kind]))
    if after is not None:
        statement = statement.where(key > after)
    return list((await connection.execute(statement)).scalars())


async def _list_unlinked_returns(
    connection: AsyncConnection, org_id: str, *, after: str | None, limit: int
) -> list[str]:
    order, number = returns.c.order_number, returns.c.number
    customer = select(orders.c.customer).where(orders.c.number == order).scalar_subquery()
    statement = select(order, number).where(
        ~_has_link(org_id, "return", _part_key(order, MARK, number)), belongs_to(scope_of(connection), customer)
    )
    if after is not None:
        statement = statement.where(_follows(order, number, split_key(after)))
    rows = await connection.execute(statement.order_by(order, number).limit(limit))
    return [return_key(row[0], row[1]) for row in rows]


async def list_unlinked_lines(
    connection: AsyncConnection, org_id: str, *, after: tuple[str, int] | None, limit: int
) -> list[tuple[str, int]]:
    """Return up to `limit` lines without a link, of orders that have one, as (order, line), in that order."""
    order, number = order_lines.c.order_number, order_lines.c.number
    statement = select(order, number).where(
        _has_link(org_id, "order", order), ~_has_link(org_id, "line", _part_key(order, "-", number))
    )
    if after is not None:
        statement = statement.where(_follows(order, number, after))
    rows = await connection.execute(statement.order_by(order, number).limit(limit))
    return [(row[0], row[1]) for row in rows]


def _has_link(org_id: str, entity: str, key: ColumnElement[str]) -> Exists:
    """As a subquery and no join, so that the rows come in the order of their own index."""
    linked = links.alias()
    return exists().where(linked.c.org_id == org_id, linked.c.entity == entity, linked.c.key == key)


def _part_key(order: ColumnElement[str], separator: str, number: ColumnElement[int]) -> ColumnElement[str]:
    """The key of a line or a return of an order."""
    return cast(order + literal(separator) + cast(number, Text), Key)


def _follows(order: ColumnElement[str], number: ColumnElement[int], after: tuple[str, int]) -> ColumnElement[bool]:
    return or_(order > after[0], and_(order == after[0], number > after[1]))
