"""The org's own hands: works off jobs in the background, a step at a time, so that calls are answered meanwhile."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from connector.localorg.bulk.ingest_job import Ingest
from connector.localorg.bulk.job_store import FAILED, OVER, Job
from connector.localorg.bulk.query_job import Extract
from connector.localorg.events.change_events import origin
from connector.localorg.locks import HeldError

if TYPE_CHECKING:
    from connector.localorg.org import Org

_log = logging.getLogger(__name__)
PAUSE = 0.0005


class Worker:
    def __init__(self, org: Org) -> None:
        self._org = org
        self._work = asyncio.Event()
        org.jobs.woken = self._work.set

    async def run(self) -> None:
        """Until cancelled. Jobs that were under way when the org was last stopped come first."""
        self._work.set()
        while True:
            await self._work.wait()
            self._work.clear()
            while (job := self._org.jobs.next()) is not None:
                try:
                    await self._finish(job)
                except Exception as error:  # a fault of ours must not stop all jobs for ever
                    _log.exception("job %s failed", job.id)
                    self._org.jobs.move(job, FAILED, error=f"InternalServerError : {type(error).__name__}")

    async def _finish(self, job: Job) -> None:
        org = self._org
        runner: Ingest | Extract
        if job.kind == "ingest":
            runner = Ingest(job, org.jobs, org.dml, org.faults)
        else:
            runner = Extract(job, org.jobs, org.storage, org.schema, org.clock())
        waited = 0.0
        while True:
            written = org.dml.rows_written
            org.hub.origin = origin("bulkapi", job.version, job.client)
            try:
                if not runner.step():
                    return
                waited = 0.0
            except HeldError as held:
                org.dml.rows_written = written
                waited += held.seconds
                await asyncio.sleep(held.seconds)
            runner.patient = waited < org.locks.patience
            await asyncio.sleep(PAUSE + org.locks.hold(org.dml.rows_written - written))
            if org.jobs.state(job) in OVER:  # somebody aborted it meanwhile
                return
