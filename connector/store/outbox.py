"""Changes that the org has not seen: which are due, and what became of those that were taken.

A row is one entity. Taking a change does not mark it; what says that it is still the one that was taken is its
`version` together with `captured_at` (a row that was settled and captured anew starts its versions again). Whatever
was captured in between therefore stays due when the older change is settled, postponed or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeAlias

import orjson
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Delete,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import MAX_UNANSWERED_SENDS, Change, ChangeState, DeadLetter, EntityKind, Refusal, Unsent
from connector.store.retry_schedule import pause_after
from connector.store.sql import Row, chunks, select_in
from connector.store.tables import outbox
from connector.store.unit_of_work import Lane, UnitOfWork

Selection: TypeAlias = Mapping[EntityKind, Set[str] | None]
"""Changes of some kinds: those of the keys named, every one of the kind where none are."""

_MOST_NAMED = 20_000
"""Keys that one statement can name; of more, every change of the kind is meant."""

_REFUSED = (ChangeState.DEAD.value, ChangeState.BLOCKED.value)
_IS_DUE = outbox.c.state == ChangeState.DUE.value
_TAKEN = and_(
    outbox.c.entity == bindparam("the_entity"),
    outbox.c.key == bindparam("the_key"),
    outbox.c.version == bindparam("the_version"),
    outbox.c.captured_at == bindparam("the_captured_at"),
)
_ATTEMPTED: BindParameter[int] = bindparam("the_attempts")
"""One more than when the change was taken: only an answer that is recorded counts."""


async def due(
    connection: AsyncConnection,
    *,
    entity: EntityKind,
    partitions: Set[int],
    of: int,
    now: datetime,
    limit: int,
    only: Selection | None = None,
    doubted: bool | None = None,
) -> list[Change]:
    """The next changes of these partitions (of `of` in all) whose time has come: by lane, then the oldest first.
    `doubted`: those that were put behind all others, or those that were not."""
    partition = (outbox.c.slot % of).label("partition")
    columns = (
        outbox.c.key,
        outbox.c.version,
        outbox.c.attempts,
        outbox.c.captured_at,
        outbox.c.unsure,
        outbox.c.begun,
        outbox.c.lane,
        partition,
    )
    # Wrapped, so that SQLite walks `outbox_claim` in order and stops at the limit; for the bare column it takes
    # `outbox_due` and sorts the whole queue for every batch.
    due_at = func.coalesce(outbox.c.due_at, outbox.c.due_at)
    statement = (
        select(*columns)
        .where(_IS_DUE, outbox.c.entity == entity.value, due_at <= now)
        .order_by(outbox.c.lane, outbox.c.captured_at, outbox.c.key)
        .limit(limit)
    )
    if len(partitions) < of:
        statement = statement.where(partition.in_(sorted(partitions)))
    if only is not None:
        statement = statement.where(_selected(only))
    if doubted is not None:
        statement = statement.where(outbox.c.lane >= Lane.DOUBTED if doubted else outbox.c.lane < Lane.DOUBTED)
    return [
        Change(
            entity=entity,
            key=key,
            partition=number,
            version=version,
            attempts=attempts,
            captured_at=captured_at,
            unconfirmed=unsure,
            unanswered_sends=begun,
            doubted=lane >= Lane.DOUBTED,
        )
        for key, version, attempts, captured_at, unsure, begun, lane, number in await connection.execute(statement)
    ]


async def begin(uow: UnitOfWork, changes: Sequence[Change]) -> set[tuple[EntityKind, str]]:
    """These are about to be sent: until `sure` says otherwise, nobody knows what the org holds of them.

    Answers which may be sent: the others have changed since they were taken, or another stream took them over. Those
    that were sent `REPEATED` times without a recorded answer are due again only after a pause.
    """
    statement = update(outbox).where(_TAKEN).values(begun=outbox.c.begun + 1, unsure=True)
    paused = update(outbox).where(_TAKEN).values(due_at=bindparam("the_due_at"))
    again = [change for change in changes if change.unanswered_sends >= MAX_UNANSWERED_SENDS]
    await lock(uow, changes)
    complete = await _each(uow, statement, changes) == len(changes)
    await _each(uow, paused, again, lambda change: {"the_due_at": uow.now + pause_after(change.unanswered_sends)})
    if complete:
        return {(change.entity, change.key) for change in changes}
    begun = set()
    for entity in {change.entity for change in changes}:
        now = await find(uow.connection, entity, [change.key for change in changes if change.entity is entity])
        begun |= {
            (entity, change.key)
            for change in changes
            if change.entity is entity
            and (row := now.get(change.key)) is not None
            and (row.version, row.captured_at) == (change.version, change.captured_at)
        }
    return begun


async def mark_confirmed(uow: UnitOfWork, changes: Sequence[Change]) -> int:
    """The outcome of what was sent of these is known and recorded, whatever was captured since."""
    statement = (
        update(outbox)
        .where(outbox.c.entity == bindparam("the_entity"), outbox.c.key == bindparam("the_key"))
        .values(unsure=False, begun=0)
    )
    return await _each(uow, statement, changes)


async def mark_unconfirmed(uow: UnitOfWork, entity: EntityKind, keys: Iterable[str]) -> None:
    """What the org holds of these is not known any more; refused ones go on waiting for a person."""
    for chunk in chunks(sorted(set(keys))):
        chosen = (outbox.c.entity == entity.value, outbox.c.key.in_(chunk))
        await uow.connection.execute(update(outbox).where(*chosen).values(unsure=True))


async def lock(uow: UnitOfWork, changes: Iterable[Change]) -> None:
    """Hold the rows of these before any of them is written, in the order in which `UnitOfWork.capture` takes them: two
    transactions with the same entities then wait for each other instead of deadlocking."""
    if uow.connection.dialect.name == "sqlite":
        return  # one writer
    by_entity: dict[str, set[str]] = {}
    for change in changes:
        by_entity.setdefault(change.entity.value, set()).add(change.key)
    for entity in sorted(by_entity):
        statement = select(outbox.c.key).where(outbox.c.entity == entity).order_by(outbox.c.key).with_for_update()
        for chunk in chunks(sorted(by_entity[entity])):
            await uow.connection.execute(statement.where(outbox.c.key.in_(chunk)))


async def settle(uow: UnitOfWork, changes: Sequence[Change]) -> int:
    """These have reached the org: forget them, unless something newer was captured. How many were forgotten."""
    return await _each(uow, delete(outbox).where(_TAKEN), changes)


async def postpone(uow: UnitOfWork, changes: Sequence[Change], *, due_at: datetime, error: str) -> int:
    """These failed for now: try again at `due_at`. What was captured meanwhile keeps its own time."""
    statement = update(outbox).where(_TAKEN).values(attempts=_ATTEMPTED, due_at=due_at, error=error)
    return await _each(uow, statement, changes)


async def refuse(uow: UnitOfWork, change: Change, refusal: Refusal, *, state: ChangeState = ChangeState.DEAD) -> bool:
    """This one was refused and waits for a person, unless something newer was captured, which is then tried."""
    return await refuse_all(uow, [(change, refusal)], state=state) == 1


async def refuse_all(
    uow: UnitOfWork, refusals: Sequence[tuple[Change, Refusal]], *, state: ChangeState = ChangeState.DEAD
) -> int:
    """`refuse` for many; how many wait now."""
    statement = (
        update(outbox)
        .where(_TAKEN)
        .values(
            state=state.value,
            attempts=_ATTEMPTED,
            error=None,
            refused_at=uow.now,
            refusal=bindparam("the_refusal"),
        )
    )
    texts = {id(change): orjson.dumps(asdict(refusal)).decode() for change, refusal in refusals}
    return await _each(
        uow, statement, [change for change, _ in refusals], lambda change: {"the_refusal": texts[id(change)]}
    )


async def replay(uow: UnitOfWork, entity: EntityKind | None = None, keys: Sequence[str] | None = None) -> int:
    """Make refused changes due again, as if never tried; None means every entity, every key. How many there were."""
    statement = update(outbox).values(
        state=ChangeState.DUE.value,
        version=outbox.c.version + 1,
        lane=case((outbox.c.lane >= Lane.DOUBTED, Lane.STATUS.value), else_=outbox.c.lane),
        due_at=uow.now,
        attempts=0,
        begun=0,
        error=None,
        refused_at=None,
        refusal=None,
    )
    return await _refused(uow, statement, entity, keys)


async def requeue_blocked_by(uow: UnitOfWork, records: Iterable[str]) -> int:
    """Make due again what was refused because of these records (`customer C-1`, `product TEA`), for they have changed.
    How many there were."""
    wanted = set(records)
    refused = await dead_letters(uow.connection)
    by_entity: dict[EntityKind, list[str]] = {}
    for letter in refused:
        if letter.refusal.record in wanted:
            by_entity.setdefault(letter.entity, []).append(letter.key)
    return sum([await replay(uow, entity, keys) for entity, keys in sorted(by_entity.items())])


async def discard(uow: UnitOfWork, entity: EntityKind | None = None, keys: Sequence[str] | None = None) -> int:
    """Forget refused changes; the next local change of such an entity is captured as usual. How many there were."""
    return await _refused(uow, delete(outbox), entity, keys)


async def find(connection: AsyncConnection, entity: EntityKind, keys: Iterable[str]) -> dict[str, Unsent]:
    """What is unsent of `keys`, whatever its state."""
    statement = select(outbox).where(outbox.c.entity == entity.value)
    rows = await select_in(connection, statement, outbox.c.key, keys)
    return {
        row.key: Unsent(
            entity=entity,
            key=row.key,
            state=ChangeState(row.state),
            version=row.version,
            due_at=row.due_at,
            attempts=row.attempts,
            captured_at=row.captured_at,
            unconfirmed=row.unsure,
            unanswered_sends=row.begun,
            error=row.error,
            refusal=None if row.refusal is None else Refusal(**orjson.loads(row.refusal)),
        )
        for row in rows
    }


async def dead_letters(
    connection: AsyncConnection,
    *,
    entity: EntityKind | None = None,
    keys: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[DeadLetter]:
    """Refused entities that wait for a person, the first refused first; those merely blocked are not among them."""
    statement = select(outbox).where(outbox.c.state == ChangeState.DEAD.value)
    if entity is not None:
        statement = statement.where(outbox.c.entity == entity.value)
    if keys is not None:
        rows = await select_in(connection, statement, outbox.c.key, keys)
        rows.sort(key=lambda row: (row.refused_at, row.entity, row.key))
        rows = rows[:limit]
    else:
        ordered = statement.order_by(outbox.c.refused_at, outbox.c.entity, outbox.c.key).limit(limit)
        rows = list(await connection.execute(ordered))
    return [
        DeadLetter(
            entity=EntityKind(row.entity),
            key=row.key,
            refusal=Refusal(**orjson.loads(row.refusal)),
            attempts=row.attempts,
            captured_at=row.captured_at,
            refused_at=row.refused_at,
        )
        for row in rows
    ]


async def counts(
    connection: AsyncConnection, only: Selection | None = None
) -> dict[EntityKind, dict[ChangeState, int]]:
    """Unsent changes by entity and state, every one named."""
    statement = select(outbox.c.entity, outbox.c.state, func.count()).group_by(outbox.c.entity, outbox.c.state)
    rows = await connection.execute(statement.where(_selected(only)))
    found = {(entity, state): number for entity, state, number in rows}
    return {
        entity: {state: found.get((entity.value, state.value), 0) for state in ChangeState} for entity in EntityKind
    }


async def due_counts(
    connection: AsyncConnection, now: datetime, only: Selection | None = None
) -> dict[EntityKind, int]:
    """How many changes are due now, by entity; those with none are left out."""
    rows = await connection.execute(
        select(outbox.c.entity, func.count())
        .where(_IS_DUE, outbox.c.due_at <= now, _selected(only))
        .group_by(outbox.c.entity)
    )
    return {EntityKind(entity): number for entity, number in rows}


async def due_by_partition(
    connection: AsyncConnection, now: datetime, of: int, only: Selection | None = None
) -> dict[EntityKind, dict[int, int]]:
    """How many changes are due now, by entity and partition (of `of` in all)."""
    partition = (outbox.c.slot % of).label("partition")
    statement = select(outbox.c.entity, partition, func.count())
    statement = statement.where(_IS_DUE, outbox.c.due_at <= now, _selected(only))
    found: dict[EntityKind, dict[int, int]] = {}
    for entity, number, count in await connection.execute(statement.group_by(outbox.c.entity, partition)):
        found.setdefault(EntityKind(entity), {})[number] = count
    return found


async def next_due(
    connection: AsyncConnection,
    *,
    partitions: Set[int] | None = None,
    of: int = 1,
    only: Selection | None = None,
) -> datetime | None:
    """When the next change is due (in the past if one is); None if nothing is left to send."""
    statement = select(outbox.c.due_at).where(_IS_DUE, _selected(only)).order_by(outbox.c.due_at).limit(1)
    if partitions is not None and len(partitions) < of:
        statement = statement.where((outbox.c.slot % of).in_(sorted(partitions)))
    return (await connection.execute(statement)).scalar()


def _selected(only: Selection | None) -> ColumnElement[bool]:
    if only is None:
        return true()
    chosen = [
        and_(
            outbox.c.entity == entity.value,
            true() if keys is None or len(keys) > _MOST_NAMED else outbox.c.key.in_(sorted(keys)),
        )
        for entity, keys in only.items()
    ]
    return or_(false(), *chosen)


async def _each(uow: UnitOfWork, statement: Update | Delete, changes: Sequence[Change], more: Any = None) -> int:
    if not changes:
        return 0
    ordered = sorted(changes, key=lambda change: (change.entity.value, change.key))  # as in UnitOfWork.capture
    result = await uow.connection.execute(
        statement, [_marks(change) | (more(change) if more else {}) for change in ordered]
    )
    return result.rowcount


def _marks(change: Change) -> Row:
    return {
        "the_entity": change.entity.value,
        "the_key": change.key,
        "the_version": change.version,
        "the_captured_at": change.captured_at,
        "the_attempts": change.attempts + 1,
    }


async def _refused(
    uow: UnitOfWork, statement: Update | Delete, entity: EntityKind | None, keys: Sequence[str] | None
) -> int:
    chosen: list[ColumnElement[bool]] = [outbox.c.state.in_(_REFUSED)]
    if entity is not None:
        chosen.append(outbox.c.entity == entity.value)
    if keys is None:
        return (await uow.connection.execute(statement.where(*chosen))).rowcount
    number = 0
    for chunk in chunks(sorted(set(keys))):
        number += (await uow.connection.execute(statement.where(*chosen, outbox.c.key.in_(chunk)))).rowcount
    return number
