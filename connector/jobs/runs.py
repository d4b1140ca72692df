"""Lists runs that write, of all kinds, and tells what one of them came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from connector.api.runs import (
    RunTotals,
    RunView,
    RunWrite,
    view_job_run,
    view_reconcile_run,
    view_resync_run,
    view_undo,
    view_write,
)
from connector.errors import CommandError
from connector.jobs.job_runner import PULL
from connector.model.resync import ResyncMode
from connector.model.run_name import RunKind, RunName
from connector.store import job_runs, orgs, reconcile_runs, resyncs, undos
from connector.store.engine import Connection, Store
from connector.store.queries import run_writes

MOST_COUNTED = 5_000
"""Writes of a run that are counted for its totals."""


async def list_runs(
    store: Store, *, kind: RunKind | None = None, actor: str | None = None, before: datetime | None = None, limit: int
) -> list[RunView]:
    """Up to `limit` runs that were asked for before `before`, the newest first: resyncs that send or read, comparisons
    that healed, jobs that have read changes, and undos."""
    async with store.reader() as connection:
        found: list[RunView] = []
        if kind in {None, RunKind.RESYNC}:
            some = await resyncs.list_before(connection, before=before, limit=limit, actor=actor)
            found += [view_resync_run(item, 0) for item in some if item.mode is not ResyncMode.COMPARE]
        if kind in {None, RunKind.RECONCILE} and actor is None:
            healed = await reconcile_runs.list_healed(connection, before=before, limit=limit)
            found += [view_reconcile_run(item, 0) for item in healed]
        if kind in {None, RunKind.JOB}:
            pulled = await job_runs.list_busy(connection, PULL, before=before, limit=limit, actor=actor)
            found += [view_job_run(item, 0) for item in pulled]
        if kind in {None, RunKind.UNDO}:
            undone = await undos.list_page(connection, before=before, limit=limit, actor=actor)
            found += [view_undo(item, 0, store.clock.now()) for item in undone]
        found = sorted(found, key=lambda item: (item.created_at, item.run), reverse=True)[:limit]
        return await _complete(connection, found)


async def get_run(store: Store, name: str) -> RunView:
    """One run. Raises CommandError if there is none of this name."""
    parsed = RunName.parse(name)
    async with store.reader() as connection:
        view = None if parsed is None else await _find(connection, parsed, store.clock.now())
        if view is None:
            raise CommandError(
                f"There is no run {name}.", hint="`connector runs list` lists them.", field="run", rule="unknown"
            )
        [view] = await _complete(connection, [view])
        return view


async def _find(connection: Connection, name: RunName, now: datetime) -> RunView | None:
    match name.kind:
        case RunKind.RESYNC:
            resync = await resyncs.get(connection, name.number)
            return None if resync is None else view_resync_run(resync, 0)
        case RunKind.RECONCILE:
            reconciled = await reconcile_runs.get(connection, name.number)
            return None if reconciled is None else view_reconcile_run(reconciled, 0)
        case RunKind.JOB:
            job = await job_runs.get(connection, name.number)
            return None if job is None else view_job_run(job, 0)
        case RunKind.UNDO:
            undo = await undos.get(connection, name.number)
            return None if undo is None else view_undo(undo, 0, now)


async def _complete(connection: Connection, views: Sequence[RunView]) -> list[RunView]:
    """With what still waits of each, and the undos of each."""
    names = [view.run for view in views]
    waiting = await undos.count_waiting(connection, names) if names else {}
    undone = await undos.list_of_runs(connection, names) if names else {}
    return [_completed(view, waiting.get(view.run, 0), undone.get(view.run, ())) for view in views]


def _completed(view: RunView, waiting: int, undone_by: Sequence[str]) -> RunView:
    if view.kind == RunKind.UNDO and view.state == "done" and waiting:
        view = replace(view, state="running", ended_at=None)
    return replace(view, waiting=waiting, undone_by=tuple(undone_by))


async def find_orgs_of(store: Store, name: str) -> list[str]:
    """The names of the orgs that a run has written to or read from; that of the default one is empty."""
    async with store.reader() as connection:
        ids = await run_writes.list_orgs(connection, name)
        names = dict(await orgs.list_active_names(connection))
    return sorted({names.get(org_id, "") for org_id in ids})


async def list_writes(
    store: Store, name: str, *, after: int = 0, limit: int, with_personal: bool
) -> tuple[list[RunWrite], int | None]:
    """Up to `limit` writes of a run behind the one with the ID `after`, and the ID to go on behind; None at the end."""
    async with store.reader() as connection:
        entries = await run_writes.list_entries(connection, name, after=after, limit=limit + 1)
    following = entries[limit - 1].id if len(entries) > limit else None
    return [view_write(entry, with_personal=with_personal) for entry in entries[:limit]], following


async def total_run(store: Store, name: str) -> RunTotals:
    """What a run came to."""
    async with store.reader() as connection:
        counts = await run_writes.count_run(connection, name, limit=MOST_COUNTED)
    found = counts.fields
    return RunTotals(
        created=len(found.created), updated=len(found.updated - found.created), deleted=len(found.deleted),
        fields=found.fields, refused=counts.refused, taken=found.taken, calls=len(counts.calls),
        is_partial=counts.is_partial,
    )  # fmt: skip
