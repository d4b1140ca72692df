"""The outbox: changes that the org has not seen, what is due, and the outcomes of what was sent.

One row is one entity, however often it changed. `list_due` reads changes without marking them: a change is the one that
was read as long as its row has the same `version` and `captured_at`. (A row that was deleted and captured again starts
its versions again, with a later `captured_at`.)

                 capture            begin_send                 the org is called
      (no row) ----------> DUE -----------------> DUE, unconfirmed ...............
         ^  ^               ^                       | | | |
         |  |               +------ postpone -------+ | | |    failed for now: due again after a pause
         |  +---------------------- settle -----------+ | |    the org has it: the row is deleted
         |                                              | |
         |                  DEAD <---- refuse ----------+ |    refused: waits for a person
         |                  BLOCKED <- refuse ------------+    a customer that an order was refused for:
         |                    |                                reported on that order, not by itself
         +----- discard ------+------- replay, capture ----> DUE

`capture` (in `UnitOfWork`) makes any row due and raises its version; `replay` and `discard` are in `dead_letters`.
`begin_send` marks a change unconfirmed (column `unsure`), counts the send (`begun`) and stores what is sent of shared
fields (`sent`), so that a value found later is known to be ours; `mark_confirmed` clears all three. A
postponed change whose outcome is unknown stays unconfirmed. What our own checks hold or refuse goes the same ways from
DUE, without `begin_send`. A change that keeps failing for a reason of its own is refused after 20 attempts
(`outbound.backoff`).

Invariant: the row of a change exists until the org is known to have it or a person gives it up. `settle`, `postpone`
and `refuse` touch only the version that was read, so what was captured in between stays due.

What a crash leaves:
  before the commit of the local change     neither the change nor its row: both are one transaction
  after it, before the commit of `begin_send`    a due row; it is sent as if nothing had happened
  after it, before the outcome is recorded  a due row, unconfirmed: whoever takes it looks up in the org what is there
                                            before it writes. A change that was begun three times without an answer
                                            travels apart from all others, in ever smaller calls
                                            (`outbound.batches`), and waits up to 15 seconds after each further crash.
  after the outcome is recorded             links, journal and outbox agree: they are one transaction
A worker that was frozen and has lost its lease records nothing: what it had sent is captured again, as unconfirmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import BindParameter, Integer, Select, and_, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import MAX_UNANSWERED_SENDS, Change, ChangeState, EntityKind, Refusal, Unsent
from connector.model.lane import Lane, call_lane
from connector.model.record import SentValues, dump_sent, load_sent
from connector.model.undo import load_restores
from connector.store.outbox_filters import IS_DUE, Selection, execute_selected
from connector.store.retry_schedule import pause_after
from connector.store.scope import Statement, is_in_scope, with_setting_names, within_scope
from connector.store.sql import Row, chunks, select_in
from connector.store.tables import outbox
from connector.store.unit_of_work import UnitOfWork

_IS_CLAIMED_VERSION = and_(
    outbox.c.entity == bindparam("the_entity"),
    outbox.c.key == bindparam("the_key"),
    outbox.c.version == bindparam("the_version"),
    outbox.c.captured_at == bindparam("the_captured_at"),
)
_ATTEMPTED: BindParameter[int] = bindparam("the_attempts")
"""One more than when the change was claimed: only a recorded answer counts."""


async def list_due(
    connection: AsyncConnection,
    *,
    entity: EntityKind,
    partitions: Set[int],
    of: int,
    now: datetime,
    limit: int,
    only: Selection | None = None,
    deprioritized: bool | None = None,
    lowest: Lane = Lane.BACKFILL,
) -> list[Change]:
    """The next due changes of these partitions (of `of` in all), by lane down to `lowest`, then oldest first.

    `deprioritized`: only changes that were deprioritized, or only others; None means both.
    """
    statement = _due(deprioritized, len(partitions) < of)
    values = {"the_entity": entity.value, "the_now": now, "the_limit": limit, "the_of": of}
    rows = await execute_selected(connection, statement, only, lowest, **values, the_partitions=sorted(partitions))
    return [
        Change(
            entity=entity,
            key=key,
            partition=number,
            version=version,
            attempts=attempts,
            captured_at=captured_at,
            unconfirmed=unsure,
            unanswered_sends=sends,
            sent=load_sent(sent),
            deprioritized=lane >= Lane.DEPRIORITIZED,
            lane=call_lane(lane),
            run=run,
            restores=load_restores(restores),
        )
        for key, version, attempts, captured_at, unsure, sends, sent, lane, run, restores, number in rows
    ]


@lru_cache
def _due(deprioritized: bool | None, of_some_partitions: bool) -> Select[Any]:
    partition = (outbox.c.slot % bindparam("the_of", type_=Integer)).label("partition")
    columns = (
        outbox.c.key,
        outbox.c.version,
        outbox.c.attempts,
        outbox.c.captured_at,
        outbox.c.unsure,
        outbox.c.begun,
        outbox.c.sent,
        outbox.c.lane,
        outbox.c.run,
        outbox.c.restores,
        partition,
    )
    # Wrapped, so that SQLite walks `outbox_claim` in order and stops at the limit; for the bare column it takes
    # `outbox_due` and sorts the whole queue for every batch.
    due_at = func.coalesce(outbox.c.due_at, outbox.c.due_at)
    statement = (
        select(*columns)
        .where(IS_DUE, outbox.c.entity == bindparam("the_entity"), due_at <= bindparam("the_now"))
        .order_by(outbox.c.lane, outbox.c.captured_at, outbox.c.key)
        .limit(bindparam("the_limit", type_=Integer))
    )
    if of_some_partitions:
        statement = statement.where(partition.in_(bindparam("the_partitions", expanding=True)))
    if deprioritized is not None:
        statement = statement.where(
            outbox.c.lane >= Lane.DEPRIORITIZED if deprioritized else outbox.c.lane < Lane.DEPRIORITIZED
        )
    return statement


_BEGIN_SEND = (
    update(outbox).where(_IS_CLAIMED_VERSION).values(begun=outbox.c.begun + 1, unsure=True, sent=bindparam("the_sent"))
)
_PAUSE = update(outbox).where(_IS_CLAIMED_VERSION).values(due_at=bindparam("the_due_at"))


async def begin_send(
    uow: UnitOfWork, changes: Sequence[Change], sent: Mapping[str, SentValues] = MappingProxyType({})
) -> set[tuple[EntityKind, str]]:
    """Mark these changes as about to be sent: until `mark_confirmed`, what the org holds of them is unknown. `sent`:
    the values of shared fields that were sent without an answer, by key, with those of this send. The caller has locked
    them.

    Returns those that may be sent. The others changed since they were claimed, or another stream took them over.
    Changes that were sent `MAX_UNANSWERED_SENDS` times without a recorded answer are due again only after a pause.
    """
    suspects = [change for change in changes if change.unanswered_sends >= MAX_UNANSWERED_SENDS]
    texts = {change.key: dump_sent(sent.get(change.key)) for change in changes}
    begun = await _execute_for_each(uow, _BEGIN_SEND, changes, lambda change: {"the_sent": texts[change.key]})
    complete = begun == len(changes)
    await _execute_for_each(
        uow, _PAUSE, suspects, lambda change: {"the_due_at": uow.now + pause_after(change.unanswered_sends)}
    )
    if complete:
        return {(change.entity, change.key) for change in changes}
    unchanged = set()
    for entity in {change.entity for change in changes}:
        current = await find(uow.connection, entity, [change.key for change in changes if change.entity is entity])
        unchanged |= {
            (entity, change.key)
            for change in changes
            if change.entity is entity
            and (row := current.get(change.key)) is not None
            and (row.version, row.captured_at) == (change.version, change.captured_at)
        }
    return unchanged


_OF_KEY = update(outbox).where(outbox.c.entity == bindparam("the_entity"), outbox.c.key == bindparam("the_key"))
_CONFIRM = _OF_KEY.values(unsure=False, begun=0, sent=None)
_FORGET_SENT = _OF_KEY.values(sent=None)


async def mark_confirmed(uow: UnitOfWork, changes: Sequence[Change]) -> int:
    """The outcome of what was sent of these is recorded, whatever was captured since. Returns the number of rows."""
    return await _execute_for_each(uow, _CONFIRM, changes)


async def forget_sent(uow: UnitOfWork, changes: Sequence[Change]) -> None:
    """Nothing that was sent of these has arrived. What the org holds of them is still to be read."""
    await _execute_for_each(uow, _FORGET_SENT, changes)


async def mark_unconfirmed(uow: UnitOfWork, entity: EntityKind, keys: Iterable[str]) -> None:
    """What the org holds of these is unknown now. Refused ones still wait for a person."""
    for chunk in chunks(sorted(set(keys))):
        chosen = (outbox.c.entity == entity.value, outbox.c.key.in_(chunk))
        in_scope = is_in_scope(uow.connection, outbox.c.org)
        await uow.connection.execute(update(outbox).where(in_scope, *chosen).values(unsure=True))


async def lock(uow: UnitOfWork, changes: Iterable[Change]) -> None:
    """Lock these rows before any of them is written, in the order of `UnitOfWork.capture`: transactions with the same
    entities then wait for each other instead of deadlocking."""
    by_entity: dict[str, set[str]] = {}
    for change in changes:
        by_entity.setdefault(change.entity.value, set()).add(change.key)
    for entity in sorted(by_entity):
        await _lock_keys(uow, entity, by_entity[entity])


_LOCK = (
    select(outbox.c.key)
    .where(outbox.c.entity == bindparam("the_entity"))
    .order_by(outbox.c.key, outbox.c.org)
    .with_for_update()
)


async def _lock_keys(uow: UnitOfWork, entity: str, keys: Iterable[str]) -> None:
    if uow.connection.dialect.name == "sqlite":
        return  # one writer
    statement = within_scope(uow.connection, _LOCK, outbox.c.org)
    await select_in(uow.connection, statement, outbox.c.key, sorted(keys), the_entity=entity)


_DELETE = delete(outbox).where(_IS_CLAIMED_VERSION)
_POSTPONE = (
    update(outbox)
    .where(_IS_CLAIMED_VERSION)
    .values(attempts=_ATTEMPTED, due_at=bindparam("the_due_at"), error=bindparam("the_error"))
)
_REFUSE = (
    update(outbox)
    .where(_IS_CLAIMED_VERSION)
    .values(
        state=bindparam("the_state"),
        attempts=_ATTEMPTED,
        error=None,
        refused_at=bindparam("the_refused_at"),
        refusal=bindparam("the_refusal"),
    )
)


async def settle(uow: UnitOfWork, changes: Sequence[Change]) -> int:
    """Delete these changes, which have reached the org, unless something newer was captured. Returns how many were
    deleted."""
    return await _execute_for_each(uow, _DELETE, changes)


async def postpone(uow: UnitOfWork, changes: Sequence[Change], *, due_at: datetime, error: str) -> int:
    """Retry these failed changes at `due_at`. What was captured meanwhile keeps its own time."""
    values = {"the_due_at": due_at, "the_error": with_setting_names(uow.connection, error)}
    return await _execute_for_each(uow, _POSTPONE, changes, lambda _: values)


async def refuse(uow: UnitOfWork, change: Change, refusal: Refusal, *, state: ChangeState = ChangeState.DEAD) -> bool:
    """Refuse this change: it waits for a person. If something newer was captured, that is tried instead."""
    return await refuse_all(uow, [(change, refusal)], state=state) == 1


async def refuse_all(
    uow: UnitOfWork, refusals: Sequence[tuple[Change, Refusal]], *, state: ChangeState = ChangeState.DEAD
) -> int:
    """`refuse` for many; returns how many wait now."""
    values = {"the_state": state.value, "the_refused_at": uow.now}
    texts = {
        id(change): with_setting_names(uow.connection, orjson.dumps(asdict(refusal)).decode())
        for change, refusal in refusals
    }
    return await _execute_for_each(
        uow, _REFUSE, [change for change, _ in refusals], lambda change: {**values, "the_refusal": texts[id(change)]}
    )


_OUTCOMES = select(outbox.c.state, outbox.c.captured_at, outbox.c.refused_at).where(
    outbox.c.entity == bindparam("the_entity")
)


async def count_outcomes(
    connection: AsyncConnection, entity: EntityKind, keys: Sequence[str], *, since: datetime
) -> tuple[int, int]:
    """Of these keys: how many changes are due that were captured by `since`, and how many were refused since then."""
    statement = within_scope(connection, _OUTCOMES, outbox.c.org)
    rows = await select_in(connection, statement, outbox.c.key, keys, the_entity=entity.value)
    due = sum(row.state == ChangeState.DUE.value and row.captured_at <= since for row in rows)
    refused = sum(row.refused_at is not None and row.refused_at >= since for row in rows)
    return due, refused


_ROWS = select(outbox).where(outbox.c.entity == bindparam("the_entity"))
_LOCKED_ROWS = _ROWS.order_by(outbox.c.key).with_for_update()


async def find(
    connection: AsyncConnection, entity: EntityKind, keys: Iterable[str], *, lock: bool = False
) -> dict[str, Unsent]:
    """The outbox rows of `keys`, whatever their state; `lock`: nobody changes them before this transaction ends."""
    statement = within_scope(connection, _LOCKED_ROWS if lock else _ROWS, outbox.c.org)
    rows = await select_in(connection, statement, outbox.c.key, keys, the_entity=entity.value)
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
            sent=load_sent(row.sent),
            run=row.run,
            restores=load_restores(row.restores),
            lane=call_lane(row.lane),
            error=row.error,
            refusal=None if row.refusal is None else Refusal(**orjson.loads(row.refusal)),
        )
        for row in rows
    }


async def raise_lane(uow: UnitOfWork, entity: EntityKind, keys: Iterable[str], lane: Lane) -> None:
    """Send these at least as soon as changes of `lane`, because some of them need these."""
    chosen_keys = set(keys)
    await _lock_keys(uow, entity.value, chosen_keys)
    for chunk in chunks(sorted(chosen_keys)):
        chosen = (outbox.c.entity == entity.value, outbox.c.key.in_(chunk), outbox.c.lane > lane.value)
        in_scope = is_in_scope(uow.connection, outbox.c.org)
        await uow.connection.execute(update(outbox).where(IS_DUE, in_scope, *chosen).values(lane=lane.value))


async def _execute_for_each(uow: UnitOfWork, statement: Statement, changes: Sequence[Change], more: Any = None) -> int:
    if not changes:
        return 0
    ordered = sorted(changes, key=lambda change: (change.entity.value, change.key))  # as in UnitOfWork.capture
    result = await uow.connection.execute(
        within_scope(uow.connection, statement, outbox.c.org),
        [_version_parameters(change) | (more(change) if more else {}) for change in ordered],
    )
    number: int = result.rowcount
    return number


def _version_parameters(change: Change) -> Row:
    return {
        "the_entity": change.entity.value,
        "the_key": change.key,
        "the_version": change.version,
        "the_captured_at": change.captured_at,
        "the_attempts": change.attempts + 1,
    }
