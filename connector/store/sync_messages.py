"""What reps are to be told on records of the org. The push sends it with whatever else it sends of the record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import BindParameter, bindparam, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.sync_message import MessageCause, SyncMessage, shortened
from connector.store.inbound_tables import sync_messages
from connector.store.sql import chunks, select_in, upsert
from connector.store.unit_of_work import UnitOfWork

_IS_OF_ORG = sync_messages.c.org_id == bindparam("the_org")
_RECORDS: BindParameter[str] = bindparam("the_records", expanding=True)
_ABOUT = select(sync_messages).where(
    _IS_OF_ORG, or_(sync_messages.c.record_id.in_(_RECORDS), sync_messages.c.source_id.in_(_RECORDS))
)
_TEXTS = (
    select(sync_messages.c.record_id, sync_messages.c.text)
    .where(_IS_OF_ORG)
    .order_by(sync_messages.c.told_at, sync_messages.c.source_id)
)


async def about(connection: AsyncConnection, org_id: str, record_ids: Collection[str]) -> list[SyncMessage]:
    """The messages on these records, and those that changes of these records have caused on others."""
    found: dict[tuple[str, str], SyncMessage] = {}
    for chunk in chunks(sorted(record_ids)):
        for row in await connection.execute(_ABOUT, {"the_org": org_id, "the_records": chunk}):
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
    lines: dict[str, list[str]] = {}
    for row in await select_in(connection, _TEXTS, sync_messages.c.record_id, record_ids, the_org=org_id):
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
