"""`python -m tests.chaos.fast_service FACTOR START LOG`: the whole service, on a clock that runs FACTOR times as fast.

The clock showed the real time at START (seconds since 1970), so that several processes agree. It is the clock of the
product and that of APScheduler; what waits for a server waits for real. Each run of a job that begins or ends is a line
in LOG.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any

import apscheduler.executors.base
import apscheduler.schedulers.base
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from connector.clock import SystemClock
from connector.jobs.job_runner import JobRunner
from connector.jobs.schedule import Job, Result
from connector.model.job_run import JobRun
from connector.process_roles import serve


def fast_time(factor: float, start: float) -> datetime:
    return datetime.fromtimestamp(start + (time.time() - start) * factor, UTC)


def speed_up(factor: float, start: float) -> None:
    """Let the clocks of this process run faster."""

    class FastDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> FastDatetime:
            moment = fast_time(factor, start).astimezone(tz)
            return cls.fromtimestamp(moment.timestamp(), tz)

    async def sleep(self: SystemClock, seconds: float) -> None:
        await asyncio.sleep(seconds / factor)

    start_timer = AsyncIOScheduler._start_timer

    def start_fast_timer(self: AsyncIOScheduler, wait_seconds: float | None) -> None:
        start_timer(self, None if wait_seconds is None else wait_seconds / factor)

    SystemClock.now = lambda self: fast_time(factor, start)  # type: ignore[method-assign]
    SystemClock.sleep = sleep  # type: ignore[method-assign]
    apscheduler.schedulers.base.datetime = FastDatetime
    apscheduler.executors.base.datetime = FastDatetime
    AsyncIOScheduler._start_timer = start_fast_timer


def log_runs(file: str) -> None:
    """Write a line when a run begins, and when it ends."""
    run_job = JobRunner.run
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(what: str, run: JobRun) -> None:
        line: dict[str, Any] = {"what": what, "run": run.id, "job": run.job, "pid": os.getpid(), "at": time.time()}
        os.write(descriptor, f"{json.dumps(line)}\n".encode())

    async def noted(self: JobRunner, job: Job, run: JobRun) -> None:
        async def work() -> Result:
            note("begin", run)
            try:
                return await job.run()
            finally:
                note("end", run)

        await run_job(self, replace(job, run=work), run)

    JobRunner.run = noted  # type: ignore[method-assign]


def main() -> None:
    factor, start, file = sys.argv[1:]
    speed_up(float(factor), float(start))
    log_runs(file)
    asyncio.run(serve())


if __name__ == "__main__":
    main()
