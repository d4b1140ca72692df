"""What reps are to be told on records of the org. The push sends it with whatever else it sends of the record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.sync_message import MessageCause, SyncMessage, shortened
from connector.store.inbound_tables import sync_messages
from connector.store.sql import chunks, select_in, upsert
from connector.store.unit_of_work import UnitOfWork


async def about(connection: AsyncConnection, org_id: str, record_ids: Collection[str]) -> list[SyncMessage]:
    """The messages on these records, and those that changes of these records have caused on others."""
    found: dict[tuple[str, str], SyncMessage] = {}
    statement = select(sync_messages).where(sync_messages.c.org_id == org_id)
    for chunk in chunks(sorted(record_ids)):
        concerned = or_(sync_messages.c.record_id.in_(chunk), sync_messages.c.source_id.in_(chunk))
        for row in await connection.execute(statement.where(concerned)):
            found[row.record_id, row.source_id] = SyncMessage(
                record_id=row.record_id,
                source_id=row.source_id,
                cause=MessageCause(row.cause),
                text=row.text,
                told_at=row.told_at,
            )
    return [*found.values()]


async def texts(connection: AsyncConnection, org_id: str, record_ids: Iterable[str]) -> dict[str, str]:
    """What these records are to say, by record; one line for each message, the oldest first."""
    statement = (
        select(sync_messages.c.record_id, sync_messages.c.text)
        .where(sync_messages.c.org_id == org_id)
        .order_by(sync_messages.c.told_at, sync_messages.c.source_id)
    )
    lines: dict[str, list[str]] = {}
    for row in await select_in(connection, statement, sync_messages.c.record_id, record_ids):
        lines.setdefault(row.record_id, []).append(row.text)
    return {record: shortened("\n".join(some)) for record, some in lines.items()}


async def put(uow: UnitOfWork, org_id: str, messages: Sequence[SyncMessage]) -> None:
    """Store these messages in place of older ones about the same change."""
    rows = [
        {
            "org_id": org_id,
            "record_id": item.record_id,
            "source_id": item.source_id,
            "cause": item.cause.value,
            "text": shortened(item.text),
            "told_at": uow.now,
        }
        for item in messages
    ]
    await upsert(uow.connection, sync_messages, rows)


async def drop(uow: UnitOfWork, org_id: str, messages: Sequence[SyncMessage]) -> None:
    """Delete these messages: they are settled."""
    for item in messages:
        is_message = (
            sync_messages.c.org_id == org_id,
            sync_messages.c.record_id == item.record_id,
            sync_messages.c.source_id == item.source_id,
        )
        await uow.connection.execute(delete(sync_messages).where(*is_message))
