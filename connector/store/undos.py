"""Undos of runs: who asked for which, what it came to, and what it has left as somebody had changed it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.run_name import RunKind, RunName
from connector.store import journal
from connector.store.job_tables import undos
from connector.store.journal import JournalEntry
from connector.store.sql import Before, insert, is_before
from connector.store.tables import HAS_RUN, outbox
from connector.store.unit_of_work import UnitOfWork

STOPPED_AFTER = timedelta(minutes=5)
"""From when on an undo that nobody has worked on is stopped: a part of it takes seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undo:
    """An undo of `run`. `total` fields were to be put back; `counts` are the rows of its plan by state; `left_alone`
    are fields that somebody has changed since, without their values. It has `ended` when all of it was made due; until
    then it has come to `reached` fields, at `renewed_at`."""

    id: int
    run: str
    org_id: str
    plan: str
    actor: str
    created_at: datetime
    ended_at: datetime | None
    renewed_at: datetime | None
    total: int
    reached: int
    counts: Mapping[str, int]
    left_alone: Sequence[Mapping[str, Any]]

    @property
    def run_name(self) -> str:
        """Its own name among runs of all kinds."""
        return str(RunName(RunKind.UNDO, self.id))

    def is_stopped(self, now: datetime) -> bool:
        """Whether the process that worked on it has ended before it was done."""
        return self.ended_at is None and (self.renewed_at or self.created_at) < now - STOPPED_AFTER


async def create(
    uow: UnitOfWork,
    org_id: str,
    run: str,
    *,
    plan: str,
    total: int,
    counts: Mapping[str, int],
    left_alone: Sequence[Mapping[str, Any]],
    actor: str,
) -> Undo | None:
    """Store an undo that begins, with an entry for the audit; None if this plan was carried out before."""
    row = {
        "run": run,
        "org_id": org_id,
        "plan": plan,
        "actor": actor,
        "created_at": uow.now,
        "renewed_at": uow.now,
        "total": total,
        "reached": 0,
        "counts": orjson.dumps(counts).decode(),
        "left_alone": orjson.dumps(list(left_alone), default=str).decode(),
    }
    statement = insert(uow.connection, undos).values(row).on_conflict_do_nothing().returning(*undos.c)
    stored = (await uow.connection.execute(statement)).first()
    if stored is None:
        return None
    made = _build(stored)
    detail = {"run": made.run_name, "plan": plan, "fields": total, "counts": dict(counts)}
    entry = JournalEntry(entity="run", key=run, action="undone", detail=detail, org_id=org_id, actor=actor)
    await journal.write(uow, [entry])
    return made


async def renew(uow: UnitOfWork, number: int, *, fields: int = 0) -> None:
    """Note that the undo is worked on, and has come to so many further fields."""
    values = {"renewed_at": uow.now, "reached": undos.c.reached + fields}
    await uow.connection.execute(update(undos).where(undos.c.id == number).values(values))


async def find_plan(connection: AsyncConnection, org_id: str, run: str, plan: str) -> Undo | None:
    """The undo that has carried out this plan."""
    chosen = (undos.c.org_id == org_id, undos.c.run == run, undos.c.plan == plan)
    row = (await connection.execute(select(undos).where(*chosen))).first()
    return None if row is None else _build(row)


async def end(uow: UnitOfWork, number: int, *, forbidden: Sequence[str] = ()) -> None:
    """Note that all of it was made due; `forbidden`: what the rules of orders do not allow, in words."""
    values: dict[str, Any] = {"ended_at": uow.now, "renewed_at": uow.now, "reached": undos.c.total}
    stored = await get(uow.connection, number) if forbidden else None
    if stored is not None:
        refused = [*stored.left_alone, *({"why": text} for text in forbidden)]
        values["left_alone"] = orjson.dumps(refused, default=str).decode()
        values["counts"] = orjson.dumps({**stored.counts, "forbidden": len(forbidden)}).decode()
    await uow.connection.execute(update(undos).where(undos.c.id == number).values(values))


async def get(connection: AsyncConnection, number: int) -> Undo | None:
    row = (await connection.execute(select(undos).where(undos.c.id == number))).first()
    return None if row is None else _build(row)


async def list_page(
    connection: AsyncConnection, *, before: Before | None = None, limit: int, actor: str | None = None
) -> list[Undo]:
    """Undos, the newest first; `before`: only those that were asked for earlier; `actor`: only by this one."""
    statement = select(undos).order_by(undos.c.created_at.desc(), undos.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(is_before(undos.c.created_at, undos.c.id, before))
    if actor is not None:
        statement = statement.where(undos.c.actor == actor)
    return [_build(row) for row in await connection.execute(statement)]


async def list_of_run(connection: AsyncConnection, run: str) -> list[Undo]:
    """The undos of one run, the newest first."""
    statement = select(undos).where(undos.c.run == run).order_by(undos.c.id.desc()).limit(20)
    return [_build(row) for row in await connection.execute(statement)]


async def list_of_runs(connection: AsyncConnection, runs: Collection[str]) -> dict[str, list[str]]:
    """The names of the undos of each of these runs, the newest first."""
    found: dict[str, list[str]] = {}
    statement = select(undos.c.run, undos.c.id).where(undos.c.run.in_(sorted(runs))).order_by(undos.c.id.desc())
    for run, number in await connection.execute(statement):
        found.setdefault(run, []).append(str(RunName(RunKind.UNDO, number)))
    return found


async def count_waiting(connection: AsyncConnection, runs: Collection[str]) -> dict[str, int]:
    """How many entities still wait in the outbox, by the run that made them due."""
    statement = select(outbox.c.run, func.count()).where(HAS_RUN, outbox.c.run.in_(sorted(runs))).group_by(outbox.c.run)
    return {row.run: row[1] for row in await connection.execute(statement)}


def _build(row: Any) -> Undo:
    stored = dict(row._mapping)
    parsed = {name: orjson.loads(stored[name]) for name in ("counts", "left_alone")}
    return Undo(**stored | parsed)
