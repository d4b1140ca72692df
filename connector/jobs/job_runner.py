"""Runs one run of a job: shows that it is alive, and records how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from connector.errors import ConnectorError, StoreError
from connector.jobs.schedule import Job, Result
from connector.log import current_run, get_logger, log_context
from connector.metrics import JOB_RUNS
from connector.model.job_run import JobRun, JobState
from connector.model.run_name import RunKind, RunName
from connector.store import job_runs, schema
from connector.store.engine import Store
from connector.tracing import span

LONGEST_RUN = timedelta(hours=12)
"""A run that takes longer hangs, and would keep its job from ever running again."""
PULL = "pull_"
"""How the names of jobs begin that read changes of the org."""
RECORD_SECONDS = 3.0
"""How long a process that is stopped waits until the end of a run is recorded."""

log = get_logger(__name__)


class RunLostError(Exception):
    """Other processes held the run for dead: this one was frozen."""


class JobRunner:
    """Runs jobs for one process. `worker` is its name, `ttl` the seconds after which a run is dead that no longer says
    that it is alive. The same failure of a job is logged once in a row."""

    def __init__(self, store: Store, *, worker: str, ttl: float) -> None:
        self.store = store
        self.worker = worker
        self.ttl = ttl
        self._failures: dict[str, str] = {}

    async def run(self, job: Job, run: JobRun) -> None:
        """Run the job and record the end. Never raises but for a cancellation, after which the job is begun anew by
        whoever is there."""
        token = current_run.set(str(RunName(RunKind.JOB, run.id)) if job.name.startswith(PULL) else None)
        try:
            with log_context(job=job.name, run=run.id), span(f"job {job.name}", connector__run=run.id):
                await self._run(job, run)
        finally:
            current_run.reset(token)

    async def _run(self, job: Job, run: JobRun) -> None:
        limit = asyncio.timeout(LONGEST_RUN.total_seconds())
        try:
            async with self._kept_alive(run):
                await schema.check(self.store)  # a newer release may have upgraded the database
                async with limit:
                    result = await job.run()
        except asyncio.CancelledError:
            with suppress(StoreError):
                await asyncio.shield(self._interrupt(run))
            raise
        except RunLostError:
            log.warning("run lost", job=job.name, run=run.id)
        except TimeoutError as error:
            hours = LONGEST_RUN.total_seconds() / 3600
            text = f"It took longer than {hours:g} hours." if limit.expired() else f"TimeoutError: {error}"[:1000]
            self._tell_failure(job.name, text, hint=None)
            await self._record(run, JobState.FAILED, error=text)
        except ConnectorError as error:
            self._tell_failure(job.name, error.message, hint=error.hint)
            await self._record(run, JobState.FAILED, error=error.message, fix=error.hint)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:1000]
            self._tell_failure(job.name, text, hint=None, fault=error)
            await self._record(run, JobState.FAILED, error=text)
        else:
            if (failure := self._failures.pop(job.name, None)) is not None:
                log.warning("job works again", job=job.name, after=failure)
            await self._record(run, JobState.DONE, result=result)

    def _tell_failure(self, job: str, error: str, *, hint: str | None, fault: Exception | None = None) -> None:
        """Once for the same failure in a row; a fault of ours with its traceback."""
        if self._failures.get(job) != error:
            log.error("job failed", job=job, error=error, hint=hint, **({"exc_info": fault} if fault else {}))
        self._failures[job] = error

    async def _record(
        self,
        run: JobRun,
        state: JobState,
        *,
        result: Result | None = None,
        error: str | None = None,
        fix: str | None = None,
    ) -> None:
        """Without a database the run expires, and is begun anew. Who cancels meanwhile waits until it is recorded."""
        recording = asyncio.create_task(self._finish(run, state, result, error, fix))
        try:
            await asyncio.shield(recording)
        except asyncio.CancelledError:
            await asyncio.wait({recording}, timeout=RECORD_SECONDS)
            raise

    async def _finish(
        self, run: JobRun, state: JobState, result: Result | None, error: str | None, fix: str | None
    ) -> None:
        JOB_RUNS.add(run.job, state.value)
        with suppress(StoreError):
            async with self.store.transaction() as uow:
                await job_runs.finish(uow, run, state, result=result, error=error, fix=fix)

    async def _interrupt(self, run: JobRun) -> None:
        async with self.store.transaction() as uow:
            if await job_runs.finish(uow, run, JobState.INTERRUPTED, error="The service was stopped."):
                await job_runs.restart(uow, run)

    @asynccontextmanager
    async def _kept_alive(self, run: JobRun) -> AsyncIterator[None]:
        """Renew the run while the block runs; the block is canceled if it is lost."""
        outer = asyncio.current_task()
        assert outer is not None
        lost = False

        async def keep() -> None:
            nonlocal lost
            while True:
                await self.store.clock.sleep(self.ttl / 3)
                with suppress(StoreError):  # a database that is away for a moment; the run expires if it lasts
                    async with self.store.transaction() as uow:
                        if not await job_runs.renew(uow, run, ttl=self.ttl):
                            lost = True
                            outer.cancel()
                            return

        keeping = asyncio.create_task(keep())
        try:
            yield
        except asyncio.CancelledError:
            if lost and outer.uncancel() == 0:
                raise RunLostError from None
            raise
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
