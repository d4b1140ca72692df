"""What helps to decide conflicts: who they are about, who wrote our value, and what became of decided ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.conflict import Conflict, ConflictState
from connector.store.conflicts import build_conflict
from connector.store.inbound_tables import conflicts
from connector.store.orgs import is_of_scope
from connector.store.sql import select_in
from connector.store.tables import customers, order_events, orders, orgs, outbox, products


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictContext:
    """`names`: of a customer or product, and of the customer of an order, by entity and key. `authors`: who wrote our
    value, by conflict, where the history says so. `unsent`: what of these
    entities is not in its org yet, by the ID of the org, entity and key."""

    names: dict[tuple[str, str], str]
    customers: dict[str, str]
    authors: dict[int, str]
    unsent: dict[tuple[str, str, str], ChangeState]


async def load_context(connection: AsyncConnection, found: Sequence[Conflict]) -> ConflictContext:
    """What is known of these, by at most five statements."""
    by_kind = {kind: sorted({item.key for item in found if item.entity == kind}) for kind in EntityKind}
    of_order = select(orders.c.number, customers.c.number, customers.c.name)
    of_order = of_order.join(customers, customers.c.number == orders.c.customer)
    names, buyers = {}, {}
    for number, customer, name in await select_in(connection, of_order, orders.c.number, by_kind[EntityKind.ORDER]):
        names["order", number], buyers[number] = name, customer
    for kind, key, name in (
        (EntityKind.CUSTOMER, customers.c.number, customers.c.name),
        (EntityKind.PRODUCT, products.c.sku, products.c.name),
    ):
        for row in await select_in(connection, select(key, name), key, by_kind[kind]):
            names[kind.value, row[0]] = row[1]
    return ConflictContext(
        names=names,
        customers=buyers,
        authors=await _find_authors(connection, found),
        unsent=await _find_unsent(connection, found),
    )


async def list_decided(connection: AsyncConnection, *, limit: int) -> list[Conflict]:
    """Those that people decided last, the latest first."""
    decided = conflicts.c.state.in_((ConflictState.LOCAL.value, ConflictState.SALESFORCE.value))
    statement = (
        select(conflicts)
        .where(decided, is_of_scope(connection, conflicts.c.org_id))
        .order_by(conflicts.c.resolved_at.desc(), conflicts.c.id.desc())
        .limit(limit)
    )
    return [build_conflict(row) for row in await connection.execute(statement)]


async def _find_authors(connection: AsyncConnection, found: Sequence[Conflict]) -> dict[int, str]:
    """Who changed the order at the time at which our value was changed last, by conflict."""
    wanted: dict[tuple[str, datetime], list[int]] = {}
    for item in found:
        if item.entity == EntityKind.ORDER and item.local_changed_at is not None:
            wanted.setdefault((item.key, item.local_changed_at), []).append(item.id)
    if not wanted:
        return {}
    row = order_events.c
    statement = select(row.order_number, row.at, row.actor).distinct()
    statement = statement.where(row.at.in_({moment for _, moment in wanted}))
    actors: dict[tuple[str, datetime], list[str]] = {}
    for number, at, actor in await select_in(connection, statement, row.order_number, {key for key, _ in wanted}):
        actors.setdefault((number, at), []).append(actor)
    # Where two people changed an order at the same time, the history does not say whose value it is.
    return {number: names[0] for place, names in actors.items() if len(names) == 1 for number in wanted.get(place, ())}


async def _find_unsent(
    connection: AsyncConnection, found: Sequence[Conflict]
) -> dict[tuple[str, str, str], ChangeState]:
    statement = select(orgs.c.org_id, outbox.c.entity, outbox.c.key, outbox.c.state)
    statement = statement.join_from(outbox, orgs, and_(orgs.c.name == outbox.c.org, orgs.c.active))
    rows = await select_in(connection, statement, outbox.c.key, sorted({item.key for item in found}))
    return {(org_id, entity, key): ChangeState(state) for org_id, entity, key, state in rows}
