"""`python -m tests.bench.live`: how long an order that is placed over HTTP takes to be visible in the org.

A local org answers every call after `--latency-ms`; `connector serve` runs with all its roles in a process of its own;
this one places orders of two lines, `--rate` a second for `--seconds`. Latency is from the answer to the request, when
the order is committed here, to the moment in which its record is found in the org's own file, looked at every 10 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from aiohttp import ClientSession

from tests.bench.databases import Database, database

SEED = 20
"""Customers and products that the orders refer to."""
LOOK_SECONDS = 0.01
LONGEST_WAIT = 120.0


@dataclass(frozen=True, kw_only=True)
class Load:
    rate: float
    seconds: float
    latency_ms: int
    postgres: bool


@contextmanager
def local_org(file: Path, latency_ms: int) -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "connector", "localorg", "--port", "0", "--json", "--data", str(file)]
    process = subprocess.Popen([*command, "--latency-ms", str(latency_ms)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


@asynccontextmanager
async def served(made: Database, org: Mapping[str, str]) -> AsyncIterator[tuple[ClientSession, psutil.Process]]:
    """The whole service, and a client with a token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "CONNECTOR_DATABASE_URL": made.url,
        "CONNECTOR_HTTP__PORT": str(port),
        "CONNECTOR_LOG_LEVEL": "error",
        "CONNECTOR_SALESFORCE__LOGIN_URL": org["instance_url"],
        "CONNECTOR_SALESFORCE__CLIENT_ID": org["client_id"],
        "CONNECTOR_SALESFORCE__CLIENT_SECRET": org["client_secret"],
        "CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT": org["pubsub_endpoint"],
    }

    def connector(*words: str) -> str:
        command = [sys.executable, "-m", "connector", *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    connector("db", "upgrade")
    token = connector("tokens", "create", "--role", "ops", "--name", "bench").strip()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connector", "serve", env=environment, stdout=subprocess.DEVNULL
    )
    try:
        async with ClientSession(f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}) as client:
            await until_ready(client)
            yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


async def until_ready(client: ClientSession) -> None:
    async with asyncio.timeout(LONGEST_WAIT):
        while True:
            try:
                async with client.get("/readyz") as response:
                    if response.status == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)


@dataclass(kw_only=True)
class Run:
    load: Load
    client: ClientSession
    org_file: Path
    waiting: dict[str, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)

    async def place_and_wait(self) -> None:
        """Place orders at the rate of the load, and wait until all are in the org."""
        await self._seed()
        looking = asyncio.create_task(self._look())
        began = time.perf_counter()
        placing: set[asyncio.Task[None]] = set()
        for number in range(int(self.load.rate * self.load.seconds)):
            await asyncio.sleep(max(0.0, began + number / self.load.rate - time.perf_counter()))
            placing.add(asyncio.create_task(self._place(f"L-{number}", number)))
        await asyncio.gather(*placing)
        async with asyncio.timeout(LONGEST_WAIT):
            while self.waiting:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    async def _seed(self) -> None:
        for number in range(SEED):
            await self._put(f"/api/v1/customers/C{number}", {"name": f"Customer {number}", "country": "US"})
            prices = [{"currency": "USD", "unit_price": "9.50"}]
            await self._put(f"/api/v1/products/SKU-{number}", {"name": f"Product {number}", "prices": prices})
        await self._place("L-first", 0)
        async with asyncio.timeout(LONGEST_WAIT):
            while "L-first" not in self._found(["L-first"]):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        self.waiting.clear()
        self.answers.clear()

    async def _put(self, path: str, body: object) -> None:
        async with self.client.put(path, json=body) as response:
            assert response.status in {200, 201}, await response.text()

    async def _place(self, name: str, number: int) -> None:
        lines = [{"line": line, "sku": f"SKU-{(number + line) % SEED}", "quantity": str(line)} for line in (1, 2)]
        body = {
            "number": name,
            "customer": f"C{number % SEED}",
            "placed_at": "2026-02-27T09:30:00Z",
            "currency": "USD",
            "lines": lines,
        }
        began = time.perf_counter()
        async with self.client.post("/api/v1/orders", json=body) as response:
            assert response.status == 201, await response.text()
        self.waiting[name] = time.perf_counter()
        self.answers.append(self.waiting[name] - began)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.waiting:
                found = await asyncio.to_thread(self._found, list(self.waiting))
                now = time.perf_counter()
                self.took += [max(0.0, now - self.waiting.pop(name)) for name in found]

    def _found(self, names: list[str]) -> list[str]:
        marks = ", ".join("?" * len(names))
        connection = sqlite3.connect(f"file:{self.org_file}?mode=ro", uri=True, timeout=5)
        try:
            query = f'SELECT "External_Key__c" FROM "Order" WHERE "External_Key__c" IN ({marks})'
            return [key for (key,) in connection.execute(query, names)]
        finally:
            connection.close()


async def measure(load: Load) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder, database(Path(folder), postgres=load.postgres) as made:
        org_file = Path(folder) / "org.db"
        with local_org(org_file, load.latency_ms) as org:
            async with served(made, org) as (client, service):
                run = Run(load=load, client=client, org_file=org_file)
                memory = service.memory_info().rss
                cpu = sum(service.cpu_times()[:2])
                await run.place_and_wait()
                cpu = sum(service.cpu_times()[:2]) - cpu
                grown = service.memory_info().rss
    took = sorted(run.took)
    return {
        "orders": len(took),
        "per_second": load.rate,
        "database": "PostgreSQL" if load.postgres else "SQLite",
        "latency_ms_of_a_call": load.latency_ms,
        "answer_p50_ms": round(statistics.median(run.answers) * 1000, 1),
        "visible_p50_ms": round(statistics.median(took) * 1000, 1),
        "visible_p95_ms": round(took[int(len(took) * 0.95)] * 1000, 1),
        "longest_ms": round(took[-1] * 1000, 1),
        "service_cpu_ms_per_order": round(cpu * 1000 / len(took), 2),
        "memory_mib": {"before": round(memory / 2**20, 1), "after": round(grown / 2**20, 1)},
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=50, help="orders a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--latency-ms", type=int, default=150, help="added by the org to every call (%(default)s)")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL from its wheel instead of SQLite")
    print(json.dumps(asyncio.run(measure(Load(**vars(parser.parse_args())))), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
