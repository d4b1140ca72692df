"""The continuous push of a process: sends changes when they are made, and what others have made soon afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from connector.errors import ConnectorError, StoreError
from connector.jobs.push_summary import PushSummary
from connector.jobs.schedule import Result, job_of
from connector.log import bind, get_logger
from connector.model.job_run import JobState
from connector.model.lane import Lane
from connector.store import job_runs, job_schedules, outbox_counts
from connector.store.engine import Store

JOB = "push"
LINGER_SECONDS = 0.1
"""How long a change waits for others that travel with it: a call with many records costs no more than one with few.
What was captured during a push has waited already."""
LOOK_FOR_URGENT_SECONDS = 0.5
"""How often it is looked whether something urgent is due, when changes are collected for longer."""

log = get_logger("push")


class OutageLog:
    """Logs an outage of the org once, again when its cause changes, and when it is over."""

    def __init__(self) -> None:
        self._outage: str | None = None
        self._held: str | None = None

    def tell(self, summary: PushSummary) -> None:
        outage = summary.outage
        if outage is None:
            if self._outage is not None:
                log.warning("org_outage_over", code=self._outage)
        elif outage.code != self._outage:
            log.error(
                "org_outage",
                code=outage.code,
                error=outage.message,
                fix=outage.fix,
                since=outage.since.isoformat(),
                note="All changes stay due; the service tries again automatically, at most every five minutes.",
            )
        if outage is None and summary.held_code not in {None, self._held}:
            note = "These changes stay due, and the others are sent; `connector status` says what to do."
            log.error("changes_held", code=summary.held_code, note=note)
        self._outage = None if outage is None else outage.code
        self._held = None if summary.complete else summary.held_code or self._held


def push_result(summary: PushSummary) -> Result:
    """What a push came to, for the list of runs; empty if it sent nothing and nothing is wrong. `refused`: how many
    changes became dead letters by it, `dead_letters`: how many there are."""
    result: dict[str, object] = {}
    if summary.stats.done:
        done = {str(kind): count for kind, count in summary.stats.done.items()}
        result |= {"done": done, "writes": summary.writes, "reads": summary.reads}
    if summary.refusals:
        result |= {"refused": len(summary.refusals), "writes": summary.writes, "reads": summary.reads}
    if summary.dead_letters:
        result["dead_letters"] = summary.dead_letters
    if summary.outage is not None:
        result["outage"] = summary.outage.code
    return result


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    """Wait for one of these, at most so long."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


class PushLoop:
    """Pushes again and again, in one `run`. `push` is one scheduled push; `verify` asks the org who it is, also if
    nothing is due.

    A push that sent something, or was refused something, is kept as a run; of failures and of pushes during an outage,
    the first one in a row.
    """

    def __init__(
        self,
        store: Store,
        push: Callable[[bool], Awaitable[PushSummary]],
        *,
        worker: str,
        look_seconds: float,
        wakes_on_capture: bool = True,
        slow_down: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`look_seconds`: how often it looks for changes that other processes made. `wakes_on_capture`: it pushes when
        this process has captured a change; otherwise only `ring` wakes it. `slow_down`: the least time for which
        changes are collected, while the API budget is low."""
        self._store = store
        self._job = job_of(JOB, store.org or "")
        self._push = push
        self._worker = worker
        self._look_seconds = look_seconds
        self._wakes_on_capture = wakes_on_capture
        self._slow_down = slow_down
        self._rung = asyncio.Event()
        self._rung_at = 0.0
        self._begun = 0
        self._ended = 0
        self._has_ended = asyncio.Condition()
        self._is_over = False
        self._outages = OutageLog()
        self._noted: object = None
        self._failed = False

    async def run(self, stop: asyncio.Event) -> None:
        """Push until `stop`; a push that is under way ends. Raises only what is a fault of ours."""
        bind(job=self._job)
        if self._wakes_on_capture:
            self._store.on_captured.append(self._wake)
        verify = True
        try:
            while not stop.is_set():
                self._rung.clear()
                self._begun += 1
                if not await self._is_paused():
                    await self._push_once(verify)
                    verify = False
                await self._note_ended()
                await _first_of(self._rung, stop, seconds=self._look_seconds)
                if self._rung.is_set():
                    await self._collect(stop)
        finally:
            self._is_over = True  # whoever waits for the next push waits no more
            await self._note_ended()
            if self._wakes_on_capture:
                self._store.on_captured.remove(self._wake)

    async def ring(self) -> None:
        """Push now, and return when a push that began after this call has ended. It has sent what was free.

        Returns at once when the loop has ended: another worker sends what is due."""
        number = self._begun + 1
        self._wake()
        async with self._has_ended:
            await self._has_ended.wait_for(lambda: self._is_over or self._ended >= number)

    async def _collect(self, stop: asyncio.Event) -> None:
        """Let changes come together: for longer while the API budget is low, but not when something urgent is due."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._slow_down()
        if (linger := self._rung_at + LINGER_SECONDS - clock()) > 0:
            await _first_of(stop, seconds=linger)
        while (left := end - clock()) > 0 and not stop.is_set() and not await self._is_urgent():
            await _first_of(stop, seconds=min(left, LOOK_FOR_URGENT_SECONDS))

    async def _is_urgent(self) -> bool:
        try:
            async with self._store.reader() as connection:
                return bool(await outbox_counts.due_counts(connection, self._store.clock.now(), lowest=Lane.URGENT))
        except StoreError:
            return False  # the push says so itself

    def _wake(self, _slots: frozenset[int | None] = frozenset()) -> None:
        if not self._rung.is_set():
            self._rung_at = asyncio.get_running_loop().time()
        self._rung.set()

    async def _note_ended(self) -> None:
        async with self._has_ended:
            self._ended = self._begun
            self._has_ended.notify_all()

    async def _is_paused(self) -> bool:
        try:
            async with self._store.reader() as connection:
                schedule = (await job_schedules.load(connection)).get(self._job)
        except StoreError:
            return False  # the push says so itself
        return schedule is not None and schedule.paused

    async def _push_once(self, verify: bool) -> None:
        started = self._store.clock.now()
        try:
            summary = await self._push(verify)
        except ConnectorError as error:
            if self._noted != error.message:
                log.error("job failed", job=self._job, error=error.message, hint=error.hint)
                await self._keep(started, JobState.FAILED, {}, error=error.message, fix=error.hint)
            self._noted = error.message
            self._failed = True
            return
        if self._failed:
            log.warning("job works again", job=self._job, after=self._noted)
            self._failed = False
        self._outages.tell(summary)
        refused = len(summary.refusals)
        if refused:
            note = "`connector dead-letters list` says why and what to do."
            log.warning("pushed", done=dict(summary.stats.done), refused=refused, writes=summary.writes, note=note)
        elif summary.stats.done:
            log.info("pushed", done=dict(summary.stats.done), writes=summary.writes)
        result = push_result(summary)
        outage = None if summary.outage is None else summary.outage.code
        if summary.stats.done or refused or (outage is not None and outage != self._noted):
            await self._keep(started, JobState.DONE, result)
        self._noted = outage

    async def _keep(
        self, started: datetime, state: JobState, result: Result, *, error: str | None = None, fix: str | None = None
    ) -> None:
        with suppress(StoreError):
            async with self._store.transaction() as uow:
                await job_runs.record(
                    uow, self._job, state, worker=self._worker, started_at=started, result=result, error=error, fix=fix
                )
