"""The outbox of platform events: captured in the transaction of the change they tell of, published by one process at a
time, and deleted once the org has taken them.

                 capture              the org has it
      (no row) ----------> DUE ------------------------> (no row)
                            |  ^
                            |  '-- postpone: the org took others and not this one; its order's later events wait for it
                            '----> REFUSED: so often that a person should look; later events no longer wait
                                   (replay: DUE again)

An event may be published twice: by a process that was killed between the org's answer and the deletion. Its ID is then
the same. What waits for longer than the org itself keeps events is deleted, and the journal says how much it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Integer, Select, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.outgoing_event import OutgoingEvent, OutgoingState
from connector.model.platform_event import PlatformEvent
from connector.store import journal
from connector.store.event_tables import outgoing_events
from connector.store.journal import JournalEntry
from connector.store.sql import chunks
from connector.store.unit_of_work import UnitOfWork

KEPT = timedelta(hours=72)
"""The org keeps an event for that long (Platform Events developer guide, "Retention"); older news is none."""
_ROW = outgoing_events.c
_IS_DUE = _ROW.state == OutgoingState.DUE.value


async def list_due(
    connection: AsyncConnection, org_id: str, name: str, *, now: datetime, limit: int
) -> list[OutgoingEvent]:
    """The first `limit` events of an object that can be published now, in the sequence of their capture: the first one
    of each order, unless it is postponed; then the order's later ones wait too."""
    values = {"the_name": name, "the_org": org_id, "the_now": now, "the_limit": limit}
    return [_build_event(row) for row in await connection.execute(_due(), values)]


@cache
def _due() -> Select[Any]:
    earlier = outgoing_events.alias("earlier")
    waits = exists().where(
        earlier.c.state == OutgoingState.DUE.value,
        earlier.c.name == _ROW.name,
        earlier.c.order_number == _ROW.order_number,
        earlier.c.id < _ROW.id,
    )
    is_of_org = or_(_ROW.org_id.is_(None), _ROW.org_id == bindparam("the_org"))
    return (
        select(outgoing_events)
        .where(_IS_DUE, _ROW.name == bindparam("the_name"), is_of_org)
        .where(_ROW.due_at <= bindparam("the_now"), ~waits)
        .order_by(_ROW.id)
        .limit(bindparam("the_limit", type_=Integer))
    )


async def settle(uow: UnitOfWork, numbers: Sequence[int]) -> int:
    """Delete these events, which the org has. Returns how many there were."""
    gone = 0
    for chunk in chunks(sorted(numbers)):
        gone += (await uow.connection.execute(delete(outgoing_events).where(_ROW.id.in_(chunk)))).rowcount
    return gone


async def postpone(uow: UnitOfWork, event: OutgoingEvent, *, due_at: datetime, error: str) -> None:
    """Publish this event again at `due_at`: the org did not take it."""
    changes = {"due_at": due_at, "attempts": _ROW.attempts + 1, "error": error}
    await uow.connection.execute(update(outgoing_events).where(_ROW.id == event.number).values(changes))


async def refuse(uow: UnitOfWork, event: OutgoingEvent, *, error: str) -> None:
    """Give this event up until a person replays it."""
    changes = {"state": OutgoingState.REFUSED.value, "attempts": _ROW.attempts + 1, "error": error}
    await uow.connection.execute(update(outgoing_events).where(_ROW.id == event.number).values(changes))


async def replay(uow: UnitOfWork, *, actor: str) -> int:
    """Make every refused event due again. Returns their number."""
    changes = {"state": OutgoingState.DUE.value, "attempts": 0, "due_at": uow.now, "error": None}
    refused = _ROW.state == OutgoingState.REFUSED.value
    if number := (await uow.connection.execute(update(outgoing_events).where(refused).values(changes))).rowcount:
        entry = JournalEntry(entity="event", key="refused", action="replayed", detail={"count": number}, actor=actor)
        await journal.write(uow, [entry])
    return number


async def discard(uow: UnitOfWork, name: str) -> int:
    """Delete the events of an object that the org does not have. Returns their number."""
    return (await uow.connection.execute(delete(outgoing_events).where(_ROW.name == name, _IS_DUE))).rowcount


async def clear(uow: UnitOfWork) -> int:
    """Delete all events: they were for another org. Returns their number."""
    return (await uow.connection.execute(delete(outgoing_events))).rowcount


async def expire(uow: UnitOfWork) -> int:
    """Delete the events that have waited for longer than `KEPT`. Returns their number."""
    old = delete(outgoing_events).where(_IS_DUE, _ROW.captured_at < uow.now - KEPT)
    return (await uow.connection.execute(old)).rowcount


_COUNTS = select(_ROW.state, func.count()).group_by(_ROW.state)


async def counts(connection: AsyncConnection) -> dict[OutgoingState, int]:
    """Events by state, every state named."""
    rows = await connection.execute(_COUNTS)
    numbers: dict[str, int] = dict(rows.all())
    return {state: numbers.get(state.value, 0) for state in OutgoingState}


async def list_refused(connection: AsyncConnection, limit: int = 1000) -> list[OutgoingEvent]:
    """Up to `limit` refused events, oldest first."""
    refused = _ROW.state == OutgoingState.REFUSED.value
    statement = select(outgoing_events).where(refused).order_by(_ROW.id).limit(limit)
    return [_build_event(row) for row in await connection.execute(statement)]


def _build_event(row: object) -> OutgoingEvent:
    values = row._mapping  # type: ignore[attr-defined]
    event = PlatformEvent(
        name=values["name"],
        order=values["order_number"],
        id=values["event_id"],
        fields=orjson.loads(values["fields"]),
        org_id=values["org_id"],
    )
    return OutgoingEvent(
        number=values["id"],
        event=event,
        state=OutgoingState(values["state"]),
        **{name: values[name] for name in ("captured_at", "due_at", "attempts", "error")},
    )
