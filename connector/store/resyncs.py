"""Resyncs, as people ask for them and a worker works them off.

      WAITING --> RUNNING <--> PAUSED         cancel, from any of the three: CANCELED
                     |
                     +--> DONE, FAILED

Each step of the worker names the state that it expects, in the transaction that records its work: who pauses or cancels
meanwhile is heard before the next batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Integer, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.resync import Priority, Resync, ResyncFilter, ResyncMode, ResyncState
from connector.model.storable_text import storable
from connector.store import journal
from connector.store.job_tables import resyncs
from connector.store.journal import JournalEntry
from connector.store.sql import Before, insert, is_before
from connector.store.unit_of_work import UnitOfWork

ACTIVE = (ResyncState.WAITING, ResyncState.RUNNING)
OPEN = (*ACTIVE, ResyncState.PAUSED)


async def create(
    uow: UnitOfWork,
    entity: EntityKind,
    chosen: ResyncFilter,
    *,
    mode: ResyncMode,
    priority: Priority,
    total: int,
    actor: str,
    request: str | None = None,
) -> Resync:
    """Ask for one. `request`: what was asked for by this key before is returned as it is."""
    row = {
        "entity": entity.value,
        "mode": mode.value,
        "filter": orjson.dumps(chosen.as_document()).decode(),
        "priority": priority.value,
        "state": ResyncState.WAITING.value,
        "actor": actor,
        "created_at": uow.now,
        "total": total,
        "done": 0,
        "failed": 0,
        "counts": "{}",
        "request": request,
    }
    statement = insert(uow.connection, resyncs).values(row).on_conflict_do_nothing().returning(*resyncs.c)
    inserted = (await uow.connection.execute(statement)).first()
    if inserted is None:
        same = select(resyncs).where(resyncs.c.request == request, resyncs.c.entity == entity.value)
        return _build((await uow.connection.execute(same)).one())
    made = _build(inserted)
    detail = {"entity": entity.value, "mode": mode.value, "filter": chosen.as_document(), "total": total}
    await _audit(uow, made.id, "asked", actor, **detail)
    return made


async def list_of_request(connection: AsyncConnection, request: str) -> list[Resync]:
    """What was asked for by this key."""
    found = select(resyncs).where(resyncs.c.request == request).order_by(resyncs.c.id)
    return [_build(row) for row in await connection.execute(found)]


async def record(
    uow: UnitOfWork, entity: EntityKind, chosen: ResyncFilter, *, mode: ResyncMode, total: int, actor: str
) -> Resync:
    """Note one that is worked off by who asks for it, and not by a worker: for those it has ended. It counts as failed
    until `note_recorded`, so that one whose process is killed is not taken for done."""
    made = await create(uow, entity, chosen, mode=mode, priority=Priority.LOW, total=total, actor=actor)
    values = {"state": ResyncState.FAILED.value, "started_at": uow.now, "ended_at": uow.now, "error": _UNFINISHED}
    await uow.connection.execute(update(resyncs).where(resyncs.c.id == made.id).values(values))
    return made


_UNFINISHED = "It has not made its entities due: it is at work, or was stopped."


async def note_recorded(uow: UnitOfWork, number: int, *, total: int | None = None, error: str | None = None) -> None:
    """Note what became of one that `record` has noted: all of `total` was made due, or it ended by `error`;
    what was made due before stays due."""
    values: dict[str, object] = {"ended_at": uow.now, "error": None if error is None else storable(error)}
    if error is None:
        values |= {"state": ResyncState.DONE.value, "total": total, "done": total}
    await uow.connection.execute(update(resyncs).where(resyncs.c.id == number).values(values))


_OF_ID = resyncs.c.id == bindparam("the_id")
_RESYNC = select(resyncs).where(_OF_ID)
_LOCKED_RESYNC = _RESYNC.with_for_update()


async def get(connection: AsyncConnection, number: int, *, lock: bool = False) -> Resync | None:
    row = (await connection.execute(_LOCKED_RESYNC if lock else _RESYNC, {"the_id": number})).first()
    return None if row is None else _build(row)


async def list_page(connection: AsyncConnection, *, before: int | None = None, limit: int) -> list[Resync]:
    """Resyncs, the newest first; `before`: only with a smaller ID."""
    statement = select(resyncs).order_by(resyncs.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(resyncs.c.id < before)
    return [_build(row) for row in await connection.execute(statement)]


async def list_before(
    connection: AsyncConnection, *, before: Before | None, limit: int, actor: str | None = None
) -> list[Resync]:
    """Resyncs that were asked for before that time, the newest first; `actor`: only by this one."""
    statement = select(resyncs).order_by(resyncs.c.created_at.desc(), resyncs.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(is_before(resyncs.c.created_at, resyncs.c.id, before))
    if actor is not None:
        statement = statement.where(resyncs.c.actor == actor)
    return [_build(row) for row in await connection.execute(statement)]


async def list_made_at(connection: AsyncConnection, moment: datetime, *, actor: str) -> list[Resync]:
    """Those that somebody asked for in the transaction of that moment."""
    statement = select(resyncs).where(resyncs.c.created_at == moment, resyncs.c.actor == actor).order_by(resyncs.c.id)
    return [_build(row) for row in await connection.execute(statement)]


_ACTIVE = (
    select(resyncs)
    .where(resyncs.c.state.in_([state.value for state in ACTIVE]))
    .order_by(resyncs.c.priority, resyncs.c.id)  # `high` sorts before `low`
    .limit(bindparam("the_limit", type_=Integer))
)


async def list_active(connection: AsyncConnection, limit: int = 100) -> list[Resync]:
    """Those that a worker is to work off: urgent ones first, then the oldest."""
    return [_build(row) for row in await connection.execute(_ACTIVE, {"the_limit": limit})]


_BEGIN = (
    update(resyncs)
    .where(_OF_ID, resyncs.c.state == ResyncState.WAITING.value)
    .values(state=ResyncState.RUNNING.value, started_at=bindparam("the_now"))
)
_LOCKED_STATE = select(resyncs.c.state).where(_OF_ID).with_for_update()


async def begin(uow: UnitOfWork, number: int) -> bool:
    """Note that a worker has begun, if it waits; False if it is paused or has ended. It stays so until this transaction
    ends."""
    await uow.connection.execute(_BEGIN, {"the_id": number, "the_now": uow.now})
    return (await uow.connection.execute(_LOCKED_STATE, {"the_id": number})).scalar() == ResyncState.RUNNING.value


async def note_reached(uow: UnitOfWork, number: int, keys: Sequence[str]) -> None:
    """The batch with these keys was begun."""
    statement = (
        update(resyncs)
        .where(resyncs.c.id == number)
        .values(
            reached=keys[-1],
            reached_at=uow.now,
            batch=orjson.dumps(list(keys)).decode(),
            done=resyncs.c.done + len(keys),
        )
    )
    await uow.connection.execute(statement)


async def note_finished(uow: UnitOfWork, resync: Resync, *, failed: int, counts: Mapping[str, int]) -> None:
    """The batch that was begun is finished. What it came to is added to the counts."""
    summed = {name: resync.counts.get(name, 0) + counts.get(name, 0) for name in {*resync.counts, *counts}}
    values = {
        "position": resyncs.c.reached,
        "failed": resyncs.c.failed + failed,
        "counts": orjson.dumps(summed).decode(),
        "batch": None,
    }
    await uow.connection.execute(update(resyncs).where(resyncs.c.id == resync.id).values(values))


async def note_error(uow: UnitOfWork, number: int, error: str | None) -> None:
    """Why it does not get on at the moment; None: it does."""
    text = None if error is None else storable(error)
    await uow.connection.execute(update(resyncs).where(resyncs.c.id == number).values(error=text))


async def end(uow: UnitOfWork, number: int, state: ResyncState, *, error: str | None = None) -> None:
    """Note how a running one ended."""
    running = (resyncs.c.id == number, resyncs.c.state == ResyncState.RUNNING.value)
    values = {"state": state.value, "ended_at": uow.now, "error": None if error is None else storable(error)}
    await uow.connection.execute(update(resyncs).where(*running).values(values))


async def pause(uow: UnitOfWork, number: int, *, actor: str) -> bool:
    return await _change(uow, number, ACTIVE, ResyncState.PAUSED, "paused", actor)


async def resume(uow: UnitOfWork, number: int, *, actor: str) -> bool:
    """Go on where it was paused."""
    stored = await get(uow.connection, number, lock=True)
    after = ResyncState.WAITING if stored is None or stored.started_at is None else ResyncState.RUNNING
    return await _change(uow, number, (ResyncState.PAUSED,), after, "resumed", actor)


async def cancel(uow: UnitOfWork, number: int, *, actor: str) -> bool:
    return await _change(uow, number, OPEN, ResyncState.CANCELED, "canceled", actor)


async def _change(
    uow: UnitOfWork, number: int, before: tuple[ResyncState, ...], after: ResyncState, action: str, actor: str
) -> bool:
    """False if its state is none of `before`."""
    values: dict[str, object] = {"state": after.value}
    if after is ResyncState.CANCELED:
        values["ended_at"] = uow.now
    chosen = (resyncs.c.id == number, resyncs.c.state.in_([state.value for state in before]))
    if not (await uow.connection.execute(update(resyncs).where(*chosen).values(values))).rowcount:
        return False
    await _audit(uow, number, action, actor)
    return True


async def _audit(uow: UnitOfWork, number: int, action: str, actor: str, **detail: object) -> None:
    entry = JournalEntry(entity="resync", key=str(number), action=action, detail=detail, actor=actor)
    await journal.write(uow, [entry])


def _build(row: Any) -> Resync:
    return Resync(
        id=row.id,
        entity=EntityKind(row.entity),
        mode=ResyncMode(row.mode),
        filter=ResyncFilter.read(orjson.loads(row.filter)),
        priority=Priority(row.priority),
        state=ResyncState(row.state),
        actor=row.actor,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        total=row.total,
        done=row.done,
        failed=row.failed,
        position=row.position,
        reached=row.reached,
        reached_at=row.reached_at,
        batch=tuple(orjson.loads(row.batch or "[]")),
        error=row.error,
        counts=orjson.loads(row.counts),
    )
