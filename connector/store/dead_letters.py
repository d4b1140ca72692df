"""Dead letters, changes that were refused and wait for a person: list, replay and discard them.

The states that a change goes through are drawn in `store.outbox`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    ColumnElement,
    Delete,
    Select,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, DeadLetter, EntityKind, Refusal
from connector.model.dead_letter_group import SAMPLES, DeadLetterGroup, fingerprint, group_letters
from connector.model.lane import Lane
from connector.store import causes, journal, orgs
from connector.store.queries.entity_orgs import find_orgs
from connector.store.scope import is_in_scope, scope_of, within_scope
from connector.store.sql import chunks, select_in
from connector.store.tables import DISCARDED, outbox
from connector.store.tables import journal as journal_table
from connector.store.unit_of_work import UnitOfWork

Position = tuple[datetime, str, str]
"""A place in the list: when it was refused, the kind of the entity, and its key."""

_REFUSED = (ChangeState.DEAD.value, ChangeState.BLOCKED.value)
_CAUSE = ("code", "field", "source")
"""The values of a refusal that make up its cause."""
_COUNT = select(func.count()).where(outbox.c.state == ChangeState.DEAD.value)


async def list_dead_letters(
    connection: AsyncConnection,
    *,
    entity: EntityKind | None = None,
    keys: Sequence[str] | None = None,
    after: Position | None = None,
    limit: int | None = None,
) -> list[DeadLetter]:
    """Return the dead letters, oldest first, those behind `after`. Blocked changes are not included: they are reported
    on their orders."""
    statement = within_scope(connection, _dead(entity, keys is None), outbox.c.org)
    statement = statement if after is None else statement.where(*_behind(after))
    if keys is None:
        statement = statement if limit is None else statement.limit(limit)
        return [_build(row) for row in await connection.execute(statement)]
    rows = await select_in(connection, statement, outbox.c.key, keys)
    rows.sort(key=lambda row: (row.refused_at, row.entity, row.key))
    return [_build(row) for row in rows[:limit]]


@lru_cache
def _dead(entity: EntityKind | None, is_ordered: bool) -> Select[Any]:
    statement = select(outbox).where(outbox.c.state == ChangeState.DEAD.value)
    if entity is not None:
        statement = statement.where(outbox.c.entity == entity.value)
    return statement.order_by(outbox.c.refused_at, outbox.c.entity, outbox.c.key) if is_ordered else statement


async def count_dead_letters(connection: AsyncConnection, entity: EntityKind | None = None) -> int:
    statement = within_scope(connection, _COUNT, outbox.c.org)
    if entity is not None:
        statement = statement.where(outbox.c.entity == entity.value)
    number: int = (await connection.execute(statement)).scalar_one()
    return number


async def group_by_cause(connection: AsyncConnection, entity: EntityKind | None = None) -> list[DeadLetterGroup]:
    """The causes of dead letters, the one with the most of them first: by one statement, however many there are."""
    statement = _causes(connection.dialect.name, scope_of(connection), entity)
    samples: dict[tuple[str, ...], list[Any]] = {}
    for row in await connection.execute(statement):
        samples.setdefault((row.entity, row.code, row.field, row.source), []).append(row)
    groups = []
    for found in samples.values():
        row = found[0]
        refusal = Refusal(**orjson.loads(row.refusal))
        groups.append(
            DeadLetterGroup(
                fingerprint=fingerprint(EntityKind(row.entity), refusal),
                entity=EntityKind(row.entity),
                code=row.code,
                field=row.field,
                source=row.source,
                count=row.number,
                first_refused_at=row.first,
                last_refused_at=row.last,
                keys=tuple(item.key for item in found),
                message=refusal.message,
                fix=refusal.fix,
            )
        )
    return sorted(groups, key=lambda group: (-group.count, group.fingerprint))


@lru_cache
def _causes(dialect: str, scope: str | None, entity: EntityKind | None) -> Select[Any]:
    """The first dead letters of each cause, with their numbers."""
    parts = [part.label(name) for name, part in zip(_CAUSE, _of_refusal(dialect), strict=True)]
    chosen = [outbox.c.state == ChangeState.DEAD.value, true() if scope is None else outbox.c.org == scope]
    if entity is not None:
        chosen.append(outbox.c.entity == entity.value)
    columns = (outbox.c.entity, outbox.c.key, outbox.c.org, outbox.c.refused_at, outbox.c.refusal)
    dead = select(*columns, *parts).where(*chosen).subquery()
    cause = [dead.c.entity, *(dead.c[name] for name in _CAUSE)]
    ranked = select(
        dead,
        func.row_number().over(partition_by=cause, order_by=(dead.c.key, dead.c.org)).label("place"),
        func.count().over(partition_by=cause).label("number"),
        func.min(dead.c.refused_at).over(partition_by=cause).label("first"),
        func.max(dead.c.refused_at).over(partition_by=cause).label("last"),
    ).subquery()
    return select(ranked).where(ranked.c.place <= SAMPLES).order_by(ranked.c.place)


async def list_refused_between(
    connection: AsyncConnection, entity: EntityKind, *, since: datetime, until: datetime | None, limit: int
) -> list[DeadLetter]:
    """The dead letters of a kind that were refused since then, and up to `until`; oldest first."""
    chosen = [outbox.c.state == ChangeState.DEAD.value, outbox.c.entity == entity.value, outbox.c.refused_at >= since]
    if until is not None:
        chosen.append(outbox.c.refused_at <= until)
    statement = select(outbox).where(*chosen, is_in_scope(connection, outbox.c.org))
    ordered = statement.order_by(outbox.c.refused_at, outbox.c.key).limit(limit)
    return [_build(row) for row in await connection.execute(ordered)]


async def list_of_cause(
    connection: AsyncConnection, group: DeadLetterGroup, limit: int | None = None, *, after: Position | None = None
) -> list[DeadLetter]:
    """The dead letters with one cause, oldest first, those behind `after`."""
    same = _is_cause(_of_refusal(connection.dialect.name), (group.code, group.field, group.source))
    statement = (
        select(outbox)
        .where(outbox.c.state == ChangeState.DEAD.value, outbox.c.entity == group.entity.value, *same, *_behind(after))
        .where(is_in_scope(connection, outbox.c.org))
        .order_by(outbox.c.refused_at, outbox.c.entity, outbox.c.key)
        .limit(limit)
    )
    return [_build(row) for row in await connection.execute(statement)]


async def find_group(
    connection: AsyncConnection, name: str, entity: EntityKind | None = None
) -> DeadLetterGroup | None:
    """The cause with the fingerprint `name`; None if no dead letter has it."""
    groups = await group_by_cause(connection, entity)
    return next((group for group in groups if group.fingerprint == name), None)


async def replay(
    uow: UnitOfWork,
    entity: EntityKind | None = None,
    keys: Sequence[str] | None = None,
    cause: DeadLetterGroup | None = None,
) -> int:
    """Make refused changes due again, with their attempts reset, and return their number. None means every entity, or
    every key. `cause`: not those that were refused for another one, in another org."""
    statement = update(outbox).values(
        state=ChangeState.DUE.value,
        version=outbox.c.version + 1,
        lane=case((outbox.c.lane >= Lane.DEPRIORITIZED, Lane.STATUS.value), else_=outbox.c.lane),
        due_at=uow.now,
        attempts=0,
        begun=0,
        error=None,
        refused_at=None,
        refusal=None,
    )
    return await _refused(uow, statement, entity, keys, cause)


async def requeue_blocked_by(uow: UnitOfWork, records: Iterable[str]) -> int:
    """Make due again the changes that were refused because of these records (`customer C-1`, `product TEA`), which have
    changed since. Return their number."""
    wanted = set(records)
    if not wanted:
        return 0
    by_entity = await list_because_of(uow.connection, wanted)
    return sum([await replay(uow, entity, keys) for entity, keys in sorted(by_entity.items())])


async def list_because_of(connection: AsyncConnection, records: Iterable[str]) -> dict[EntityKind, list[str]]:
    """The keys of dead letters that were refused because of these records (`customer C-1`), by entity. The database
    compares, so that the dead letters of others are not read."""
    statement = within_scope(connection, _because_of(connection.dialect.name), outbox.c.org)
    found: dict[EntityKind, list[str]] = {}
    for chunk in chunks(sorted(set(records))):
        for kind, key in await connection.execute(statement, {"the_records": chunk}):
            found.setdefault(EntityKind(kind), []).append(key)
    return found


@lru_cache
def _because_of(dialect: str) -> Select[Any]:
    [record] = _of_refusal(dialect, ("record",))
    statement = select(outbox.c.entity, outbox.c.key).where(outbox.c.state == ChangeState.DEAD.value)
    chosen = statement.where(record.in_(bindparam("the_records", expanding=True)))
    return chosen.order_by(outbox.c.entity, outbox.c.key)


async def discard(
    uow: UnitOfWork,
    entity: EntityKind | None = None,
    keys: Sequence[str] | None = None,
    cause: DeadLetterGroup | None = None,
) -> int:
    """Delete refused changes and return their number. The next local change of such an entity is captured as usual."""
    return await _refused(uow, delete(outbox), entity, keys, cause)


async def change_by_person(
    uow: UnitOfWork,
    action: str,
    entity: EntityKind | None,
    keys: Sequence[str] | None,
    *,
    actor: str,
    cause: DeadLetterGroup | None = None,
) -> int:
    """`replay` or `discard` refused changes for `actor`, with an entry in the journal of each entity. Returns the
    number of dead letters among them: a blocked customer goes with the orders that reported it."""
    dead = await list_dead_letters(uow.connection, entity=entity, keys=keys)
    if cause is not None:  # the same keys may be refused for another cause in another org
        dead = [item for item in dead if fingerprint(item.entity, item.refusal) == cause.fingerprint]
    refused = await _list_refused(uow.connection, entity, keys, cause)
    org_ids = {name: org_id for org_id, name in await orgs.list_active_names(uow.connection)}
    count = await (replay if action == "replay" else discard)(uow, entity, keys, cause)
    touched = group_letters(dead) if cause is None else [cause]
    await causes.record_action(uow, touched, action, actor=actor)
    word = "replayed" if action == "replay" else "discarded"
    entries = [
        journal.JournalEntry(
            entity=kind, key=key, action=word, detail={"by": actor}, actor=actor, org_id=org_ids.get(org)
        )
        for kind, key, org in refused
    ]
    await journal.write(uow, entries)
    return len(dead) or (count if keys else 0)


async def change_group_by_person(
    uow: UnitOfWork, action: str, name: str, *, actor: str, keys: Sequence[str] | None = None
) -> int:
    """As `change_by_person`, of the dead letters with one cause, of `keys` if given; 0 if none has it."""
    group = await find_group(uow.connection, name)
    if group is None:
        return 0
    of_cause = {item.key for item in await list_of_cause(uow.connection, group)}
    keys = sorted(of_cause if keys is None else of_cause & set(keys))
    if not keys:
        return 0
    return await change_by_person(uow, action, group.entity, keys, actor=actor, cause=group)


async def _list_refused(
    connection: AsyncConnection, entity: EntityKind | None, keys: Sequence[str] | None, cause: DeadLetterGroup | None
) -> list[tuple[EntityKind, str, str]]:
    """Return the entities of all refused changes, blocked ones included, with the names of the orgs."""
    statement = select(outbox.c.entity, outbox.c.key, outbox.c.org).where(*_is_refused(connection, cause))
    if entity is not None:
        statement = statement.where(outbox.c.entity == entity.value)
    rows = await select_in(connection, statement, outbox.c.key, keys)
    return sorted((EntityKind(kind), key, org) for kind, key, org in rows)


async def list_discarded(
    connection: AsyncConnection, entity: EntityKind | None = None, keys: Sequence[str] | None = None
) -> list[tuple[EntityKind, str]]:
    """Return the entities of the scope whose latest change was discarded, and which are not due again. The org does not
    have that change. A product is in every org: an entry about it concerns the org that it names, or all."""
    scope = scope_of(connection)
    rows = await select_in(connection, _discarded(scope, entity), journal_table.c.key, keys)
    found: dict[EntityKind, list[str]] = {}
    for kind, key in rows:
        found.setdefault(EntityKind(kind), []).append(key)
    if scope is None:
        return sorted((kind, key) for kind, of_kind in found.items() for key in of_kind)
    owners = {kind: await find_orgs(connection, kind, of_kind) for kind, of_kind in found.items()}
    return sorted(
        (kind, key) for kind, of_kind in found.items() for key in of_kind if owners[kind].get(key, scope) == scope
    )


@lru_cache
def _discarded(scope: str | None, entity: EntityKind | None) -> Select[Any]:
    entry, later = journal_table, journal_table.alias("later")
    same_org = or_(entry.c.org_id.is_(None), later.c.org_id.is_(None), later.c.org_id == entry.c.org_id)
    is_due = and_(outbox.c.entity == entry.c.entity, outbox.c.key == entry.c.key)
    statement = (
        select(entry.c.entity, entry.c.key)
        .where(
            DISCARDED,
            orgs.belongs_to(scope, entry.c.org_id),
            ~exists().where(
                later.c.entity == entry.c.entity, later.c.key == entry.c.key, later.c.id > entry.c.id, same_org
            ),
            ~exists().where(is_due, true() if scope is None else outbox.c.org == scope),
        )
        .distinct()
    )
    return statement if entity is None else statement.where(entry.c.entity == entity.value)


async def journal_resync(uow: UnitOfWork, entity: EntityKind, keys: Sequence[str]) -> None:
    """Write to the journal that these entities are no longer discarded, because they are sent again."""
    discarded = await list_discarded(uow.connection, entity, keys)
    active = None if scope_of(uow.connection) is None else await orgs.get_active(uow.connection)
    org_id = None if active is None else active.org_id
    await journal.write(
        uow,
        [
            journal.JournalEntry(entity=kind, key=key, action="resynced", detail={}, org_id=org_id)
            for kind, key in discarded
        ],
    )


async def _refused(
    uow: UnitOfWork,
    statement: Update | Delete,
    entity: EntityKind | None,
    keys: Sequence[str] | None,
    cause: DeadLetterGroup | None,
) -> int:
    chosen = _is_refused(uow.connection, cause)
    if entity is not None:
        chosen.append(outbox.c.entity == entity.value)
    if keys is None:
        return (await uow.connection.execute(statement.where(*chosen))).rowcount
    number = 0
    for chunk in chunks(sorted(set(keys))):
        number += (await uow.connection.execute(statement.where(*chosen, outbox.c.key.in_(chunk)))).rowcount
    return number


def _is_refused(connection: AsyncConnection, cause: DeadLetterGroup | None) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = [outbox.c.state.in_(_REFUSED), is_in_scope(connection, outbox.c.org)]
    if cause is not None:
        same = _is_cause(_of_refusal(connection.dialect.name), (cause.code, cause.field, cause.source))
        chosen.append(or_(outbox.c.state == ChangeState.BLOCKED.value, and_(*same)))
    return chosen


def _of_refusal(dialect: str, names: Sequence[str] = _CAUSE) -> list[ColumnElement[str]]:
    """Values of a refusal, which is JSON in a column of text. A cast would make a number of it in SQLite; PostgreSQL
    needs one."""
    refusal = type_coerce(outbox.c.refusal, JSON) if dialect == "sqlite" else cast(outbox.c.refusal, JSON)
    return [refusal[name].as_string() for name in names]


def _is_cause(cause: Sequence[ColumnElement[str]], values: Sequence[str | None]) -> list[ColumnElement[bool]]:
    return [part.is_(None) if value is None else part == value for part, value in zip(cause, values, strict=True)]


def _behind(after: Position | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    moment, entity, key = after
    row = outbox.c
    later_key = and_(row.entity == entity, row.key > key)
    return [or_(row.refused_at > moment, and_(row.refused_at == moment, or_(row.entity > entity, later_key)))]


def _build(row: Any) -> DeadLetter:
    return DeadLetter(
        entity=EntityKind(row.entity),
        key=row.key,
        refusal=Refusal(**orjson.loads(row.refusal)),
        attempts=row.attempts,
        captured_at=row.captured_at,
        refused_at=row.refused_at,
        org=row.org,
    )
