"""`python -m tests.bench.inbound`: how long a change in the org takes to be applied here, at a steady rate.

`connector listen` runs as a process of its own, beside a local org and this process, which plays the rep: it has a user
of its own (our channel leaves out what the connector's user changes) and changes the phone of one account after the
other, `--rate` times a second for `--seconds`. Latency is from the moment before the rep's call to the moment in which
the value is seen in the database, looked for every 5 ms. The event is published within the rep's call, so
`rep_call_p50_ms` is the most that the latency holds besides.

`--rows` lets each call of the rep change so many accounts. `--outage` takes the database away for so many seconds in
the middle of the run: the events wait in the org, and the memory of the listener must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from pydantic import SecretStr

from connector.cli.progress import NullProgress
from connector.demo.reps import rep_session
from connector.inbound.topic_cursor import state_name
from connector.log import configure
from connector.model.customer import Customer
from connector.model.listening_state import ListeningState, TopicActivity
from connector.salesforce.client import SalesforceClient
from connector.service import Services, running_service
from connector.settings import Settings
from connector.settings.salesforce import SalesforceSettings
from connector.store import cursors, customers, deliveries
from connector.store.engine import Store
from connector.store.schema import upgrade
from tests.bench.databases import Database, SqliteFile, database

LOOK_SECONDS = 0.005
LOOK_SECONDS_PER_CHANGE = 2e-5
"""With many changes on their way, as after an outage, looking for them must not be what takes the time."""
LONGEST_WAIT = 60.0
MANY = 100_000_000


@contextmanager
def local_org(latency_ms: int) -> Iterator[dict[str, str]]:
    """A local org in a process of its own; what it says of itself when it accepts connections."""
    command = [sys.executable, "-m", "connector", "localorg", "--port", "0", "--json", "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


async def prepare(folder: str, org: Mapping[str, str]) -> Settings:
    """An empty SQLite file in `folder`, and the settings of a connector that works with it and the org."""
    return await prepare_database(SqliteFile(Path(folder) / "connector.db"), org)


async def prepare_database(made: Database, org: Mapping[str, str]) -> Settings:
    """Migrate the database; return the settings of a connector that works with it and the org."""
    store = Store.open(made.url)
    await upgrade(store)
    await store.close()
    salesforce = SalesforceSettings(
        login_url=org["instance_url"],
        client_id=org["client_id"],
        client_secret=SecretStr(org["client_secret"]),
        pubsub_endpoint=org["pubsub_endpoint"],
    )
    return Settings(_env_file=None, database_url=made.url, salesforce=salesforce)


async def allow_deliveries(org: Mapping[str, str]) -> None:
    """Let the org deliver as many events as there are: an allowance that is used up would turn the stream to polls."""
    headers = {"Authorization": f"Bearer {org['access_token']}"}
    url, switches = f"{org['instance_url']}/_org/events", {"delivery_limit": MANY}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=switches) as answer:
        assert answer.status == 200, await answer.text()


@asynccontextmanager
async def listening(settings: Settings, service: Services) -> AsyncIterator[psutil.Process]:
    """`connector listen` with these settings, when it has subscribed."""
    salesforce = settings.salesforce
    assert salesforce.client_secret is not None
    environment = os.environ | {
        "CONNECTOR_DATABASE_URL": settings.database_url,
        "CONNECTOR_SALESFORCE__LOGIN_URL": salesforce.login_url,
        "CONNECTOR_SALESFORCE__CLIENT_ID": salesforce.client_id,
        "CONNECTOR_SALESFORCE__CLIENT_SECRET": salesforce.client_secret.get_secret_value(),
        "CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT": salesforce.pubsub_endpoint,
    }
    command = [sys.executable, "-m", "connector", "listen"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            while not await has_subscribed(service, settings.inbound.topic):
                assert process.poll() is None, "`connector listen` ended"
                await asyncio.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


async def has_subscribed(service: Services, topic: str) -> bool:
    async with service.store.reader() as connection:
        state = await cursors.get(connection, service.client.org_id, state_name(topic))
    return state is not None and ListeningState.read(state).activity is TopicActivity.LISTENING


@dataclass(frozen=True, kw_only=True)
class Load:
    """`rate` changes a second for `seconds`, `rows` with each call of the rep; the database, SQLite or `postgres`, is
    away for `outage` seconds in the middle."""

    rate: float
    seconds: float
    rows: int
    outage: float
    latency_ms: int
    postgres: bool

    @property
    def accounts(self) -> int:
        """So many that one is hardly changed again before its last change has arrived, also after an outage: one that
        is still on its way is left out."""
        return max(200, int(self.rate * (4 + 1.5 * self.outage)))


async def measure(load: Load) -> dict[str, object]:
    configure("ERROR")
    with (
        tempfile.TemporaryDirectory() as folder,
        database(Path(folder), postgres=load.postgres) as made,
        local_org(load.latency_ms) as org,
    ):
        settings = await prepare_database(made, org)
        await allow_deliveries(org)
        async with running_service(settings) as service:
            ids = await begin(service, load.accounts)
            async with rep_session(service) as rep, listening(settings, service) as listener:
                memory = MemorySamples(listener)
                sampling = asyncio.create_task(memory.take())
                outage = asyncio.create_task(take_away(made, load, memory))
                cpu = sum(listener.cpu_times()[:2])
                run = Run(load=load, rep=rep, ids=ids, made=made)
                await run.change_and_wait()
                cpu = sum(listener.cpu_times()[:2]) - cpu
                await outage
                sampling.cancel()
                await asyncio.gather(sampling, return_exceptions=True)
            async with service.store.reader() as connection:
                usage = await deliveries.counts(
                    connection, service.client.org_id, settings.inbound.topic, service.clock.now()
                )
    took, third = sorted(run.took), max(1, len(run.took) // 3)
    return {
        "changes": len(took),
        "per_second": round(load.rate, 1),
        "reached_per_second": round(len(run.took) / run.changing, 1),
        "database": "PostgreSQL" if load.postgres else "SQLite",
        "listener_cpu_ms_per_change": round(cpu * 1000 / max(1, len(took)), 2),
        "rep_call_p50_ms": round(statistics.median(run.calls) * 1000, 1),
        "p50_ms": round(statistics.median(took) * 1000, 1),
        "p95_ms": round(took[int(len(took) * 0.95)] * 1000, 1),
        "longest_ms": round(took[-1] * 1000, 1),
        "p50_of_thirds_ms": [
            round(statistics.median(run.took[start : start + third]) * 1000, 1) for start in range(0, 3 * third, third)
        ],
        "memory_mib": memory.summary(),
        "events": sum(usage.values()),
    }


class MemorySamples:
    """Resident memory of a process in MiB, sampled twice a second, by phase of the run."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._samples: dict[str, list[float]] = {}
        self.phase = "before"

    async def take(self) -> None:
        """Take samples until canceled."""
        while True:
            self._samples.setdefault(self.phase, []).append(round(self._process.memory_info().rss / 2**20, 1))
            await asyncio.sleep(0.5)

    def summary(self) -> dict[str, dict[str, float]]:
        return {
            phase: {"first": samples[0], "peak": max(samples), "last": samples[-1]}
            for phase, samples in self._samples.items()
        }


async def take_away(made: Database, load: Load, memory: MemorySamples) -> None:
    """Take the database away after a third of the run."""
    if load.outage:
        await asyncio.sleep(load.seconds / 3)
        memory.phase = "during the outage"
        await asyncio.to_thread(made.take_away, load.outage)
        memory.phase = "after"


async def begin(service: Services, accounts: int) -> list[str]:
    """Accounts that both sides know; their record IDs."""
    async with service.store.transaction() as uow:
        some = [Customer(number=f"C-{number}", name=f"Customer {number}") for number in range(accounts)]
        await customers.save(uow, some)
    await service.push(NullProgress())
    await service.pull()
    rows = await service.client.query("SELECT Id, External_Key__c FROM Account ORDER BY External_Key__c")
    by_key = {row["External_Key__c"]: str(row["Id"]) for row in rows}
    return [by_key[f"C-{number}"] for number in range(accounts)]


@dataclass(kw_only=True)
class Run:
    """One measurement. `took` are seconds from before each change in the org to its being seen here, in the order of
    arrival; `calls` the seconds that the rep's calls took, `changing` those until the last one had its answer."""

    load: Load
    rep: SalesforceClient
    ids: list[str]
    made: Database
    took: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    changing: float = 0.0
    expected: dict[str, tuple[str, float]] = field(default_factory=dict)

    async def change_and_wait(self) -> None:
        """Change accounts at the rate of the load, and wait until all changes have arrived."""
        load, ids = self.load, self.ids
        began = time.perf_counter()
        calls: set[asyncio.Task[None]] = set()
        looking = asyncio.create_task(self._look())
        for turn in range(int(load.rate * load.seconds / load.rows)):
            await asyncio.sleep(max(0.0, began + turn * load.rows / load.rate - time.perf_counter()))
            numbers = [number % len(ids) for number in range(turn * load.rows, (turn + 1) * load.rows)]
            free = [number for number in numbers if f"C-{number}" not in self.expected]  # the others are on their way
            phone = f"+49 {turn}"
            self.expected |= {f"C-{number}": (phone, time.perf_counter()) for number in free}
            if free:
                calls.add(asyncio.create_task(self._change([ids[number] for number in free], phone)))
        await asyncio.gather(*calls)
        self.changing = time.perf_counter() - began
        async with asyncio.timeout(LONGEST_WAIT + 10 * load.outage):
            while self.expected:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        """Look for what is expected, until canceled."""
        while True:
            await asyncio.sleep(max(LOOK_SECONDS, len(self.expected) * LOOK_SECONDS_PER_CHANGE))
            if not self.expected:
                continue
            phones = await asyncio.to_thread(self.made.phones, list(self.expected))
            now = time.perf_counter()
            for number, phone in phones.items():
                wanted, since = self.expected[number]
                if phone == wanted:
                    self.took.append(now - since)
                    del self.expected[number]

    async def _change(self, record_ids: list[str], phone: str) -> None:
        began = time.perf_counter()
        rows = [("Account", record_id, {"Phone": phone}) for record_id in record_ids]
        for outcome in await self.rep.collections_update(rows):
            assert outcome.success, outcome.errors
        self.calls.append(time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.inbound", description=__doc__)
    parser.add_argument("--rate", type=float, default=50, help="changes a second (50)")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rows", type=int, default=1, help="accounts changed with each call (1)")
    parser.add_argument("--outage", type=float, default=0, help="seconds without a database, in the middle (0)")
    parser.add_argument("--latency-ms", type=int, default=0, help="added by the org to every call (0)")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL from its wheel instead of SQLite")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(Load(**vars(options)))), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
