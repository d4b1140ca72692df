"""Process bulk jobs in the background, one step at a time, so that API calls are answered in between."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from connector.localorg.bulk.ingest_job import IngestJobRunner
from connector.localorg.bulk.job_store import FAILED, FINISHED_STATES, Job
from connector.localorg.bulk.query_job import QueryJobRunner
from connector.localorg.events.change_events import change_origin
from connector.localorg.locks import RowLockedError

if TYPE_CHECKING:
    from connector.localorg.org import Org

_log = logging.getLogger(__name__)
STEP_PAUSE_SECONDS = 0.0005


class BulkWorker:
    def __init__(self, org: Org) -> None:
        self._org = org
        self._pending = asyncio.Event()
        org.jobs.on_work = self._pending.set

    async def run(self) -> None:
        """Run until the task is canceled. Jobs that were in progress when the org stopped come first."""
        self._pending.set()
        while True:
            await self._pending.wait()
            self._pending.clear()
            while (job := self._org.jobs.next_pending()) is not None:
                try:
                    await self._process_job(job)
                except Exception as error:  # an internal error must not stop all jobs
                    _log.exception("job %s failed", job.id)
                    self._org.jobs.set_state(job, FAILED, error=f"InternalServerError : {type(error).__name__}")

    async def _process_job(self, job: Job) -> None:
        org = self._org
        runner: IngestJobRunner | QueryJobRunner
        if job.kind == "ingest":
            runner = IngestJobRunner(job, org.jobs, org.dml, org.faults)
        else:
            runner = QueryJobRunner(job, org.jobs, org.storage, org.schema, org.clock())
        waited = 0.0
        while True:
            written = org.dml.rows_written
            org.hub.origin = change_origin("bulkapi", job.version, job.client)
            try:
                with org.dml.acting_as(job.created_by or org.dml.admin_id):
                    more = runner.step()
                if not more:
                    return
                waited = 0.0
            except RowLockedError as held:
                org.dml.rows_written = written
                waited += held.seconds
                await asyncio.sleep(held.seconds)
            runner.can_wait = waited < org.locks.wait_seconds
            await asyncio.sleep(STEP_PAUSE_SECONDS + org.locks.hold_acquired(org.dml.rows_written - written))
            if org.jobs.state(job) in FINISHED_STATES:  # it was aborted meanwhile
                return
