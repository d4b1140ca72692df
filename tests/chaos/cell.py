"""A cell: processes of the service on one or two local orgs and one PostgreSQL behind a PgBouncer, with many orders.

Orders are placed and changed here, and a watch of each org sees what is written by whom. Customers in Germany belong to
the second org, if there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import make_url

from connector.cli.localorg import our_metadata
from connector.demo.sample_orders import orders as sample_orders
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.customer import Customer
from connector.model.order import OrderInput
from connector.model.stage import Stage
from connector.orders.org_routes import route_customers
from connector.settings import Settings
from connector.settings.salesforce import OrgSettings
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
CALL_MS = 60
"""How long an org takes for each call."""


class ChaosError(Exception):
    """What must not happen."""


@dataclass(kw_only=True)
class Processes:
    """The processes of the service; `environment` are their settings. `roles`: of each; empty means all."""

    environment: dict[str, str]
    folder: Path
    roles: str = ""
    alive: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0

    def command(self) -> list[str]:
        return [sys.executable, "-m", "connector", "serve", *(("--roles", self.roles) if self.roles else ())]

    def own_settings(self) -> dict[str, str]:
        """The settings of the next process."""
        return self.environment

    async def start(self) -> None:
        self.started += 1
        log = self.folder / f"process-{self.started}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: ASYNC220
                self.command(), env=self.own_settings(), stdout=file, stderr=file
            )
        self.alive.append(process)

        async def ready() -> bool:
            self.check()
            return '"started"' in log.read_text()

        await until(ready, seconds=LONGEST)

    async def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        await asyncio.to_thread(process.wait)
        self.alive.remove(process)

    async def terminate(self) -> None:
        """Ask all to end, and wait until they have ended."""
        for process in self.alive:
            process.terminate()
        for process in self.alive:
            await asyncio.to_thread(process.wait, LONGEST)
        self.alive.clear()

    def of(self, pid: int) -> subprocess.Popen[bytes]:
        return next(process for process in self.alive if process.pid == pid)

    def check(self) -> None:
        """Raise ChaosError if one has ended by itself."""
        if any(process.poll() is not None for process in self.alive):
            logs = [file.read_text()[-2000:] for file in sorted(self.folder.glob("process-*.log"))]
            raise ChaosError("A process has ended by itself:\n" + "\n\n".join(logs))

    def stop(self) -> None:
        for process in self.alive:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


class Cell:
    """What is done in a cell. `watches`: of the default org, and of the org of the customers in Germany."""

    def __init__(
        self, watches: Sequence[CallWatch], store: Store, processes: Processes, made: PostgresDatabase
    ) -> None:
        self.watches = watches
        self.processes = processes
        self.made = made
        self.orders: list[OrderInput] = []
        self._store = store
        self._state = 0

    async def save(self, number: int) -> None:
        """Place so many new orders, all at once."""
        first = len(self.orders) + 1
        made = [
            changed(item, stage=Stage.SHIPPED, notes="State 0")
            for item in sample_orders(CUSTOMERS, PRODUCTS, count=number, first=first)
        ]
        self.orders += made
        for watch in self.watches:
            watch.customers.update((item.number, item.customer) for item in made)
        async with self._store.transaction() as uow:
            await customers.save(uow, CUSTOMERS)
            await products.save(uow, PRODUCTS)
            await orders.save(uow, made)

    def orders_of(self, org: int) -> list[int]:
        """The indexes of the orders of an org."""
        if len(self.watches) == 1:
            return list(range(len(self.orders)))
        return [index for index, item in enumerate(self.orders) if (item.customer in GERMANS) == bool(org)]

    async def change_all(self) -> None:
        await self.change(range(len(self.orders)))

    async def change(self, indexes: Sequence[int], *, at_once: int = 500) -> int:
        """Change these orders, so many in one transaction. Returns the number of the new state."""
        self._state += 1
        for index in indexes:
            self.orders[index] = changed(self.orders[index], notes=f"State {self._state}")
        for begin in range(0, len(indexes), at_once):
            async with self._store.transaction() as uow:
                await orders.save(uow, [self.orders[index] for index in indexes[begin : begin + at_once]])
        return self._state

    async def p95(self, org: int, *, number: int, pause: float) -> float:
        """Change one order after another; the seconds from the commit until the org has answered, of 95 in 100."""
        begun: dict[tuple[str, int], float] = {}
        for index in self.orders_of(org)[:number]:
            state = await self.change([index])
            begun[self.orders[index].number, state] = time.monotonic()
            await asyncio.sleep(pause)
        arrived = self.watches[org].arrived

        async def all_arrived() -> bool:
            self.check()
            return begun.keys() <= arrived.keys()

        await until(all_arrived, seconds=LONGEST)
        took = sorted(arrived[name] - at for name, at in begun.items())
        return took[int(0.95 * len(took))]

    def count(self, statement: str) -> int | None:
        """The one number of a query; None while the database is away."""
        try:
            with psycopg.connect(self.made.url, connect_timeout=2) as connection:
                row = connection.execute(statement.encode()).fetchone()
                return int(row[0]) if row else 0
        except psycopg.OperationalError:
            return None

    def owners(self, prefix: str) -> list[tuple[str, int]]:
        """The leases with this prefix, in all orgs, and the process that holds each, or held it when it died."""
        query = "SELECT name, owner FROM leases WHERE (name LIKE %s OR name LIKE %s) AND owner <> ''"
        with psycopg.connect(self.made.url) as connection:
            rows = connection.execute(query, [f"{prefix}%", f"%/{prefix}%"]).fetchall()
        return [(name, int(owner.split(":")[1])) for name, owner in rows]

    async def busiest(self) -> tuple[subprocess.Popen[bytes], int]:
        """The process that holds most partitions, as soon as one holds some, and how many."""
        found = Counter[int]()

        async def some_hold() -> bool:
            found.clear()
            found.update(pid for _, pid in await asyncio.to_thread(self.owners, "drain:"))
            return bool(found)

        await until(some_hold, seconds=LONGEST)
        [(pid, held)] = found.most_common(1)
        return self.processes.of(pid), held

    async def seconds_until_taken(self, prefix: str, pid: int, since: float) -> float:
        """How long after `since` no lease with this prefix is that of a process any more."""

        async def taken() -> bool:
            self.check()
            return all(owner != pid for _, owner in await asyncio.to_thread(self.owners, prefix))

        await until(taken, seconds=LONGEST)
        return time.monotonic() - since

    async def until_sent(self) -> None:
        """Wait until nothing is left to be sent, and nothing was refused."""

        async def nothing_left() -> bool:
            self.check()
            await asyncio.sleep(0.05)
            if await asyncio.to_thread(self.count, "SELECT count(*) FROM outbox WHERE state <> 'due'"):
                raise ChaosError("A change has become a dead letter.")
            return await asyncio.to_thread(self.count, "SELECT count(*) FROM outbox") == 0

        await until(nothing_left, seconds=LONGEST)

    def check(self) -> None:
        """Raise ChaosError for what an org has seen, and if a process has ended by itself."""
        if problems := [text for watch in self.watches for text in watch.problems]:
            raise ChaosError("\n".join(problems[:10]))
        self.processes.check()

    def check_orgs(self) -> None:
        """Each order is once in its org, with its latest state, and each account once."""
        for number, watch in enumerate(self.watches):
            dml = watch.org.org.dml
            found = sorted((row["External_Key__c"], row["Description"]) for row in dml.select("Order", "1 = 1"))
            wanted = [self.orders[index] for index in self.orders_of(number)]
            if found != sorted((item.number, item.header.notes) for item in wanted):
                raise ChaosError(f"An org has {len(found)} orders, not the {len(wanted)} as they are here: {found[:3]}")
            accounts = dml.scalar('SELECT COUNT(*) FROM "Account" WHERE "External_Key__c" IS NOT NULL')
            if accounts != len(CUSTOMERS) / len(self.watches):
                raise ChaosError(f"An org has {accounts} accounts.")

    def calls(self) -> int:
        """The calls that the orgs have counted."""
        return sum(watch.org.org.usage.calls for watch in self.watches)

    def cpu_seconds(self) -> float:
        """What all processes have used of the processors."""
        return sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in self.processes.alive)

    async def push_germany(self) -> None:
        """Push by hand to the second org: during an outage the service waits for some minutes."""
        command = [sys.executable, "-m", "connector", "push"]
        environment = self.processes.environment | {"CONNECTOR_ORG": "germany"}
        await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True)


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """`roles` of the processes; `orgs`: one or two; `cluster`: workers on procrastinate."""

    roles: str = "worker"
    orgs: int = 2
    cluster: bool = False
    lease_seconds: float = 15
    log_level: str = "info"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--lease-seconds", type=float, default=15, help="how long a lease lasts (15)")
        parser.add_argument("--cluster", action="store_true", help="workers on procrastinate")


@asynccontextmanager
async def running_cell(folder: Path, options: CellOptions) -> AsyncIterator[Cell]:
    """A cell without processes and orders."""
    with database(folder, postgres=True) as made, _pooled(made.url) as url:
        assert isinstance(made, PostgresDatabase)
        async with AsyncExitStack() as stack:
            watches = [await stack.enter_async_context(_watched_org(options)) for _ in range(options.orgs)]
            store = Store.open(made.url)
            stack.push_async_callback(store.close)
            environment = os.environ | {
                "CONNECTOR_DATABASE_URL": url,
                "CONNECTOR_SYNC__PARTITIONS": str(PARTITIONS),
                "CONNECTOR_SYNC__LEASE_SECONDS": str(options.lease_seconds),
                "CONNECTOR_WORKERS": "cluster" if options.cluster else "embedded",
                "CONNECTOR_CLUSTER__DATABASE_URL": made.url,  # a pooler passes no notifications
                "CONNECTOR_LOG_LEVEL": options.log_level,
                **_address(watches[0].org, "CONNECTOR_SALESFORCE"),
            }
            if options.orgs > 1:
                environment |= _address(watches[1].org, "CONNECTOR_ORGS__GERMANY")
                environment["CONNECTOR_ORGS__GERMANY__CUSTOMERS"] = RULE
                germany = OrgSettings(customers=RULE)
                route_customers(store, Settings(_env_file=None, orgs={"germany": germany}))
            upgrade = [sys.executable, "-m", "connector", "db", "upgrade"]
            await asyncio.to_thread(
                subprocess.run, upgrade, env=environment, check=True, stdout=subprocess.DEVNULL
            )  # fmt: skip
            processes = Processes(environment=environment, folder=folder, roles=options.roles)
            stack.callback(processes.stop)
            yield Cell(watches, store, processes, made)


@asynccontextmanager
async def _watched_org(options: CellOptions) -> AsyncIterator[CallWatch]:
    listens = "listener" in options.roles
    org = LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0 if listens else None))
    watch = CallWatch(org=org, customers={})
    watch.begin()
    async with org:
        org.org.faults.latency_ms = CALL_MS
        yield watch


def _address(org: LocalOrg, prefix: str) -> dict[str, str]:
    found = {
        f"{prefix}__LOGIN_URL": org.url,
        f"{prefix}__CLIENT_ID": org.client_id,
        f"{prefix}__CLIENT_SECRET": org.client_secret,
    }
    return found if org.pubsub_endpoint is None else found | {f"{prefix}__PUBSUB_ENDPOINT": org.pubsub_endpoint}


@contextmanager
def _pooled(url: str) -> Iterator[str]:
    """The address of the database behind a pooler, if there is one on this machine."""
    if PGBOUNCER is None:
        print("PgBouncer is not installed: the processes use the database directly.", file=sys.stderr)
        yield url
        return
    parts = make_url(url)
    with running_pooler(url, sessions=12) as port:
        yield f"postgresql://{parts.username or 'postgres'}@127.0.0.1:{port}/{parts.database}"
