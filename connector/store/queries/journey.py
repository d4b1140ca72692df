"""Everything that is stored about what was done with one entity, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.action_request import ReceivedAction
from connector.model.change import EntityKind, Unsent
from connector.model.change_notice import ChangeNotice
from connector.model.conflict import Conflict
from connector.model.notification import Notification
from connector.model.order_return import MARK, split_key
from connector.model.record import PARTS, owner_of
from connector.store import change_notices, conflicts, notifications, order_actions, order_history, outbox
from connector.store.inbound_tables import change_notices as notice_table
from connector.store.inbound_tables import conflicts as conflict_table
from connector.store.journal import JournalRecord, build_record
from connector.store.order_history import StoredEvent
from connector.store.tables import customers, journal, orders, orgs, products, returns

MOST = 2000
"""Rows of one kind that are read, the newest; an entity with more of them is resynced all the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneySources:
    """The rows about one entity, each kind oldest first. `is_known`: it exists here; an order has a `currency`.
    `entries` of an order are also those of its returns. `is_cut`: there are older ones."""

    is_known: bool
    currency: str = ""
    events: Sequence[StoredEvent] = ()
    entries: Sequence[JournalRecord] = ()
    actions: Sequence[ReceivedAction] = ()
    conflicts: Sequence[Conflict] = ()
    messages: Sequence[Notification] = ()
    notices: Sequence[ChangeNotice] = ()
    unsent: Sequence[Unsent] = ()
    is_cut: bool = False


async def load_journey(connection: AsyncConnection, kind: EntityKind, key: str) -> JourneySources:
    """The rows about one entity; all empty if there is none."""
    is_order = kind is EntityKind.ORDER
    known: str | None = (await connection.execute(_own_row(kind, key))).scalar()
    entries = await _entries(connection, kind, key)
    actions = await order_actions.list_latest(connection, order=key, limit=MOST) if is_order else []
    return JourneySources(
        is_known=known is not None,
        currency=known if is_order and known is not None else "",
        events=await order_history.read(connection, key) if is_order else (),
        entries=entries,
        actions=list(reversed(actions)),
        conflicts=await _conflicts(connection, kind, key),
        messages=await notifications.list_page(connection, order=key) if is_order else (),
        notices=await _notices(connection, kind, key),
        unsent=[*(await outbox.find(connection, kind, [key])).values()],
        is_cut=len(entries) == MOST,
    )


def _own_row(kind: EntityKind, key: str) -> Select[Any]:
    """A column of the entity's own row; of an order its currency."""
    match kind:
        case EntityKind.CUSTOMER:
            return select(customers.c.number).where(customers.c.number == key)
        case EntityKind.PRODUCT:
            return select(products.c.sku).where(products.c.sku == key)
        case EntityKind.ORDER:
            return select(orders.c.currency).where(orders.c.number == key)
        case EntityKind.RETURN:
            order, number = split_key(key)
            return select(returns.c.order_number).where(returns.c.order_number == order, returns.c.number == number)


async def _entries(connection: AsyncConnection, kind: EntityKind, key: str) -> list[JournalRecord]:
    row = journal.c
    mine = and_(row.entity == kind.value, row.key == key)
    if kind is EntityKind.ORDER:
        start = f"{key}{MARK}"
        # A range, so that both databases use the index; `:` comes after `9`.
        returns = and_(row.entity == EntityKind.RETURN.value, row.key > start, row.key < f"{start}:")
        mine = or_(mine, returns)
    rows = await connection.execute(select(journal).where(mine).order_by(row.id.desc()).limit(MOST))
    entries = [build_record(item) for item in reversed(rows.all())]
    return [item for item in entries if item.key == key or split_key(item.key)[0] == key]


async def _conflicts(connection: AsyncConnection, kind: EntityKind, key: str) -> list[Conflict]:
    """Those of the entity, and of its lines."""
    row = conflict_table.c
    known = select(orgs.c.org_id)  # so that the index is used
    mine = and_(row.entity == kind.value, row.key == key)
    if (part := PARTS.get(kind.value)) is not None:
        start = f"{key}-"
        mine = or_(mine, and_(row.entity == part, row.key > start, row.key < f"{start}:"))
    statement = select(row.id).where(row.org_id.in_(known), mine).order_by(row.id).limit(MOST)
    found = await conflicts.find(connection, (await connection.execute(statement)).scalars().all())
    return [item for item in found if item.key == key or owner_of(item.entity, item.key) == (kind.value, key)]


async def _notices(connection: AsyncConnection, kind: EntityKind, key: str) -> list[ChangeNotice]:
    row = notice_table.c
    statement = select(row.id).where(row.entity == kind.value, row.key == key).order_by(row.id).limit(MOST)
    return await change_notices.find(connection, (await connection.execute(statement)).scalars().all())
