"""The org's own hands: works off jobs in the background, a step at a time, so that calls are answered meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from connector.localorg.bulk.extract import Extract
from connector.localorg.bulk.ingest import Ingest
from connector.localorg.bulk.jobs import OVER, Job

if TYPE_CHECKING:
    from connector.localorg.org import Org

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
                await self._finish(job)

    async def _finish(self, job: Job) -> None:
        org = self._org
        runner: Ingest | Extract
        if job.kind == "ingest":
            runner = Ingest(job, org.jobs, org.dml, org.faults)
        else:
            runner = Extract(job, org.jobs, org.storage, org.schema, org.clock())
        while runner.step():
            await asyncio.sleep(PAUSE)
            if org.jobs.state(job) in OVER:  # somebody aborted it meanwhile
                return
