"""`python -m tests.chaos.workers`: three processes send orders to two orgs, on one PostgreSQL behind a PgBouncer.

Orders are placed, and changed again and again. One process is killed (-9) in the middle of its work, one is stopped
(SIGSTOP) for 20 seconds and woken, and the database is restarted. Meanwhile no two writes of one account may overlap,
and no order may go back to an earlier state; in the end each order must be in the org once, as it is here. Printed are
the share of each process, the API calls for each new order, and how long it took until another process had the
partitions of the one that died. In the end one org answers every call with 503, while the time that a changed order
takes to the other one is measured.

Exit status 1 if something is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from connector.cli.localorg import our_metadata
from connector.demo.sample_orders import orders as sample_orders
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.log import configure
from connector.model.customer import Customer
from connector.model.order import OrderInput
from connector.model.stage import Stage
from connector.orders.org_routes import route_customers
from connector.settings import OrgSettings, Settings
from connector.store import customers, orders, products
from connector.store.engine import Store
from tests.bench.databases import PostgresDatabase, database
from tests.chaos.call_watch import CallWatch
from tests.flow.conftest import PRODUCTS
from tests.flow.pubsub import until
from tests.order_builders import changed
from tests.pooler import PGBOUNCER, running_pooler

PARTITIONS = 16
CUSTOMERS = [
    Customer(number=f"C-{number}", name=f"Customer {number}", country="DE" if number % 2 else "US")
    for number in range(1, 401)
]
GERMANS = {item.number for item in CUSTOMERS if item.country == "DE"}
RULE = 'country == "DE"'
LONGEST = 300.0
ROLE = ("serve", "--roles", "worker")


class ChaosError(Exception):
    """What must not happen."""


@dataclass(kw_only=True)
class Workers:
    """The processes; `environment` are their settings."""

    environment: dict[str, str]
    folder: Path
    alive: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0

    async def start(self) -> None:
        self.started += 1
        log = self.folder / f"worker-{self.started}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "connector", *ROLE], env=self.environment, stdout=file, stderr=file
            )
        self.alive.append(process)

        async def ready() -> bool:
            if process.poll() is not None:
                raise ChaosError(f"A worker ended: {log.read_text()}")
            return '"started"' in log.read_text()

        await until(ready, seconds=LONGEST)

    def stop(self) -> None:
        for process in self.alive:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


class Trial:
    """The processes on two orgs and one database, and what is done to them. `watches`: of the default org, and of the
    org of the customers in Germany."""

    def __init__(self, watches: Sequence[CallWatch], store: Store, workers: Workers, made: PostgresDatabase) -> None:
        self._watches = watches
        self._store = store
        self._workers = workers
        self._made = made
        self._orders: list[OrderInput] = []
        self._state = 0

    async def run(self, number: int, processes: int) -> dict[str, Any]:
        await self._save(0)
        for _ in range(processes):
            await self._workers.start()
        await self._until_sent()
        figures: dict[str, Any] = {"processes": processes, "partitions": PARTITIONS}
        figures["new_orders"] = await self._place(number)
        figures["changed_orders"] = await self._change()
        figures["killed"] = await self._kill()
        figures["frozen"] = await self._freeze()
        figures["database_restarted"] = await self._restart_database()
        figures["other_org_answers_503"] = await self._measure_beside_an_outage()
        await self._check()
        return figures | {"overlapping_writes": 0, "inversions": 0, "orders_once_in_the_org": len(self._orders)}

    async def _place(self, number: int) -> dict[str, Any]:
        """New orders, all at once: the calls for each, and the share of each process."""
        self._reset()
        calls, begun, size = self._calls(), time.monotonic(), await asyncio.to_thread(self._size)
        await self._save(number)
        await self._until_sent()
        seconds = time.monotonic() - begun
        return {
            "orders": number,
            "seconds": round(seconds, 1),
            "calls_per_order": round((self._calls() - calls) / number, 4),
            "database_bytes_per_order": round((await asyncio.to_thread(self._size) - size) / number),
            **self._shares(),
        }

    async def _change(self) -> dict[str, Any]:
        self._reset()
        begun = time.monotonic()
        await self._change_all()
        await self._until_sent()
        return {"orders": len(self._orders), "seconds": round(time.monotonic() - begun, 1), **self._shares()}

    async def _kill(self) -> dict[str, float]:
        """Kill a process in the middle of its work; how long until others hold what it held."""
        await self._change_all()
        victim, held = await self._busiest()
        begun = time.monotonic()
        victim.kill()
        victim.wait()
        self._workers.alive.remove(victim)

        async def taken_over() -> bool:
            return victim.pid not in await asyncio.to_thread(self._holders)

        await until(taken_over, seconds=LONGEST)
        seconds = time.monotonic() - begun
        await self._until_sent()
        await self._workers.start()
        return {"partitions": held, "seconds_until_others_work_them": round(seconds, 1)}

    async def _freeze(self) -> dict[str, float]:
        """Stop a process in the middle of its work for 20 seconds, and wake it."""
        await self._change_all()
        victim, held = await self._busiest()
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(20)
        await self._change_all()
        victim.send_signal(signal.SIGCONT)
        await self._until_sent()
        return {"partitions": held, "seconds": 20}

    async def _restart_database(self) -> dict[str, float]:
        await self._change_all()
        await self._busiest()
        await asyncio.to_thread(self._made.take_away, 2.0)
        begun = time.monotonic()
        await self._until_sent()
        return {"seconds_away": 2, "seconds_until_all_is_sent": round(time.monotonic() - begun, 1)}

    def _reset(self) -> None:
        for watch in self._watches:
            watch.reset()

    def _calls(self) -> int:
        return sum(watch.org.org.usage.calls for watch in self._watches)

    def _shares(self) -> dict[str, list[list[int]]]:
        """Of each process, to each org; every process has called every org."""
        pids = [process.pid for process in self._workers.alive]
        calls = [[watch.calls[pid] for pid in pids] for watch in self._watches]
        if not all(map(all, calls)):
            raise ChaosError(f"A process did not call an org: {calls}.")
        return {
            "calls_of_processes_by_org": calls,
            "orders_of_processes_by_org": [[watch.orders[pid] for pid in pids] for watch in self._watches],
        }

    async def _busiest(self) -> tuple[subprocess.Popen[bytes], int]:
        """The process that holds most partitions, as soon as one holds some, and how many."""
        found: dict[int, int] = {}

        async def some_hold() -> bool:
            found.clear()
            for pid in await asyncio.to_thread(self._holders):
                found[pid] = found.get(pid, 0) + 1
            return bool(found)

        await until(some_hold, seconds=LONGEST)
        pid = max(found, key=lambda pid: found[pid])
        return next(process for process in self._workers.alive if process.pid == pid), found[pid]

    def _size(self) -> int:
        with psycopg.connect(self._made.url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0

    def _holders(self) -> list[int]:
        """The process of each partition that was acquired and not released."""
        with psycopg.connect(self._made.url) as connection:
            rows = connection.execute("SELECT owner FROM leases WHERE name LIKE '%drain:%' AND owner <> ''").fetchall()
        return [int(owner.split(":")[1]) for (owner,) in rows]

    async def _save(self, number: int) -> None:
        first = len(self._orders) + 1
        made = [
            changed(item, stage=Stage.SHIPPED, notes="State 0")
            for item in sample_orders(CUSTOMERS, PRODUCTS, count=number, first=first)
        ]
        self._orders += made
        for watch in self._watches:
            watch.customers.update((item.number, item.customer) for item in made)
        async with self._store.transaction() as uow:
            await customers.save(uow, CUSTOMERS)
            await products.save(uow, PRODUCTS)
            await orders.save(uow, made)

    async def _change_all(self, *, german_only: bool = False) -> None:
        self._state += 1
        chosen = [index for index, item in enumerate(self._orders) if not german_only or item.customer in GERMANS]
        for index in chosen:
            self._orders[index] = changed(self._orders[index], notes=f"State {self._state}")
        for begin in range(0, len(chosen), 500):
            async with self._store.transaction() as uow:
                await orders.save(uow, [self._orders[index] for index in chosen[begin : begin + 500]])

    async def _until_sent(self) -> None:
        def unsent() -> int:
            try:
                with psycopg.connect(self._made.url, connect_timeout=2) as connection:
                    row = connection.execute("SELECT count(*) FROM outbox").fetchone()
                    return int(row[0]) if row else 1
            except psycopg.OperationalError:
                return 1

        async def nothing_left() -> bool:
            if problems := [text for watch in self._watches for text in watch.problems]:
                raise ChaosError("\n".join(problems[:10]))
            await asyncio.sleep(0.05)
            return await asyncio.to_thread(unsent) == 0

        await until(nothing_left, seconds=LONGEST)

    async def _check(self) -> None:
        """Each order is once in its org, with its latest state."""
        for watch, is_german in zip(self._watches, (False, True), strict=True):
            dml = watch.org.org.dml
            found = sorted((row["External_Key__c"], row["Description"]) for row in dml.select("Order", "1 = 1"))
            wanted = [item for item in self._orders if (item.customer in GERMANS) is is_german]
            if found != sorted((item.number, item.header.notes) for item in wanted):
                raise ChaosError(f"An org has {len(found)} orders, not the {len(wanted)} as they are here: {found[:3]}")
            accounts = dml.scalar('SELECT COUNT(*) FROM "Account" WHERE "External_Key__c" IS NOT NULL')
            if accounts != len(CUSTOMERS) / 2:
                raise ChaosError(f"An org has {accounts} accounts instead of {len(CUSTOMERS) // 2}.")

    async def _measure_beside_an_outage(self) -> dict[str, float]:
        """The time from the commit of a change until the default org has it, p95 in seconds: without, and with an
        outage of the other org."""
        calm = await self._p95()
        self._watches[1].org.org.faults.status_count = 1_000_000
        await self._change_all(german_only=True)
        await asyncio.sleep(5)
        beside = await self._p95()
        self._watches[1].org.org.faults.status_count = 0
        await self._until_sent()
        return {"p95_before": calm, "p95_beside": beside}

    async def _p95(self, number: int = 100) -> float:
        here = [index for index, item in enumerate(self._orders) if item.customer not in GERMANS]
        begun: dict[tuple[str, int], float] = {}
        self._state += 1
        for index in here[:number]:
            item = self._orders[index] = changed(self._orders[index], notes=f"State {self._state}")
            async with self._store.transaction() as uow:
                await orders.save(uow, [item])
            begun[item.number, self._state] = time.monotonic()
            await asyncio.sleep(0.1)

        async def all_arrived() -> bool:
            return begun.keys() <= self._watches[0].arrived.keys()

        await until(all_arrived, seconds=LONGEST)
        took = sorted(self._watches[0].arrived[name] - at for name, at in begun.items())
        return round(took[int(0.95 * len(took))], 2)


@asynccontextmanager
async def trial(folder: Path, made: PostgresDatabase, url: str, options: argparse.Namespace) -> AsyncIterator[Trial]:
    async with AsyncExitStack() as stack:
        watches = []
        for _ in range(2):
            org = LocalOrg(OrgOptions(metadata_root=our_metadata()))
            watch = CallWatch(org=org, customers={})
            watch.begin()
            await stack.enter_async_context(org)
            org.org.faults.latency_ms = 60
            watches.append(watch)
        first, second = (watch.org for watch in watches)
        store = Store.open(made.url)
        stack.push_async_callback(store.close)
        environment = os.environ | {
            "CONNECTOR_DATABASE_URL": url,
            "CONNECTOR_SALESFORCE__LOGIN_URL": first.url,
            "CONNECTOR_SALESFORCE__CLIENT_ID": first.client_id,
            "CONNECTOR_SALESFORCE__CLIENT_SECRET": first.client_secret,
            "CONNECTOR_ORGS__GERMANY__LOGIN_URL": second.url,
            "CONNECTOR_ORGS__GERMANY__CLIENT_ID": second.client_id,
            "CONNECTOR_ORGS__GERMANY__CLIENT_SECRET": second.client_secret,
            "CONNECTOR_ORGS__GERMANY__CUSTOMERS": RULE,
            "CONNECTOR_SYNC__PARTITIONS": str(PARTITIONS),
            "CONNECTOR_SYNC__LEASE_SECONDS": str(options.lease_seconds),
            "CONNECTOR_WORKERS": "cluster" if options.cluster else "embedded",
            "CONNECTOR_CLUSTER__DATABASE_URL": made.url,  # a pooler passes no notifications
        }
        await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "connector", "db", "upgrade"], env=environment, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        workers = Workers(environment=environment, folder=folder)
        stack.callback(workers.stop)
        germany = OrgSettings(customers=RULE)
        route_customers(store, Settings(_env_file=None, orgs={"germany": germany}))
        yield Trial(watches, store, workers, made)


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """The address of the database behind a pooler, if there is one on this machine."""
    if PGBOUNCER is None:
        print("PgBouncer is not installed: the processes use the database directly.", file=sys.stderr)
        yield url
        return
    parts = make_url(url)
    with running_pooler(url, sessions=12) as port:
        yield f"postgresql://{parts.username or 'postgres'}@127.0.0.1:{port}/{parts.database}"


async def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    with database(folder, postgres=True) as made, pooled(made.url) as url:
        assert isinstance(made, PostgresDatabase)
        async with trial(folder, made, url, options) as running:
            return await running.run(options.orders, options.processes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.workers", description=__doc__)
    parser.add_argument("--orders", type=int, default=3000, help="new orders (3000)")
    parser.add_argument("--processes", type=int, default=3, help="processes (3)")
    parser.add_argument("--lease-seconds", type=float, default=15, help="how long a lease lasts (15)")
    parser.add_argument("--cluster", action="store_true", help="workers on procrastinate")
    options = parser.parse_args(arguments)
    configure("CRITICAL")
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        try:
            figures = asyncio.run(run(Path(folder), options))
        except (ChaosError, TimeoutError) as error:
            print(f"Failed: {error or type(error).__name__}")
            return 1
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
