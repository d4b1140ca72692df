"""What helps to decide conflicts: who they are about, who wrote our value, and what became of decided ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.conflict import Conflict, ConflictState
from connector.store.conflicts import build_conflict
from connector.store.inbound_tables import conflicts
from connector.store.orgs import is_of_scope
from connector.store.sql import select_in
from connector.store.tables import customers, order_events, orders, outbox, products


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictContext:
    """`names`: of a customer or product, and of the customer of an order, by entity and key. `authors`: who wrote our
    value, by conflict, where the history says so. `unsent`: what of these entities is not in the org yet."""

    names: dict[tuple[str, str], str]
    customers: dict[str, str]
    authors: dict[int, str]
    unsent: dict[tuple[str, str], ChangeState]


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
    """Who changed the order at the time at which our value was changed last."""
    wanted = {(item.key, item.local_changed_at): item.id for item in found if item.entity == EntityKind.ORDER}
    moments = {moment for _, moment in wanted if moment is not None}
    statement = select(order_events.c.order_number, order_events.c.at, func.max(order_events.c.actor))
    statement = statement.where(order_events.c.at.in_(moments)).group_by(order_events.c.order_number, order_events.c.at)
    numbers = sorted({number for number, moment in wanted if moment is not None})
    rows = await select_in(connection, statement, order_events.c.order_number, numbers) if moments else []
    return {wanted[number, at]: actor for number, at, actor in rows if (number, at) in wanted}


async def _find_unsent(connection: AsyncConnection, found: Sequence[Conflict]) -> dict[tuple[str, str], ChangeState]:
    statement = select(outbox.c.entity, outbox.c.key, outbox.c.state)
    rows = await select_in(connection, statement, outbox.c.key, sorted({item.key for item in found}))
    return {(entity, key): ChangeState(state) for entity, key, state in rows}
