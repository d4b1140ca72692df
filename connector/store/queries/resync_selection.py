"""The entities that a resync is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.order_return import return_key, split_key
from connector.model.record import PARTS
from connector.model.resync import ResyncFilter
from connector.store import mapping_plans
from connector.store.mapping_tables import mapping_versions
from connector.store.queries.customer_org import CUSTOMER_OF, belongs_to
from connector.store.sql import list_page_of_keys, select_in
from connector.store.tables import customers, links, order_lines, orders, orgs, outbox, products, returns

MARGIN = timedelta(minutes=10)
"""What happened so shortly before a plan was begun counts as later: transactions last, and clocks of hosts differ."""
_KEYS: dict[EntityKind, Any] = {
    EntityKind.CUSTOMER: customers.c.number,
    EntityKind.PRODUCT: products.c.sku,
    EntityKind.ORDER: orders.c.number,
    EntityKind.RETURN: outbox.c.key,  # of those that are chosen by what was refused; else all of them
}
_REFUSED = (ChangeState.DEAD.value, ChangeState.BLOCKED.value)


async def count(connection: AsyncConnection, kind: EntityKind, chosen: ResyncFilter) -> int:
    """How many there are."""
    statement = await _select(connection, kind, chosen)
    return (await connection.execute(select(func.count()).select_from(statement.subquery()))).scalar_one()


async def count_lines(connection: AsyncConnection, kind: EntityKind, chosen: ResyncFilter) -> int:
    """How many lines these orders have; other entities have none."""
    if kind is not EntityKind.ORDER:
        return 0
    of_chosen = order_lines.c.order_number.in_(await _select(connection, kind, chosen))
    return (await connection.execute(select(func.count()).select_from(order_lines).where(of_chosen))).scalar_one()


async def list_keys(
    connection: AsyncConnection, kind: EntityKind, chosen: ResyncFilter, *, after: str | None, limit: int
) -> list[str]:
    """Up to `limit` keys that follow `after`, in byte order."""
    statement = await _select(connection, kind, chosen)
    if _is_all_returns(kind, chosen):
        return await _list_returns(connection, after=after, limit=limit)
    return await list_page_of_keys(connection, statement, _KEYS[kind], after=after, limit=limit)


async def list_block(
    connection: AsyncConnection, kind: EntityKind, chosen: ResyncFilter, *, offset: int, limit: int
) -> list[str]:
    """Up to `limit` keys after the first `offset` ones, in byte order: for a sample of many."""
    statement = (await _select(connection, kind, chosen)).order_by(_KEYS[kind]).offset(offset).limit(limit)
    return list((await connection.execute(statement)).scalars())


async def list_unknown(connection: AsyncConnection, kind: EntityKind, keys: Sequence[str]) -> list[str]:
    """Which of these nothing here has, in the order of `keys`."""
    known = {row[0] for row in await select_in(connection, select(_KEYS[kind]), _KEYS[kind], keys)}
    return [key for key in dict.fromkeys(keys) if key not in known]


def _refused(kind: EntityKind, chosen: ResyncFilter) -> Select[Any]:
    """The keys of what the org refused."""
    refused = select(outbox.c.key).where(outbox.c.entity == kind.value, outbox.c.state.in_(_REFUSED))
    if chosen.error is not None:
        refused = refused.where(outbox.c.refusal.contains(f'"code":"{chosen.error}"', autoescape=True))
    if chosen.refused_since is not None:
        refused = refused.where(outbox.c.refused_at >= chosen.refused_since)
    if chosen.refused_until is not None:
        refused = refused.where(outbox.c.refused_at < chosen.refused_until)
    return refused


def _is_all_returns(kind: EntityKind, chosen: ResyncFilter) -> bool:
    return kind is EntityKind.RETURN and not chosen.of_refused


async def _list_returns(connection: AsyncConnection, *, after: str | None, limit: int) -> list[str]:
    """Keys of returns that follow `after`, by order and number."""
    row = returns.c
    statement = select(row.order_number, row.number).order_by(row.order_number, row.number).limit(limit)
    if after is not None:
        order, number = split_key(after)
        statement = statement.where(or_(row.order_number > order, and_(row.order_number == order, row.number > number)))
    return [return_key(order, number) for order, number in await connection.execute(statement)]


async def _of_plan(connection: AsyncConnection, kind: EntityKind, plan_id: str) -> list[ColumnElement[bool]]:
    """What the plan of a mapping affects, and whatever may differ from what the plan has seen: what was changed or sent
    since, and what waits to be sent. Everything, if the plan is deleted, or has not computed all of this kind."""
    plan = await mapping_plans.get(connection, plan_id)
    keys = None if plan is None else plan.affected.get(kind.value)
    if plan is None or keys is None:
        return []
    key, since = _KEYS[kind], plan.created_at - MARGIN
    of_key = (links.c.org_id == orgs.c.org_id) & (links.c.synced_at >= since)
    sent = select(links.c.key).where(of_key, links.c.entity == kind.value, links.c.key == key)
    parts = select(links.c.key).where(of_key, links.c.entity == PARTS.get(kind.value), links.c.parent == key)
    waiting = select(outbox.c.key).where(outbox.c.entity == kind.value, outbox.c.key == key)
    later = [
        key.table.c.updated_at >= since,
        *(
            select(orgs.c.org_id).where(one.correlate(orgs, key.table).exists()).correlate(key.table).exists()
            for one in (sent, parts)
        ),
        waiting.correlate(key.table).exists(),
    ]
    if kind is EntityKind.ORDER:  # its mapping may take values of its customer and of its products
        line = order_lines.c
        other = select(line.sku).join(products, products.c.sku == line.sku).where(products.c.updated_at >= since)
        later += [
            orders.c.customer.in_(select(customers.c.number).where(customers.c.updated_at >= since)),
            other.where(line.order_number == key).correlate(orders).exists(),
        ]
    return [or_(key.in_(keys), *later)]


async def _select(connection: AsyncConnection, kind: EntityKind, chosen: ResyncFilter) -> Select[Any]:
    if _is_all_returns(kind, chosen):
        return select(returns.c.order_number, returns.c.number)
    if kind is EntityKind.RETURN:
        of_org = [] if chosen.org is None else [outbox.c.org == chosen.org_name]
        return _refused(kind, chosen).where(*of_org).distinct()
    key = _KEYS[kind]
    statement = select(key)
    if chosen.org is not None and kind in CUSTOMER_OF:
        statement = statement.where(belongs_to(chosen.org_name, CUSTOMER_OF[kind]))
    if chosen.mapping_plan is not None:
        statement = statement.where(*await _of_plan(connection, kind, chosen.mapping_plan))
    if chosen.keys:
        statement = statement.where(key.in_(chosen.keys))
    if kind is EntityKind.ORDER:
        for name in chosen.of_orders:
            statement = statement.where(orders.c[name] == getattr(chosen, name))
    if chosen.changed_since is not None:
        statement = statement.where(key.table.c.updated_at >= chosen.changed_since)
    if chosen.changed_until is not None:
        statement = statement.where(key.table.c.updated_at < chosen.changed_until)
    if chosen.of_refused:
        statement = statement.where(key.in_(_refused(kind, chosen)))
    if chosen.mapping_version is not None:
        since = (
            select(mapping_versions.c.activated_at)
            .where(mapping_versions.c.number == chosen.mapping_version)
            .scalar_subquery()
        )
        sent = (
            select(links.c.key)
            .where(
                links.c.org_id == orgs.c.org_id,
                links.c.entity == kind.value,
                links.c.key == key,
                links.c.synced_at >= since,
            )
            .correlate(orgs, key.table)
        )
        active = select(orgs.c.org_id).where(orgs.c.active)
        if chosen.org is not None:
            active = active.where(orgs.c.name == chosen.org_name)
        if kind in CUSTOMER_OF:
            statement = statement.where(~active.where(sent.exists()).exists())
        else:  # a product is to be in each of them
            statement = statement.where(active.where(~sent.exists()).exists())
    return statement
