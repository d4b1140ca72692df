"""`python -m tests.chaos.listeners`: three processes listen to one org, on one PostgreSQL; the holder dies or freezes.

Meanwhile reps press buttons and change phones of accounts. In each round the process that carries out actions is killed
(-9), and later another one is stopped (SIGSTOP) for twice its lease and woken. Each topic that it held must be taken
over, each button answered once, each order changed once, and each phone arrive; a position that was left must never
come back; and nothing in the database may change because of the process that woke. A takeover is given in leases: 1.0
is as long as a lease lasts.

Exit status 1 if something is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from connector.cli.localorg import our_metadata
from connector.jobs.listen import ACTION_TOPIC
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.log import configure
from connector.service import running_service
from connector.store import customers, order_history
from tests.chaos.__main__ import postgres_server
from tests.conftest import MEMORY
from tests.databases import Databases
from tests.flow.conftest import CUSTOMERS, World
from tests.flow.pubsub import READY, answers, listening_settings, press, until
from tests.flow.test_push import an_order

PROCESSES = 3
ORDERS = [f"N-{number}" for number in range(1, 21)]
PRESSED_A_SECOND = 10
LONGEST = 120.0
_LEFT_ALONE = frozenset({"alembic_version", "leases", "deliveries", "counters"})
"""Tables that processes write which only wait or listen."""
_DIGEST = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"


class ChaosError(Exception):
    """What must not happen."""


@dataclass(kw_only=True)
class Listener:
    """One process with the role `listener`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: int) -> None:
        os.kill(self.pid, number)


class Database:
    """What the harness sees of the database, beside the connector."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def all(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement.encode()).fetchall()

    def holders(self) -> dict[str, tuple[int, int]]:
        """The process and the term of each lease of a topic that is held, or was held by one that is gone."""
        rows = self.all("SELECT name, owner, term FROM leases WHERE name LIKE 'listen:%' AND owner <> ''")
        return {name.rpartition(":")[2]: (int(owner.split(":")[1]), term) for name, owner, term in rows}

    def positions(self) -> dict[str, str | None]:
        rows = self.all("SELECT name, position FROM cursors WHERE name LIKE 'events:%'")
        return {name: json.loads(position).get("replay_id") for name, position in rows}

    def open_transactions(self) -> set[tuple[Any, ...]]:
        return set(self.all("SELECT pid, xact_start FROM pg_stat_activity WHERE state = 'idle in transaction'"))

    def digests(self) -> dict[str, Any]:
        """What every table holds, and who holds the leases under which term."""
        tables = [name for (name,) in self.all("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        found: dict[str, Any] = {name: self.all(_DIGEST.format(name)) for name in sorted({*tables} - _LEFT_ALONE)}
        return found | {"leases": sorted(self.all("SELECT name, owner, term FROM leases"))}


@dataclass(kw_only=True)
class Watch:
    """Looks at leases and positions all the time. `seen`: when a topic came to a process, by topic."""

    database: Database
    seen: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)
    positions: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            holders, positions = await asyncio.to_thread(self._look)
            now = time.monotonic()
            for topic, (pid, term) in holders.items():
                before = self.seen.setdefault(topic, [])
                if before and term < before[-1][2]:
                    self.problems.append(f"The term of {topic} fell from {before[-1][2]} to {term}.")
                if not before or before[-1][1:] != (pid, term):
                    before.append((now, pid, term))
            for topic, position in positions.items():
                left = self.positions.setdefault(topic, [])
                if position is not None and (not left or left[-1] != position):
                    if position in left:
                        self.problems.append(f"The position of {topic} went back to {position}.")
                    left.append(position)
            await asyncio.sleep(0.01)

    def _look(self) -> tuple[dict[str, tuple[int, int]], dict[str, str | None]]:
        return self.database.holders(), self.database.positions()

    def held_by(self, pid: int) -> list[str]:
        return [topic for topic, seen in self.seen.items() if seen[-1][1] == pid]

    async def taken_over(self, topics: list[str], pid: int, since: float) -> list[float]:
        """Seconds until another process had each of these topics, which `pid` held."""

        async def all_taken() -> bool:
            return not set(topics) & set(self.held_by(pid))

        await until(all_taken, seconds=LONGEST)
        return [self.seen[topic][-1][0] - since for topic in topics]


@dataclass(kw_only=True)
class Reps:
    """Press buttons at a steady rate: each order is held and released in turn. With each fifth one they change the
    phone of an account, too."""

    world: World
    pressed: int = 0
    phones: dict[str, str] = field(default_factory=dict)
    _buttons: Iterator[tuple[str, str]] = field(
        default_factory=lambda: itertools.cycle(itertools.product(("hold", "release"), ORDERS))
    )

    async def run(self) -> None:
        """Press until canceled; a further run continues where this one ended."""
        for action, number in self._buttons:
            press(self.world.org, number, action, Reason__c="credit")
            self.pressed += 1
            if self.pressed % 5 == 0:
                customer, phone = CUSTOMERS[self.pressed // 5 % len(CUSTOMERS)].number, f"+49 {self.pressed}"
                self.phones[customer] = phone
                await asyncio.shield(self.world.change_in_org("Account", customer, Phone=phone))
            await asyncio.sleep(1 / PRESSED_A_SECOND)

    async def all_arrived(self) -> None:
        async def done() -> bool:
            if len(answers(self.world.org)) < self.pressed:
                return False
            async with self.world.service.store.reader() as connection:
                found = await customers.load(connection, sorted(self.phones))
            return {customer.number: customer.phone for customer in found} == self.phones

        await until(done, seconds=LONGEST)


class Trial:
    """The processes on one org and one database, and what is done to them."""

    def __init__(self, world: World, url: str, folder: Path, lease_seconds: float) -> None:
        self._world = world
        self._folder = folder
        self._lease = lease_seconds
        org = world.org
        self._environment = os.environ | {
            "CONNECTOR_DATABASE_URL": url,
            "CONNECTOR_SALESFORCE__LOGIN_URL": org.url,
            "CONNECTOR_SALESFORCE__CLIENT_ID": org.client_id,
            "CONNECTOR_SALESFORCE__CLIENT_SECRET": org.client_secret,
            "CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT": org.pubsub_endpoint,
            "CONNECTOR_SYNC__LEASE_SECONDS": str(lease_seconds),
        }
        self._database = Database(url)
        self._watch = Watch(database=Database(url))
        self._reps = Reps(world=world)
        self._listeners: list[Listener] = []
        self._number = itertools.count(1)

    async def run(self, rounds: int) -> dict[str, Any]:
        killed: list[float] = []
        frozen: list[float] = []
        async with self._at_work():
            for number in range(1, rounds + 1):
                async with self._pressing():
                    killed += await self._kill()
                    print(f"… round {number}: killed", file=sys.stderr, flush=True)
                frozen += await self._freeze_and_wake()
                print(f"… round {number}: frozen and woken", file=sys.stderr, flush=True)
            happened = await self._check_orders()
        if self._watch.problems:
            raise ChaosError("\n".join(self._watch.problems))
        return {
            "lease_seconds": self._lease,
            "rounds": rounds,
            "takeovers_after_kill": _summary(killed, self._lease),
            "takeovers_while_frozen": _summary(frozen, self._lease),
            "buttons_pressed_and_answered_once": self._reps.pressed,
            "changes_of_orders": happened,
            "positions_stored": {topic: len(stored) for topic, stored in self._watch.positions.items()},
        }

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """Three listeners, each topic held by one of them; they are ended in the end."""
        watching = asyncio.create_task(self._watch.run())
        try:
            for _ in range(PROCESSES):
                await self._start()

            async def held() -> bool:
                return ACTION_TOPIC in self._watch.seen and len(self._watch.seen) > 1

            await until(held, seconds=LONGEST)
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            for listener in self._listeners:
                listener.process.kill()
                listener.process.wait()

    @asynccontextmanager
    async def _pressing(self) -> AsyncIterator[None]:
        """Reps are at work in this block; behind it all is answered, and has arrived here."""
        pressing = asyncio.create_task(self._reps.run())
        try:
            yield
        finally:
            pressing.cancel()
            await asyncio.gather(pressing, return_exceptions=True)
        await self._reps.all_arrived()

    async def _start(self) -> None:
        log = self._folder / f"listener-{next(self._number)}.log"
        command = [sys.executable, "-m", "connector", "serve", "--roles", "listener"]
        with log.open("wb") as file:
            process = subprocess.Popen(command, env=self._environment, stdout=file, stderr=file)  # noqa: ASYNC220
        self._listeners.append(Listener(process=process, log=log))

        async def started() -> bool:
            if process.poll() is not None:
                raise ChaosError(f"A listener ended: {log.read_text()}")
            return "listener started" in log.read_text()

        await until(started, seconds=LONGEST)

    async def _holder(self) -> Listener:
        """The process that carries out actions."""
        found: list[Listener] = []

        async def known() -> bool:
            topics = self._watch.seen[ACTION_TOPIC]
            found[:] = [listener for listener in self._listeners if listener.pid == topics[-1][1]]
            return found

        await until(known, seconds=LONGEST)
        return found[0]

    async def _kill(self) -> list[float]:
        holder = await self._holder()
        topics = self._watch.held_by(holder.pid)
        since = time.monotonic()
        holder.send(signal.SIGKILL)
        took = await self._watch.taken_over(topics, holder.pid, since)
        holder.process.wait()
        self._listeners.remove(holder)
        await self._start()
        return took

    async def _freeze_and_wake(self) -> list[float]:
        holder = await self._holder()
        topics = self._watch.held_by(holder.pid)
        async with self._pressing():
            since = await self._stop(holder)
            took = await self._watch.taken_over(topics, holder.pid, since)
            await asyncio.sleep(max(0.0, since + 2 * self._lease - time.monotonic()))
        await asyncio.sleep(self._lease)  # what the others still have to write
        before = await asyncio.to_thread(self._database.digests)
        holder.send(signal.SIGCONT)

        async def has_noticed() -> bool:
            return "lease lost" in holder.log.read_text()

        await until(has_noticed, seconds=LONGEST)
        await asyncio.sleep(1.5 * self._lease)
        after = await asyncio.to_thread(self._database.digests)
        if changed := [name for name in before if before[name] != after[name]]:
            raise ChaosError(f"A process that woke has changed {', '.join(changed)}.")
        holder.log.write_text("")
        return took

    async def _stop(self, holder: Listener) -> float:
        """Stop a process between two of its transactions: within one it would keep its locks. Return when."""
        while True:
            since = time.monotonic()
            holder.send(signal.SIGSTOP)
            await asyncio.sleep(0.05)
            open_now = self._database.open_transactions()
            await asyncio.sleep(0.15)
            if not open_now & self._database.open_transactions():
                return since
            holder.send(signal.SIGCONT)
            await asyncio.sleep(0.03)

    async def _check_orders(self) -> int:
        """Each button was answered once, with success, and changed its order once."""
        said = answers(self._world.org)
        if len(said) != self._reps.pressed or not all(done for _, done, _ in said):
            raise ChaosError(f"{self._reps.pressed} buttons, {len(said)} answers: {said[-5:]}")
        number_of_changes = 0
        async with self._world.service.store.reader() as connection:
            for number in ORDERS:
                events = [entry.event.action.value for entry in await order_history.read(connection, number)]
                steps = events[events.index("hold") :]
                if steps != [("hold", "release")[turn % 2] for turn in range(len(steps))]:
                    raise ChaosError(f"Order {number}: {events}")
                number_of_changes += len(steps)
        if number_of_changes != self._reps.pressed:
            raise ChaosError(f"{self._reps.pressed} buttons, {number_of_changes} changes of orders")
        return number_of_changes


def _summary(took: list[float], lease: float) -> dict[str, float]:
    ordered = sorted(seconds / lease for seconds in took)
    return {
        "number": len(ordered),
        "shortest": round(ordered[0], 2),
        "middle": round(ordered[len(ordered) // 2], 2),
        "longest": round(ordered[-1], 2),
    }


async def run(url: str, folder: Path, rounds: int, lease_seconds: float) -> dict[str, Any]:
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as org,
        running_service(listening_settings(org, url)) as service,
    ):
        world = World(org, service)
        await world.save([an_order(number, **READY) for number in ORDERS])
        await world.push()
        await world.service.pull()
        return await Trial(world, url, folder, lease_seconds).run(rounds)


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    with postgres_server() as server:
        databases = Databases(folder, server)
        try:
            yield databases.migrated()
        finally:
            databases.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.listeners", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each kills one process and freezes another one (3)")
    parser.add_argument("--lease-seconds", type=float, default=6, help="how long a lease lasts (6)")
    options = parser.parse_args()
    configure("CRITICAL")
    with tempfile.TemporaryDirectory(prefix="listeners-", dir=MEMORY) as folder, empty_database(Path(folder)) as url:
        try:
            figures = asyncio.run(run(url, Path(folder), options.rounds, options.lease_seconds))
        except (ChaosError, TimeoutError) as error:
            print(f"Failed: {error or type(error).__name__}")
            return 1
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
