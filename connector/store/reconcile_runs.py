"""Runs of the reconciliation, and what they found: a bounded list of each.

A run that ends early stays as `stopped`. One that is found running when another begins was killed: the lease of a run
lets only one be at work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Integer, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.reconciliation import (
    FINDINGS,
    FieldDifference,
    Finding,
    Healing,
    ReconcileRun,
    Reconciliation,
    RecordState,
    RunState,
)
from connector.model.record import dump_value, load_value
from connector.store.inbound_tables import reconcile_findings as findings
from connector.store.inbound_tables import reconcile_runs as runs
from connector.store.sql import Before, chunks, is_before
from connector.store.unit_of_work import UnitOfWork

RUNS_KEPT = 30
"""Older runs are deleted with their findings. Those that compared everything are counted apart: a resync that compares
makes a run of selected keys for each batch."""

_VALUES = ("base", "local", "remote")


_END_KILLED = (
    update(runs)
    .where(runs.c.org_id == bindparam("the_org"), runs.c.state == RunState.RUNNING.value)
    .values(state=RunState.STOPPED.value)
)
_INSERT = insert(runs).returning(runs.c.id)


async def begin(
    uow: UnitOfWork, org_id: str, *, full: bool, scope: Mapping[str, Sequence[str]], planned: int | None = None
) -> int:
    """Store a run that begins, and return its number. A run that was killed is stopped. `planned`: how many records it
    will compare, if they were counted."""
    await uow.connection.execute(_END_KILLED, {"the_org": org_id})
    row = {
        "org_id": org_id,
        "state": RunState.RUNNING.value,
        "full": full,
        "scope": _json(scope),
        "started_at": uow.now,
        "calls": 0,
        "healed": 0,
        "counts": "{}",
        "fields": "{}",
        "planned": planned,
    }
    number: int = (await uow.connection.execute(_INSERT, row)).scalar_one()
    return number


_RESULT = ("state", "finished_at", "calls", "healed", "counts", "fields")
_OF_ID = runs.c.id == bindparam("the_run")
_FINISH = update(runs).where(_OF_ID).values({name: bindparam(f"new_{name}") for name in _RESULT})
_INSERT_FINDINGS = insert(findings)
_DELETE_FINDINGS = delete(findings).where(findings.c.run == bindparam("the_run"))
_VERIFIED = select(func.max(runs.c.id)).where(runs.c.full.is_(True), runs.c.state == RunState.FINISHED.value)
_SHOWN = _VERIFIED.group_by(runs.c.org_id)  # by `connector status`, however many selected keys were compared since
_FULL = select(runs.c.full).where(_OF_ID).scalar_subquery()
_LIMIT = bindparam("the_limit", type_=Integer)
_KEPT = select(runs.c.id).where(runs.c.full == _FULL).order_by(runs.c.id.desc()).limit(_LIMIT)
_IS_OLD = (runs.c.full == _FULL) & runs.c.id.not_in(_KEPT) & runs.c.id.not_in(_SHOWN)
_DELETE_OLD_FINDINGS = delete(findings).where(findings.c.run.in_(select(runs.c.id).where(_IS_OLD)))
_DELETE_OLD = delete(runs).where(_IS_OLD)


async def finish(
    uow: UnitOfWork, run: int, result: Reconciliation, *, state: RunState, calls: int, healed: int = 0
) -> None:
    """Store the result of a run, and delete runs that are too old."""
    counts = {
        entity: {kind.value: number for kind, number in counter.items()} for entity, counter in result.counts.items()
    }
    values = {
        "state": state.value,
        "finished_at": uow.now,
        "calls": calls,
        "healed": healed,
        "counts": _json(counts),
        "fields": _json(dict(result.fields)),
    }
    await uow.connection.execute(_FINISH, {"the_run": run, **{f"new_{name}": value for name, value in values.items()}})
    await uow.connection.execute(_DELETE_FINDINGS, {"the_run": run})
    rows = [
        {
            "run": run,
            "number": number,
            "entity": item.entity,
            "key": item.key,
            "state": item.state.value,
            "sobject": item.sobject,
            "record_id": item.record_id,
            "detail": item.detail,
            "fields": _json([_dump_field(field) for field in item.fields]),
        }
        for number, item in enumerate([*result.findings, *result.open], start=1)
    ]
    for some in chunks(rows):
        await uow.connection.execute(_INSERT_FINDINGS, some)
    for statement in (_DELETE_OLD_FINDINGS, _DELETE_OLD):
        await uow.connection.execute(statement, {"the_run": run, "the_limit": RUNS_KEPT})


async def note_progress(uow: UnitOfWork, run: int, *, compared: int, calls: int) -> None:
    """A run has compared so many records until now."""
    await uow.connection.execute(update(runs).where(runs.c.id == run).values(compared=compared, calls=calls))


_OF_ORG = select(runs).where(runs.c.org_id == bindparam("the_org")).order_by(runs.c.id.desc()).limit(1)
_RUNNING = _OF_ORG.where(runs.c.state == RunState.RUNNING.value)
_LATEST = _OF_ORG.where(runs.c.state == RunState.FINISHED.value)
_LATEST_FULL = _LATEST.where(runs.c.full.is_(True))


async def find_running(connection: AsyncConnection, org_id: str) -> ReconcileRun | None:
    """The run that is under way, or was when its process was killed."""
    row = (await connection.execute(_RUNNING, {"the_org": org_id})).first()
    return None if row is None else _build(row)


_STOP = (
    update(runs)
    .where(_OF_ID, runs.c.state == RunState.RUNNING.value)
    .values(state=RunState.STOPPED.value, finished_at=bindparam("the_now"), calls=bindparam("the_calls"))
)


async def stop(uow: UnitOfWork, run: int, *, calls: int) -> None:
    """A run ended before its end: it verified nothing."""
    await uow.connection.execute(_STOP, {"the_run": run, "the_now": uow.now, "the_calls": calls})


async def latest(connection: AsyncConnection, org_id: str, *, full: bool = True) -> ReconcileRun | None:
    """The latest run that was finished; with `full`, the latest one that compared everything."""
    row = (await connection.execute(_LATEST_FULL if full else _LATEST, {"the_org": org_id})).first()
    return None if row is None else _build(row)


async def get(connection: AsyncConnection, number: int) -> ReconcileRun | None:
    row = (await connection.execute(select(runs).where(runs.c.id == number))).first()
    return None if row is None else _build(row)


async def list_healed(connection: AsyncConnection, *, before: Before | None = None, limit: int) -> list[ReconcileRun]:
    """Runs that began before that time and healed something, the newest first."""
    statement = select(runs).where(runs.c.healed > 0).order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(is_before(runs.c.started_at, runs.c.id, before))
    return [_build(row) for row in await connection.execute(statement)]


async def list_page(
    connection: AsyncConnection, *, org_ids: Sequence[str], before: int | None = None, limit: int
) -> list[ReconcileRun]:
    """Runs of these orgs, the newest first; `before`: only with a smaller ID."""
    statement = select(runs).where(runs.c.org_id.in_(org_ids)).order_by(runs.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(runs.c.id < before)
    return [_build(row) for row in await connection.execute(statement)]


async def latest_of(connection: AsyncConnection, org_id: str, entity: str, key: str) -> ReconcileRun | None:
    """The latest run that was finished and compared this entity alone, as long as it is kept."""
    statement = select(runs).where(
        runs.c.org_id == org_id,
        runs.c.state == RunState.FINISHED.value,
        runs.c.full.is_(False),
        runs.c.scope == _json({entity: [key]}),
    )
    row = (await connection.execute(statement.order_by(runs.c.id.desc()).limit(1))).first()
    return None if row is None else _build(row)


async def list_findings(connection: AsyncConnection, run: int, *, limit: int) -> list[Finding]:
    """Up to `limit` differences that a run found."""
    chosen = findings.c.state.in_([state.value for state in FINDINGS])
    statement = select(findings).where(findings.c.run == run, chosen).order_by(findings.c.number).limit(limit)
    return [_finding(row) for row in await connection.execute(statement)]


async def list_records(
    connection: AsyncConnection, run: int, *, states: Collection[RecordState], entity: str | None = None, limit: int
) -> list[Finding]:
    """Up to `limit` records in these states that a run has listed; `entity`: only of this kind."""
    statement = select(findings).where(findings.c.run == run, findings.c.state.in_([item.value for item in states]))
    if entity is not None:
        statement = statement.where(findings.c.entity == entity)
    rows = await connection.execute(statement.order_by(findings.c.number).limit(limit))
    return [_finding(row) for row in rows]


def _finding(row: Any) -> Finding:
    return Finding(
        entity=row.entity,
        key=row.key,
        state=RecordState(row.state),
        sobject=row.sobject,
        record_id=row.record_id,
        detail=row.detail,
        fields=tuple(_load_field(item) for item in orjson.loads(row.fields)),
    )


def _build(row: Any) -> ReconcileRun:
    stored = dict(row._mapping)
    parsed = {name: orjson.loads(stored[name]) for name in ("scope", "counts", "fields")}
    return ReconcileRun(**(stored | parsed | {"state": RunState(row.state)}))


def _dump_field(item: FieldDifference) -> dict[str, Any]:
    return {
        "field": item.field,
        "owner": item.owner,
        "has_base": item.has_base,
        "healing": item.healing.value,
        **{name: dump_value(getattr(item, name)) for name in _VALUES},
    }


def _load_field(stored: dict[str, Any]) -> FieldDifference:
    values = {name: load_value(stored[name]) for name in _VALUES}
    return FieldDifference(**(stored | values | {"healing": Healing(stored["healing"])}))


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
