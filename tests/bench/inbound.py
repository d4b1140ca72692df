"""`python -m tests.bench.inbound`: how long a change in the org takes to be applied here, at a steady rate.

A local org publishes change events by gRPC; `ListenJob` receives them, reads the records and applies them to a SQLite
file. A rep, who has a user of their own (our channel leaves out what the connector's user changes), changes the phone
of one account after the other, `--rate` times a second for `--seconds`. Latency is from the moment before the rep's
call to the moment the value is seen in the database, looked for every 5 ms.

`--rows` lets each call of the rep change so many accounts. `--outage` locks the database for so many seconds in the
middle of the run, as if it had stopped: the events wait in the org, and the memory of this process must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr

from connector.cli.progress import NullProgress
from connector.demo.reps import rep_session
from connector.errors import StoreError
from connector.jobs.listen import ListenJob
from connector.log import configure
from connector.model.customer import Customer
from connector.salesforce.client import SalesforceClient
from connector.service import Services, running_service
from connector.settings import SalesforceSettings, Settings
from connector.store import customers
from connector.store.engine import Store
from connector.store.schema import upgrade

LOOK_SECONDS = 0.005
LONGEST_WAIT = 60.0


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
    url = f"sqlite:///{Path(folder) / 'connector.db'}"
    store = Store.open(url)
    await upgrade(store)
    await store.close()
    salesforce = SalesforceSettings(
        login_url=org["instance_url"],
        client_id=org["client_id"],
        client_secret=SecretStr(org["client_secret"]),
        pubsub_endpoint=org["pubsub_endpoint"],
    )
    return Settings(_env_file=None, database_url=url, salesforce=salesforce)


@dataclass(frozen=True, kw_only=True)
class Load:
    """`rate` changes a second for `seconds`, `rows` with each call of the rep; the database is away for `outage`
    seconds in the middle."""

    rate: float
    seconds: float
    rows: int
    outage: float
    latency_ms: int

    @property
    def accounts(self) -> int:
        """So many that one is hardly changed again before its last change has arrived."""
        return max(200, int(self.rate * 4))


async def measure(load: Load) -> dict[str, object]:
    configure("CRITICAL" if load.outage else "ERROR")
    with tempfile.TemporaryDirectory() as folder, local_org(load.latency_ms) as org:
        settings = await prepare(folder, org)
        async with running_service(settings) as service:
            ids = await begin(service, load.accounts)
            reads_before = service.client.calls_made.reads
            job = ListenJob(service.inbound_context)
            listening = asyncio.create_task(job.run())
            try:
                async with rep_session(service) as rep:
                    while not job.stats.subscribed:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                    outage = asyncio.create_task(lock_database(Path(folder) / "connector.db", load))
                    memory = asyncio.create_task(sample_memory())
                    cpu = time.process_time()
                    in_turn = await change_and_wait(service, rep, ids, load)
                    cpu = time.process_time() - cpu
                    await outage
                    memory.cancel()
                    samples = (await asyncio.gather(memory, return_exceptions=True), MEMORY)[1]
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            took, third = sorted(in_turn), max(1, len(in_turn) // 3)
            return {
                "changes": len(took),
                "per_second": round(load.rate, 1),
                "cpu_ms_per_change": round(cpu * 1000 / max(1, len(in_turn)), 2),
                "p50_of_thirds_ms": [
                    round(statistics.median(in_turn[start : start + third]) * 1000, 1)
                    for start in range(0, 3 * third, third)
                ],
                "memory_mib": {"first": samples[0], "peak": max(samples), "last": samples[-1]},
                "p50_ms": round(statistics.median(took) * 1000, 1),
                "p95_ms": round(took[int(len(took) * 0.95)] * 1000, 1),
                "longest_ms": round(took[-1] * 1000, 1),
                "reads": service.client.calls_made.reads - reads_before,
                "events": job.stats.events,
            }


MEMORY: list[float] = []
"""Resident memory of this process in MiB, sampled during the run."""


async def sample_memory() -> None:
    """Sample this process twice a second, until canceled."""
    process = psutil.Process()
    while True:
        MEMORY.append(round(process.memory_info().rss / 2**20, 1))
        await asyncio.sleep(0.5)


async def lock_database(file: Path, load: Load) -> None:
    """Lock the database in the middle of the run: nobody else can read or write it."""
    if not load.outage:
        return
    await asyncio.sleep(load.seconds / 3)
    code = (
        "import sqlite3, sys, time; connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None);"
        "connection.execute('BEGIN EXCLUSIVE'); time.sleep(float(sys.argv[2])); connection.rollback()"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(file), str(load.outage))
    await process.wait()


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


async def change_and_wait(service: Services, rep: SalesforceClient, ids: list[str], load: Load) -> list[float]:
    """Seconds from each change in the org to its being seen here, in the order of arrival."""
    expected: dict[str, tuple[str, float]] = {}
    took: list[float] = []
    ended = False

    async def look() -> None:
        while expected or not ended:
            await asyncio.sleep(LOOK_SECONDS)
            if not expected:
                continue
            try:
                async with service.store.reader() as connection:
                    present = await customers.load(connection, list(expected))
            except StoreError:
                continue  # the database is away
            now = time.perf_counter()
            for customer in present:
                phone, since = expected[customer.number]
                if customer.phone == phone:
                    took.append(now - since)
                    del expected[customer.number]
                elif now - since > LONGEST_WAIT + 2 * load.outage:
                    raise TimeoutError(f"{customer.number} did not arrive")

    looking = asyncio.create_task(look())
    began = time.perf_counter()
    calls: set[asyncio.Task[None]] = set()
    for turn in range(int(load.rate * load.seconds / load.rows)):
        await asyncio.sleep(max(0.0, began + turn * load.rows / load.rate - time.perf_counter()))
        numbers = [number % len(ids) for number in range(turn * load.rows, (turn + 1) * load.rows)]
        free = [number for number in numbers if f"C-{number}" not in expected]  # the others are still on their way
        phone = f"+49 {turn}"
        expected |= {f"C-{number}": (phone, time.perf_counter()) for number in free}
        if free:
            calls.add(asyncio.create_task(change(rep, [ids[number] for number in free], phone)))
    ended = True
    await asyncio.gather(*calls)
    await looking
    return took


async def change(rep: SalesforceClient, record_ids: list[str], phone: str) -> None:
    for outcome in await rep.collections_update([("Account", record_id, {"Phone": phone}) for record_id in record_ids]):
        assert outcome.success, outcome.errors


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.inbound", description=__doc__)
    parser.add_argument("--rate", type=float, default=50, help="changes a second (50)")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rows", type=int, default=1, help="accounts changed with each call (1)")
    parser.add_argument("--outage", type=float, default=0, help="seconds without a database, in the middle (0)")
    parser.add_argument("--latency-ms", type=int, default=0, help="added by the org to every call (0)")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(Load(**vars(options)))), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
