"""Lists runs that write, of all kinds, and tells what one of them came to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

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
from connector.model.run_name import RunKind, RunName, RunPlace
from connector.store import job_runs, orgs, reconcile_runs, resyncs, undos
from connector.store.engine import Connection, Store
from connector.store.queries import run_writes
from connector.store.queries.run_writes import RunCounts

MOST_COUNTED = 5_000
"""Writes of a run that are counted for its totals."""
COUNTED_AGAIN_AFTER = timedelta(minutes=1)
"""How long the totals of a run that goes on are shown before they are counted again."""
MOST_KEPT = 500
"""Runs whose totals a process keeps."""
_PAGE = 50
"""Entries that are counted between two looks at what else there is to do: one can have hundreds of lines."""


async def list_runs(
    store: Store, *, kind: RunKind | None = None, actor: str | None = None, before: RunPlace | None = None, limit: int
) -> list[RunView]:
    """Up to `limit` runs behind the place `before`, the newest first: resyncs that send or read, comparisons
    that healed, jobs that have read changes, and undos."""

    def place(kind: RunKind) -> tuple[datetime, int] | None:
        return None if before is None else before.before(kind)

    async with store.reader() as connection:
        found: list[RunView] = []
        if kind in {None, RunKind.RESYNC}:
            some = await resyncs.list_before(connection, before=place(RunKind.RESYNC), limit=limit, actor=actor)
            found += [view_resync_run(item, 0) for item in some if item.mode is not ResyncMode.COMPARE]
        if kind in {None, RunKind.RECONCILE} and actor is None:
            healed = await reconcile_runs.list_healed(connection, before=place(RunKind.RECONCILE), limit=limit)
            found += [view_reconcile_run(item, 0) for item in healed]
        if kind in {None, RunKind.JOB}:
            pulled = await job_runs.list_busy(connection, PULL, before=place(RunKind.JOB), limit=limit, actor=actor)
            found += [view_job_run(item, 0) for item in pulled]
        if kind in {None, RunKind.UNDO}:
            undone = await undos.list_page(connection, before=place(RunKind.UNDO), limit=limit, actor=actor)
            found += [view_undo(item, 0, store.clock.now()) for item in undone]
        found = sorted(found, key=lambda item: item.place.order)[:limit]
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    """Totals as they were at a time. `is_final`: the run had ended, and nothing of it waited."""

    totals: RunTotals
    at: datetime
    is_final: bool


_kept: WeakKeyDictionary[Store, dict[str, _Kept]] = WeakKeyDictionary()


async def total_run(store: Store, view: RunView) -> RunTotals:
    """What a run came to. It is counted once when the run has ended, and before that once a minute."""
    of_store, now = _kept.setdefault(store, {}), store.clock.now()
    is_final = view.ended_at is not None and not view.waiting
    kept = of_store.get(view.run)
    if kept is not None and (kept.is_final or (not is_final and now < kept.at + COUNTED_AGAIN_AFTER)):
        return kept.totals
    totals = await _count(store, view.run)
    if len(of_store) >= MOST_KEPT:
        del of_store[next(iter(of_store))]
    of_store[view.run] = _Kept(totals=totals, at=now, is_final=is_final)
    return totals


async def _count(store: Store, name: str) -> RunTotals:
    """Count entries page by page: others have their turn in between."""
    counts, number = RunCounts(), 0
    after: int | None = 0
    while after is not None:
        if number >= MOST_COUNTED:
            counts.is_partial = True
            break
        async with store.reader() as connection:
            after = await run_writes.add_counts(connection, counts, name, after=after, limit=_PAGE)
        number += _PAGE
        await asyncio.sleep(0)
    found = counts.fields
    return RunTotals(
        created=len(found.created), updated=len(found.updated - found.created), deleted=len(found.deleted),
        fields=found.fields, refused=counts.refused, taken=found.taken, calls=len(counts.calls),
        is_partial=counts.is_partial,
    )  # fmt: skip
