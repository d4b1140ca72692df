"""`python -m tests.chaos.schedulers`: three full services on one PostgreSQL and one org, on a fast clock.

At random moments one or two of them are killed (-9), and started again later. In the end the rows of runs are compared
with the slots of each job: each slot must have one row, each run that died must have been begun anew and have ended,
and no run may have been carried out twice, or beside another one of its job that was alive. A slot without a row is
allowed only if the job was running at that time, as documented; it is counted.

Exit status 1 if something is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from connector.cli.localorg import our_metadata
from connector.jobs.schedule import PULLED_OBJECTS, next_slot, pull_job
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.log import configure
from connector.model.job_run import JobRun, JobState, JobTrigger, RunCause
from connector.service import running_service
from connector.store import job_runs, job_schedules
from connector.store.engine import Store
from tests.chaos.cell import ChaosError, Processes
from tests.chaos.fast_service import fast_time
from tests.chaos.listeners import empty_database
from tests.conftest import MEMORY
from tests.flow.conftest import World
from tests.flow.pubsub import listening_settings
from tests.flow.test_push import an_order

PROCESSES = 3
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
EVERY_MINUTE, EVERY_TWO_MINUTES = JobTrigger(seconds=60), JobTrigger(seconds=120)
TRIGGERS: Mapping[str, JobTrigger] = {
    "order_automation": EVERY_MINUTE,
    "alerts": EVERY_MINUTE,
    "webhooks": EVERY_MINUTE,
    "prune": EVERY_TWO_MINUTES,
    "reconcile": JobTrigger(cron="*/5 * * * *"),
    **{pull_job(sobject): EVERY_TWO_MINUTES for sobject in PULLED_OBJECTS},
}
LATE = timedelta(seconds=10)
"""Within this time all processes have seen that a slot is due, by the fast clock."""
QUIET_SECONDS = 150
"""How long nobody is killed in the end, by the fast clock: the last runs that died begin anew."""
LONGEST = 120.0


@dataclass(kw_only=True)
class FastServices(Processes):
    """Full services. `factor`: how much faster their clock is; `start`: when it showed the real time."""

    factor: float
    start_time: float
    runs: Path

    def now(self) -> datetime:
        return fast_time(self.factor, self.start_time)

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "tests.chaos.fast_service",
            str(self.factor),
            str(self.start_time),
            str(self.runs),
        ]

    def own_settings(self) -> dict[str, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return self.environment | {"CONNECTOR_HTTP__PORT": str(free.getsockname()[1])}


@dataclass(kw_only=True)
class Verdict:
    """What the rows of runs and the log of the processes say. `problems` must be empty."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    longest_delay: float = 0.0
    """Seconds of the fast clock from a slot to its row. A slot is left out if it is as long as the interval."""

    def check_job(self, job: str, runs: list[JobRun], begun: datetime, ended: datetime) -> None:
        """Compare the runs of one job with its slots between these times."""
        slots = Counter(run.slot for run in runs if run.slot is not None)
        self.problems += [f"{job}: {count} rows for the slot {slot}" for slot, count in slots.items() if count > 1]
        slot = next_slot(TRIGGERS[job], begun)
        while slot is not None and slot + LATE < ended:
            self.counts["slots"] += 1
            if slot not in slots:
                self._check_left_out(job, runs, slot)
            slot = next_slot(TRIGGERS[job], slot)
        delays = [(run.created_at - run.slot).total_seconds() for run in runs if run.slot is not None]
        self.longest_delay = max([self.longest_delay, *delays])
        unfinished = [run for run in runs if run.state in {JobState.RUNNING, JobState.WAITING}]
        self.problems += [f"{job}: run {run.id} is {run.state.value} in the end" for run in unfinished]
        for run in runs:
            self.counts[run.state.value] += 1
            if run.state is JobState.FAILED:
                self.problems.append(f"{job}: run {run.id} failed: {run.error}")
            if run.state is JobState.INTERRUPTED and not _was_begun_anew(run, runs):
                self.problems.append(f"{job}: run {run.id} died and was not begun anew")

    def _check_left_out(self, job: str, runs: list[JobRun], slot: datetime) -> None:
        """A slot has no row: the job must have been running."""
        for run in runs:
            if run.started_at is not None and run.started_at <= slot + LATE and (run.ended_at or slot) > slot:
                self.counts["slots_left_out_while_running"] += 1
                return
        around = [run for run in runs if abs(run.created_at - slot) < timedelta(minutes=5)]
        said = [f"{run.slot:%H:%M} {run.started_at:%H:%M:%S} {run.state.value}" for run in around[::-1] if run.slot]
        self.problems.append(f"{job}: no run for the slot {slot:%H:%M}; runs around it: {said}")

    def check_log(
        self, lines: list[dict[str, Any]], killed: Mapping[int, float], states: Mapping[int, JobState]
    ) -> None:
        """Each run was carried out once, and not beside another one of its job whose process was alive."""
        begins = Counter(line["run"] for line in lines if line["what"] == "begin")
        ends = {line["run"]: line["at"] for line in lines if line["what"] == "end"}
        self.problems += [f"Run {run} was begun {count} times" for run, count in begins.items() if count > 1]
        self.counts["carried_out"] = len(begins)
        spans = defaultdict(list)
        for line in lines:
            if line["what"] == "begin":
                end = ends.get(line["run"], killed.get(line["pid"]))
                if end is None:
                    self.problems.append(f"Run {line['run']} never ended, and nobody killed its process")
                spans[line["job"]].append((line["at"], end or line["at"], line["run"]))
        for job, found in spans.items():
            found.sort()
            for (_, end, first), (begin, _, second) in itertools.pairwise(found):
                if begin < end:
                    state = states[first].value
                    self.problems.append(f"{job}: run {second} began while run {first} ({state}) was at work")
        for run, state in states.items():
            if state is JobState.DONE and run not in ends and run in begins:
                self.counts["done_at_the_moment_of_the_kill"] += 1


def _was_begun_anew(run: JobRun, runs: list[JobRun]) -> bool:
    """Whether a restart came after it, or a slot that had waited already."""
    return any(other.id > run.id and other.cause is not RunCause.SCHEDULE for other in runs)


class Trial:
    """Services at work, of which some are killed."""

    def __init__(self, services: FastServices, store: Store, source: random.Random) -> None:
        self._services = services
        self._store = store
        self._random = source
        self._killed: dict[int, float] = {}

    async def run(self, minutes: float) -> dict[str, Any]:
        services, end = self._services, time.monotonic() + 60 * minutes
        for _ in range(PROCESSES):
            await services.start()
        begun = services.now()
        last_kill = end - QUIET_SECONDS / services.factor
        while (now := time.monotonic()) < last_kill:
            await asyncio.sleep(min(self._random.uniform(10, 40), last_kill - now))
            if time.monotonic() < last_kill:
                await self._kill_some()
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        services.check()
        ended = services.now()
        await services.terminate()
        return await self._judge(begun, ended, minutes)

    async def _kill_some(self) -> None:
        for victim in self._random.sample(self._services.alive, self._random.choice((1, 1, 2))):
            await self._services.kill(victim)
            self._killed[victim.pid] = time.time()
        await asyncio.sleep(self._random.uniform(0, 8))
        while len(self._services.alive) < PROCESSES:
            await self._services.start()

    async def _judge(self, begun: datetime, ended: datetime, minutes: float) -> dict[str, Any]:
        verdict = Verdict()
        states: dict[int, JobState] = {}
        for job in TRIGGERS:
            async with self._store.reader() as connection:
                runs = await job_runs.list_page(connection, job=job, limit=100_000)
            states |= {run.id: run.state for run in runs}
            verdict.check_job(job, runs, begun, ended)
        lines = [json.loads(line) for line in self._services.runs.read_text().splitlines()]
        verdict.check_log([line for line in lines if line["job"] in TRIGGERS], self._killed, states)
        delay = round(verdict.longest_delay, 1)
        if verdict.problems:
            verdict.problems.append(f"The longest delay was {delay} seconds of the fast clock.")
            raise ChaosError("\n".join(verdict.problems[-20:]))
        return {
            "minutes": minutes,
            "minutes_of_the_fast_clock": round((ended - begun).total_seconds() / 60),
            "services": PROCESSES,
            "jobs": len(TRIGGERS),
            "killed": len(self._killed),
            **verdict.counts,
            "longest_delay_seconds_of_the_fast_clock": delay,
            "slots_doubled_or_missing": 0,
        }


@asynccontextmanager
async def _sink() -> AsyncIterator[str]:
    """Accepts what the service posts; its address."""

    async def accept(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", accept)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def run(url: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as org,
        running_service(listening_settings(org, url)) as service,
        _sink() as sink,
    ):
        world = World(org, service)
        await world.save([an_order(f"N-{number}") for number in range(1, 21)])
        await world.push()
        async with service.store.transaction() as uow:
            for job, trigger in TRIGGERS.items():
                await job_schedules.set_trigger(uow, job, trigger, actor="test")
        environment = os.environ | {
            "CONNECTOR_DATABASE_URL": url,
            "CONNECTOR_SALESFORCE__LOGIN_URL": org.url,
            "CONNECTOR_SALESFORCE__CLIENT_ID": org.client_id,
            "CONNECTOR_SALESFORCE__CLIENT_SECRET": org.client_secret,
            "CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT": str(org.pubsub_endpoint),
            "CONNECTOR_SYNC__LEASE_SECONDS": str(options.lease_seconds),
            "CONNECTOR_ORDERS__AUTOMATION_SECONDS": "60",
            **{f"CONNECTOR_{name}__URL": sink for name in ("ALERTS", "WEBHOOKS")},
            **{f"CONNECTOR_{name}__SECRETS": SECRET for name in ("ALERTS", "WEBHOOKS")},
        }
        services = FastServices(
            environment=environment,
            folder=folder,
            factor=options.factor,
            start_time=time.time(),
            runs=folder / "runs.ndjson",
        )
        try:
            return await Trial(services, service.store, random.Random(options.seed)).run(options.minutes)
        finally:
            services.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.schedulers", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long, by the real clock (10)")
    parser.add_argument("--factor", type=float, default=4, help="how much faster the clock of the services is (4)")
    parser.add_argument("--lease-seconds", type=float, default=30, help="how long a lease lasts, by that clock (30)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which services are killed (1)")
    options = parser.parse_args()
    configure("CRITICAL")
    with tempfile.TemporaryDirectory(prefix="schedulers-", dir=MEMORY) as folder, empty_database(Path(folder)) as url:
        try:
            figures = asyncio.run(run(url, Path(folder), options))
        except (ChaosError, TimeoutError) as error:
            print(f"Failed: {error or type(error).__name__}")
            return 1
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
