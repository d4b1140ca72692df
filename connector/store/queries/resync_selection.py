"""The entities that a resync is about."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.resync import ResyncFilter
from connector.store.sql import list_page_of_keys
from connector.store.tables import customers, links, mapping_versions, order_lines, orders, outbox, products

KINDS = (EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER)
_KEYS: dict[EntityKind, Any] = {
    EntityKind.CUSTOMER: customers.c.number,
    EntityKind.PRODUCT: products.c.sku,
    EntityKind.ORDER: orders.c.number,
}
_REFUSED = (ChangeState.DEAD.value, ChangeState.BLOCKED.value)


async def count(connection: AsyncConnection, org_id: str | None, kind: EntityKind, chosen: ResyncFilter) -> int:
    """How many there are. `org_id`: the org whose links say what was sent."""
    statement = _select(org_id, kind, chosen)
    return (await connection.execute(select(func.count()).select_from(statement.subquery()))).scalar_one()


async def count_lines(connection: AsyncConnection, org_id: str | None, kind: EntityKind, chosen: ResyncFilter) -> int:
    """How many lines these orders have; other entities have none."""
    if kind is not EntityKind.ORDER:
        return 0
    of_chosen = order_lines.c.order_number.in_(_select(org_id, kind, chosen))
    return (await connection.execute(select(func.count()).select_from(order_lines).where(of_chosen))).scalar_one()


async def list_keys(
    connection: AsyncConnection,
    org_id: str | None,
    kind: EntityKind,
    chosen: ResyncFilter,
    *,
    after: str | None,
    limit: int,
) -> list[str]:
    """Up to `limit` keys that follow `after`, in byte order."""
    statement = _select(org_id, kind, chosen)
    return await list_page_of_keys(connection, statement, _KEYS[kind], after=after, limit=limit)


def _select(org_id: str | None, kind: EntityKind, chosen: ResyncFilter) -> Select[Any]:
    key = _KEYS[kind]
    statement = select(key)
    if chosen.keys:
        statement = statement.where(key.in_(chosen.keys))
    if kind is EntityKind.ORDER:
        for name in chosen.of_orders:
            statement = statement.where(orders.c[name] == getattr(chosen, name))
    if chosen.changed_since is not None:
        statement = statement.where(key.table.c.updated_at >= chosen.changed_since)
    if chosen.error is not None:
        refused = select(outbox.c.key).where(
            outbox.c.entity == kind.value,
            outbox.c.state.in_(_REFUSED),
            outbox.c.refusal.contains(f'"code":"{chosen.error}"', autoescape=True),
        )
        statement = statement.where(key.in_(refused))
    if chosen.mapping_version is not None:
        since = (
            select(mapping_versions.c.activated_at)
            .where(mapping_versions.c.number == chosen.mapping_version)
            .scalar_subquery()
        )
        sent = select(links.c.key).where(
            links.c.org_id == org_id, links.c.entity == kind.value, links.c.key == key, links.c.synced_at >= since
        )
        statement = statement.where(~sent.exists())
    return statement
