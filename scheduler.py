"""The scheduler: runs the jobs of `connector.jobs.schedule` by APScheduler. `python scheduler.py` is the whole service:
the API, the worker that sends to the org, the listener and the scheduler, as `connector serve`.

Every process may have a scheduler. A slot of a job is a row in the database, so it is run once, whoever comes first;
what a person asked for is run by the first scheduler that sees it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Coroutine, Sequence
from datetime import timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from connector.errors import ConnectorError, StoreError
from connector.jobs.job_runner import JobRunner
from connector.jobs.schedule import Job, clock_trigger, latest_slot
from connector.log import StateLog, get_logger
from connector.model.job_run import JobRun, JobSchedule, JobTrigger
from connector.store import job_runs, job_schedules
from connector.store.unit_of_work import UnitOfWork

# Late is better than never, twice is never better than once.
JOB_DEFAULTS = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
WATCH_SECONDS = 1.0
"""How often it looks for runs that people ask for, dead runs, and changed schedules."""
CATCH_UP = timedelta(days=1)
"""A slot that nobody ran is run at the next start, if it is not older."""

log = get_logger("scheduler")


class JobScheduler:
    """Runs jobs at their times, and when somebody asks. If a run takes longer than its interval, the slots in between
    are left out. `schedules`: what people changed, as last read."""

    def __init__(self, jobs: Sequence[Job], runner: JobRunner, *, watch_seconds: float = WATCH_SECONDS) -> None:
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it would write plain lines among ours
        self._jobs = {job.name: job for job in jobs}
        self._runner = runner
        self._store = runner.store
        self._watch_seconds = watch_seconds
        self._clock = AsyncIOScheduler(job_defaults=JOB_DEFAULTS, timezone="UTC")
        self._turn = asyncio.Lock()
        self._queued: set[str] = set()
        """Jobs that somebody asked for, and that wait for their turn."""
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._triggers: dict[str, JobTrigger] = {}
        self.schedules: dict[str, JobSchedule] = {}
        self._looking = StateLog(log, "jobs not looked for", "jobs are looked for again")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; runs that are under way may finish."""
        try:
            await self._look()
            await self._catch_up()
            self._clock.start()
            while not stop.is_set():
                try:
                    async with asyncio.timeout(self._watch_seconds):
                        await stop.wait()
                except TimeoutError:
                    await self._look()
            self._stopping = True
            self._clock.pause()
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._clock.running:
                self._clock.shutdown(wait=False)

    async def _look(self) -> None:
        """Follow changed schedules, begin dead runs anew, and take what people ask for."""
        try:
            async with self._store.reader() as connection:
                self.schedules = await job_schedules.load(connection)
            self._reschedule()
            dead, taken = await self._store.transact(self._take)
        except StoreError as error:
            self._looking.fail(error.message, hint=error.hint)
            return
        self._looking.work()
        for run in dead:
            log.warning("run interrupted", job=run.job, run=run.id, worker=run.worker)
        for run in taken:
            self._start(self._runner.run(self._jobs[run.job], run))

    async def _take(self, uow: UnitOfWork) -> tuple[list[JobRun], list[JobRun]]:
        """The dead runs, which are to begin anew, and those that are ours now. A run that is taken must be at work, or
        others hold it for dead; so a job that runs one at a time is taken when it is its turn."""
        runner = self._runner
        dead = await job_runs.interrupt_dead(uow, worker=runner.worker)
        for run in dead:
            await job_runs.restart(uow, run)
        waiting = [self._jobs[run.job] for run in await job_runs.list_waiting(uow.connection, self._jobs.keys())]
        for job in waiting:
            if not job.concurrent and job.name not in self._queued:
                self._queued.add(job.name)
                self._start(self._take_in_turn(job))
        names = [job.name for job in waiting if job.concurrent]
        return dead, await job_runs.take_waiting(uow, names, worker=runner.worker, ttl=runner.ttl) if names else []

    async def _take_in_turn(self, job: Job) -> None:
        """Wait for the turn, and run what was asked for, unless another process has taken it meanwhile."""
        runner = self._runner
        try:
            async with self._turn:
                if self._stopping:
                    return
                async with self._store.transaction() as uow:
                    taken = await job_runs.take_waiting(uow, [job.name], worker=runner.worker, ttl=runner.ttl)
                for run in taken:
                    await runner.run(job, run)
        except StoreError as error:
            log.error("job not begun", job=job.name, error=error.message, hint=error.hint)
        finally:
            self._queued.discard(job.name)

    def _reschedule(self) -> None:
        for job in self._jobs.values():
            changed = self.schedules.get(job.name)
            trigger = job.definition.trigger if changed is None or changed.trigger is None else changed.trigger
            if job.definition.continuous or trigger == self._triggers.get(job.name):
                continue
            if trigger is None:  # on request only, as the settings say
                del self._triggers[job.name]
                self._clock.remove_job(job.name)
                continue
            self._triggers[job.name] = trigger
            self._clock.add_job(self._fire, clock_trigger(trigger), args=[job], id=job.name, replace_existing=True)

    async def _catch_up(self) -> None:
        """Run what was due while no scheduler was there: the latest slot of each cron trigger that has run before."""
        async with self._store.reader() as connection:
            latest = await job_runs.latest(connection, list(self._triggers))
        now = self._store.clock.now()
        for name, trigger in self._triggers.items():
            run = latest.get(name)
            slot = None if trigger.cron is None or run is None else latest_slot(trigger, now)
            if run is None or slot is None or self._is_paused(name):
                continue
            if run.created_at < slot and now - slot < CATCH_UP:
                self._start(self._run_slot(self._jobs[name]))

    async def _fire(self, job: Job) -> None:
        """Called by the clock when a slot is due."""
        if not self._stopping and not self._is_paused(job.name):
            task = self._start(self._run_slot(job))
            await asyncio.wait({task})

    def _is_paused(self, job: str) -> bool:
        changed = self.schedules.get(job)
        return changed is not None and changed.paused

    async def _run_slot(self, job: Job) -> None:
        if job.concurrent:
            await self._begin(job)
            return
        async with self._turn:
            await self._begin(job)

    async def _begin(self, job: Job) -> None:
        runner = self._runner
        slot = latest_slot(self._triggers[job.name], self._store.clock.now())
        if slot is None:
            return
        try:
            async with self._store.transaction() as uow:
                run: JobRun | None = await job_runs.begin(uow, job.name, slot, worker=runner.worker, ttl=runner.ttl)
        except StoreError as error:
            log.error("job not begun", job=job.name, error=error.message, hint=error.hint)
            return
        if run is not None:
            await runner.run(job, run)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def main() -> int:
    """Exit status as for the command line: 2 for settings that cannot work."""
    from connector.process_roles import serve

    argparse.ArgumentParser(prog="python -m scheduler", description=__doc__).parse_args()
    try:
        asyncio.run(serve())
    except ConnectorError as error:
        print(f"scheduler: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
