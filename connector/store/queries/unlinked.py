"""Finds entities that no record of the org is linked to."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Text, and_, cast, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.order_return import MARK
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
    """Return up to `limit` keys of entities without a link, that follow `after`, in byte order."""
    key: ColumnElement[str]
    if kind is EntityKind.RETURN:
        number = cast(returns.c.number, Text)
        key = cast(returns.c.order_number + literal(MARK) + number, Key)
        statement = select(key.label("key")).select_from(returns)
    else:
        key = _KEYS[kind]
        statement = select(key.label("key"))
    linked = and_(links.c.org_id == org_id, links.c.entity == kind.value, links.c.key == key)
    statement = statement.outerjoin(links, linked).where(links.c.key.is_(None)).order_by(key).limit(limit)
    if after is not None:
        statement = statement.where(key > after)
    return list((await connection.execute(statement)).scalars())


async def list_unlinked_lines(
    connection: AsyncConnection, org_id: str, *, after: tuple[str, int] | None, limit: int
) -> list[tuple[str, int]]:
    """Return up to `limit` lines without a link, of orders that have one, as (order, line), in that order."""
    order, number = order_lines.c.order_number, order_lines.c.number
    of_order, of_line = links.alias("of_order"), links.alias("of_line")
    key = cast(order + literal("-") + cast(number, Text), Key)
    statement = (
        select(order, number)
        .join(of_order, and_(of_order.c.org_id == org_id, of_order.c.entity == "order", of_order.c.key == order))
        .outerjoin(of_line, and_(of_line.c.org_id == org_id, of_line.c.entity == "line", of_line.c.key == key))
        .where(of_line.c.key.is_(None))
        .order_by(order, number)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(or_(order > after[0], and_(order == after[0], number > after[1])))
    return [(row[0], row[1]) for row in await connection.execute(statement)]
