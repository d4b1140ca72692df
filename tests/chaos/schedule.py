"""A schedule drawn from a seed: edits on both sides, pushes, polls and events with faults and crashes; then quiet.

Once nobody edits any more and nothing fails, a bounded number of rounds must bring both sides to rest, and the ledger
says whether the values are right.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from shutil import copytree
from tempfile import mkdtemp

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.mapping.loader import shipped_mappings
from connector.model.conflict import ConflictState
from connector.model.customer import Customer
from connector.model.inbound_change import InboxState
from connector.model.product import Price, Product
from connector.settings import Settings
from connector.settings.salesforce import SalesforceSettings
from connector.settings.sync import SyncSettings
from connector.store import customers, inbox, orders, outbox_counts, products
from tests.chaos.clock import ProcessClock, SharedTime
from tests.chaos.extras import CREATE, ORDERS, Extras, new_order
from tests.chaos.ledger import Place
from tests.chaos.process import Process
from tests.chaos.side import FIELDS, OWNERS, LateWrite, Sides, new_value
from tests.chaos.stream import EventSource

ACTIONS = 25
KEYS = {
    "Account": ("C-1", "C-2", "C-3"),
    "Order": ("N-1", "N-2", "N-3"),
    "OrderItem": ("N-1-1", "N-2-1", "N-3-1"),
}
"""The last customer and order are created during the schedule."""
LEASE_SECONDS = 15
LATEST_COMMIT = 25.0
"""How long an edit in the org stays uncommitted at most: a poll begins 30 seconds before the latest stamp."""
MOST_ROUNDS = 12
QUIET_ROUNDS = 2
MOST_WRITES = 4
"""Write calls for each edit and each round, at most: an echo loop would take more."""


class ScheduleError(Exception):
    """A seed led to something that must not be."""


@dataclass
class Report:
    """What a schedule did."""

    seed: int
    actions: list[str] = field(default_factory=list)
    crashes: int = 0
    conflicts: int = 0
    edits: int = 0
    writes: int = 0
    rounds: int = 0
    steps: dict[str, list[int]] = field(default_factory=dict)


@cache
def mappings() -> Path:
    """The shipped mappings, with fields of every owner."""
    folder = Path(mkdtemp(prefix="chaos-")) / "mappings"
    copytree(str(shipped_mappings()), folder)
    for file, sobject in (("customer.yaml", "Account"), ("order.yaml", "Order")):
        lines = (folder / file).read_text(encoding="utf-8").splitlines()
        for place, line in enumerate(lines):
            name = line.strip().partition(":")[0]
            if line.startswith("  ") and not line.startswith("   ") and name in FIELDS[sobject]:
                attribute = FIELDS[sobject][name][0]
                lines[place] = f"  {name}: {{path: {attribute}, owner: {OWNERS[name].value}}}"
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


class Schedule:
    """One seed on one org and one database."""

    def __init__(self, seed: int, org: LocalOrg, time: SharedTime, database_url: str) -> None:
        self.report = Report(seed)
        self._random = random.Random(seed)
        self._org = org
        self._time = time
        settings = Settings(
            _env_file=None,
            database_url=database_url,
            mappings_dir=mappings(),
            salesforce=SalesforceSettings(login_url=org.url, client_id=org.client_id, client_secret=org.client_secret),
            sync=SyncSettings(lease_seconds=LEASE_SECONDS),
        )
        self._processes = [Process(settings, ProcessClock(time, self._random)) for _ in range(2)]
        dml = org.org.dml
        rep = str(dml.platform_insert("User", Username="rep@chaos.example", LastName="Rep", IsActive=1))
        self._sides = Sides(org.org, time, rep, KEYS)
        self._hot = self._random.sample(self._sides.places, 4)
        self._is_noisy = True
        self._late: list[LateWrite] = []
        self._number = 0
        self._is_pushing = False
        self._extras = Extras(seed, actions=ACTIONS)

    # -- the schedule --------------------------------------------------------------------------------------------------

    async def run(self, actions: int) -> Report:
        """Begin with both sides equal, act, and check. Raises ScheduleError."""
        for process in self._processes:
            await process.start()
        try:
            await self._begin()
            for _ in range(actions):
                await self._act()
            await self._settle()
            await self._check()
        finally:
            for process in self._processes:
                await process.stop()
        self.report.edits = self._number
        self.report.writes = self._org.org.usage.writes
        return self.report

    async def _begin(self) -> None:
        services = self._processes[0].services
        async with services.store.transaction() as uow:
            await customers.save(uow, [Customer(number=key, name=f"Customer {key}") for key in KEYS["Account"][:2]])
            await products.save(
                uow, [Product(sku="P-1", name="Product", prices=(Price(currency="USD", unit_price=Decimal(14)),))]
            )
            some = zip(KEYS["Order"][:2], KEYS["Account"][:2], strict=True)
            await orders.save(uow, [new_order(key, customer) for key, customer in some])
        await self._processes[0].push()
        await self._processes[0].pull()
        self._time.advance(60)

    async def _act(self) -> None:
        chance = self._random
        kind = chance.choices(
            ("here", "org", "both", "push", "pull", "listen", "wait", "late", "resolve", "events", "expire"),
            (5, 5, 3, 6, 3, 5, 2, 1, 1, 1, 0.3),
        )[0]
        process = chance.choice(self._processes)
        if (extra := self._extras.draw()) is not None:
            await self._do_extra(extra)
        match kind:
            case "here":
                await self._edit_here()
            case "org":
                self._edit_in_org()
            case "both":
                await self._edit_both()
            case "push" | "pull" | "listen":
                await self._operate(kind, process)
            case "wait":
                seconds = chance.choice((0.5, 3, 20, 90))
                self._note(f"wait {seconds}")
                self._time.advance(seconds)
            case "late":
                self._late.append(self._sides.begin_late(place := self._any_place(), self._value(place)))
                self._note(f"late edit of {place} begins")
            case "resolve":
                await self._resolve()
            case "events":
                self._disturb_events()
            case "expire":
                self._note("replay IDs expire")
                self._org.org.hub.bus.drop_all()
        self._time.advance(chance.choice((0, 0, 0.3, 2, 6)))
        self._commit_late(chance.random() < 0.5)

    async def _do_extra(self, extra: str) -> None:
        """Create the last customer and order, or delete the line or order `extra`, or undelete the order."""
        self._note(f"extra: {extra}")
        if extra == CREATE:
            customer, number = KEYS["Account"][-1], KEYS["Order"][-1]
            await self._sides.create(self._idle.services, customer, new_order(number, customer))
        elif extra in self._extras.deleted:
            self._sides.undelete_order(extra, self._extras.deleted.pop(extra))
        elif extra not in ORDERS:
            self._sides.delete_line(extra)
        elif (record_id := self._sides.delete_order(extra)) is not None:
            self._extras.deleted[extra] = record_id

    def _note(self, text: str) -> None:
        self.report.actions.append(text)

    def _any_place(self) -> Place:
        """Mostly one of a few, so that edits meet."""
        return self._random.choice(self._hot if self._random.random() < 0.75 else self._sides.places)

    def _value(self, place: Place) -> str:
        self._number += 1
        return new_value(place[1], self._number)

    async def _edit_here(self, place: Place | None = None) -> None:
        place = place or self._any_place()
        value = self._value(place)
        self._note(f"here {place} = {value}")
        await self._sides.edit_here(self._idle.services, place, value)

    @property
    def _idle(self) -> Process:
        """A process that nothing happens to."""
        return next(process for process in self._processes if not process.is_busy)

    def _edit_in_org(self, place: Place | None = None) -> None:
        place = place or self._any_place()
        value = self._value(place)
        self._note(f"org {place} = {value}")
        self._sides.edit_in_org(place, value, in_call=self._is_pushing)

    def _commit_late(self, some: bool) -> None:
        """Commit the late edits that have been open for long, and `some` others."""
        for late in list(self._late):
            age = (self._time.now() - late.at).total_seconds()
            if some or age > LATEST_COMMIT / 2:
                self._late.remove(late)
                if age <= LATEST_COMMIT:
                    self._note(f"late edit {late.value} is visible")
                    self._sides.commit_late(late)

    async def _resolve(self) -> None:
        open_ones = await self._sides.open_conflicts(self._processes[0].services)
        if open_ones:
            conflict = self._random.choice(open_ones)
            choice = self._random.choice((ConflictState.LOCAL, ConflictState.SALESFORCE))
            self._note(f"resolve {conflict.key}.{conflict.field}: {choice.value}")
            await self._sides.resolve(self._processes[0].services, conflict, choice)

    def _disturb_events(self) -> None:
        chance, hub, faults = self._random, self._org.org.hub, self._org.org.faults
        match chance.choice(("twice", "gap", "merged", "overflow")):
            case "twice":
                faults.configure({"event_duplicate": chance.randint(1, 4)})
            case "gap":
                faults.configure({"event_gap": chance.randint(1, 3)})
            case "merged":
                hub.configure({"merge_events": not hub.merge_events})
            case "overflow":
                hub.configure({"overflow_after": chance.choice((0, 100_000))})

    # -- operations of a process ---------------------------------------------------------------------------------------

    async def _operate(self, kind: str, process: Process) -> None:
        self._plan(kind, process)
        self._note(f"{kind} by {self._processes.index(process)}: {process.steps.text}")
        await self._run(kind, process)

    async def _run(self, kind: str, process: Process) -> None:
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "push": process.push,
            "pull": process.pull,
            "listen": lambda: process.listen(
                EventSource(self._org.org, self._random, noisy=self._is_noisy),
                f"process {self._processes.index(process)}",
            ),
        }
        before = self._is_pushing
        self._is_pushing = before or kind == "push"
        process.is_busy = True
        try:
            alive = await process.run(works[kind])
            self.report.steps.setdefault(kind, []).append(process.steps.count)
            if not alive:
                self._note("crashed")
                self.report.crashes += 1
        finally:
            process.is_busy = False
            self._is_pushing = before
            process.steps.forget()

    def _plan(self, kind: str, process: Process) -> None:
        """Draw what happens at which step. Most operations pass undisturbed."""
        chance, steps = self._random, process.steps
        steps.forget()
        number = chance.choices((0, 1, 2), (4, 5, 2))[0]
        longest = {"push": 85, "pull": 29, "listen": 35}[kind]

        def at() -> int:
            return chance.randint(1, longest)

        for disturbance in chance.choices(("crash", "org", "here", "freeze", "lost", "failed", "both"), k=number):
            match disturbance:
                case "crash":
                    steps.crashes = {at()}
                case "org":
                    steps.acts |= {at(): self._async_edit_in_org for _ in range(chance.randint(1, 2))}
                case "here":
                    steps.acts |= {at(): self._edit_here for _ in range(chance.randint(1, 2))}
                case "both":
                    steps.acts |= {at(): self._edit_both}
                case "freeze":
                    other = chance.choice(("push", "pull", "listen"))
                    steps.acts |= {at(): partial(self._freeze, process, other)}
                case "lost":
                    steps.lost = {chance.randint(1, 6) for _ in range(chance.randint(1, 3))}
                case "failed":
                    statuses = chance.choices((500, 503), k=chance.randint(1, 5))
                    steps.failed = {chance.randint(1, 6): status for status in statuses}

    async def _edit_both(self) -> None:
        """In the same second, or some seconds apart."""
        place, seconds = self._any_place(), self._random.choice((0, 0, 3))
        if self._random.random() < 0.5:
            await self._edit_here(place)
            self._time.advance(seconds)
            self._edit_in_org(place)
        else:
            self._edit_in_org(place)
            self._time.advance(seconds)
            await self._edit_here(place)

    async def _async_edit_in_org(self) -> None:
        self._edit_in_org()

    async def _freeze(self, process: Process, kind: str) -> None:
        """The process sleeps past its leases; the other one takes over, and then the first one wakes."""
        other = next(item for item in self._processes if item is not process)
        if other.is_busy:
            return
        self._note(f"frozen; {kind} by the other one")
        process.clock.awake.clear()
        self._time.advance(3 * LEASE_SECONDS)
        try:
            await self._run(kind, other)
        finally:
            process.clock.awake.set()
        self._note("awake")

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """No edits and no faults any more: both sides come to rest within some rounds."""
        self._time.advance(1)
        for extra in [*self._extras.deleted, *([] if self._extras.is_created else [CREATE])]:
            await self._do_extra(extra)
        self._commit_late(some=True)
        self._org.org.faults.clear()
        self._org.org.hub.configure({"overflow_after": 100_000, "merge_events": False})
        self._is_noisy = False
        process, quiet = self._processes[0], 0
        self._note("settle")
        for _ in range(MOST_ROUNDS):
            self.report.rounds += 1
            self._time.advance(20 * 60)  # longer than any pause after an error
            writes = self._org.org.usage.writes
            await self._run("listen", process)
            await self._run("pull", process)
            await self._run("push", process)
            due = await self._count_due(process)
            quiet = quiet + 1 if self._org.org.usage.writes == writes and not due else 0
            if quiet == QUIET_ROUNDS:
                return
        raise ScheduleError(f"after {MOST_ROUNDS} rounds there is still something to do: {due}; {process.errors[-3:]}")

    async def _count_due(self, process: Process) -> dict[str, int]:
        services = process.services
        async with services.store.reader() as connection:
            unsent = await outbox_counts.counts(connection)
            waiting = await inbox.counts(connection, services.client.org_id)
        due = {f"{kind.value} {state.value}": n for kind, states in unsent.items() for state, n in states.items() if n}
        due |= {f"inbox {state.value}": waiting[state] for state in InboxState if waiting[state]}
        return due

    async def _check(self) -> None:
        services = self._processes[0].services
        here, there = await self._sides.read_here(services), self._sides.read_org()
        open_ones = await self._sides.open_conflicts(services)
        self.report.conflicts = len(open_ones)
        problems = []
        for place in self._sides.places:
            number = sum((item.key, item.field) == place for item in open_ones)
            if (problem := self._sides.ledger.problem(place, here[place], there[place], number)) is not None:
                problems.append(f"{place[0]}.{place[1]} ({OWNERS[place[1]].value}): {problem}")
        most = MOST_WRITES * (self._number + len(self.report.actions))
        if self._org.org.usage.writes > most:
            problems.append(f"{self._org.org.usage.writes} write calls for {self._number} edits")
        if problems:
            raise ScheduleError("; ".join(problems))


@asynccontextmanager
async def running_schedule(seed: int, database_url: str) -> AsyncIterator[Schedule]:
    """A schedule on a new org and this database, which is empty but migrated."""
    time = SharedTime()
    async with AsyncExitStack() as stack:
        options = OrgOptions(metadata_root=our_metadata(), clock=time.now, random_seed=seed)
        org = await stack.enter_async_context(LocalOrg(options))
        yield Schedule(seed, org, time, database_url)
