"""A real browser (Debian's headless Chromium, which `.ci/run` installs), and a console with texts in bad shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright, expect
from sqlalchemy import update

from connector.clock import SystemClock
from connector.errors import CommandError
from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.admin import MappingAdmin
from connector.jobs.undo import Undoer
from connector.jobs.undo_plan import UndoChoice
from connector.mapping.version import read_texts
from connector.model.change import ChangeState, EntityKind
from connector.model.conflict import Conflict
from connector.model.customer import Customer
from connector.model.field_notes import SentRecord
from connector.model.inbound_change import Source
from connector.model.job_run import JobState
from connector.model.mapping_drift import Drift, DriftKind
from connector.model.reconciliation import (
    FieldDifference,
    Finding,
    Healing,
    Reconciliation,
    RecordState,
    RunState,
)
from connector.model.record import Link
from connector.model.resync import Priority, ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.model.undo import Side, UndoPlan, UndoRow, UndoState
from connector.model.worker import Worker
from connector.settings import Settings
from connector.store import (
    conflicts,
    console_sessions,
    customers,
    inbox,
    job_runs,
    journal,
    links,
    mapping_drifts,
    orgs,
    reconcile_runs,
    resyncs,
    schema,
    tokens,
    undos,
    workers,
)
from connector.store.engine import Store
from connector.store.journal import JournalEntry
from connector.store.tables import outbox
from connector.store.undos import Undo
from connector.store.unit_of_work import UnitOfWork
from connector.web.console.session import COOKIE
from tests.conftest import require
from tests.databases import Databases
from tests.unit.store import samples
from tests.web.conftest import app_on
from tests.web.test_dead_letters import TOO_LONG

DATABASE = "console.db"
_SHELL = Path("/usr/lib/chromium/chromium-headless-shell")
CHROMIUM = _SHELL if _SHELL.exists() else Path("/usr/bin/chromium")
"""The shell has the same engine and takes half of the CPU: it begins no profile for each context."""
_INSTALLED = CHROMIUM.exists()
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--js-flags=--no-opt,--no-maglev",
)  # fmt: skip
"""Without optimizing compilers, which take more time than they save where each page is open for a moment."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_browser() -> AsyncIterator[Browser]:
    require(_INSTALLED, f"{CHROMIUM} (package chromium-headless-shell)")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(shared_browser: Browser) -> AsyncIterator[Browser]:
    """The same browser for all tests of a worker. What one test opens is closed before the next."""
    yield shared_browser
    for context in shared_browser.contexts:
        await context.close()


CONFLICT = Conflict(
    id=0, org_id="00D", entity="customer", key="C-1", field="Phone", sobject="Account", record_id="001", base="1",
    local="2", remote="3", opened_at=datetime(2026, 3, 1, tzinfo=UTC), remote_changed_by="Rita Rep",
)  # fmt: skip
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
LONG = "Gesellschaft für Außerordentlichlangenamen " * 5


@dataclass(frozen=True)
class Console:
    url: str
    store: Store
    secret: str


async def put_runs(uow: UnitOfWork) -> None:
    """Runs of a job that ended well, that failed, and that wait; and a worker."""
    for failed in (False, True):
        await job_runs.request(uow, "prune", actor=HOSTILE)
        [run] = await job_runs.take_waiting(uow, ["prune"], worker="host:1", ttl=15)
        state = JobState.FAILED if failed else JobState.DONE
        await job_runs.finish(uow, run, state, result={"journal": 12}, error=LONG if failed else None)
    await job_runs.request(uow, "reconcile", actor="Kim")
    row = {"id": "w1", "host": LONG[:200], "pid": 7, "roles": ("scheduler", "worker"), "engine": "embedded"}
    worker = Worker(**row, started_at=uow.now, seen_at=uow.now, alive=True)  # type: ignore[arg-type]
    await workers.report(uow, worker, ttl=60)


async def put_comparisons(uow: UnitOfWork) -> None:
    """One that found differences, and one that was stopped."""
    found = Reconciliation(limit=9)
    found.count("order", RecordState.VERIFIED, "N-1")
    values: dict[str, Any] = {"base": None, "local": HOSTILE, "remote": LONG, "has_base": True}
    field = FieldDifference(field="Description", owner="ask", healing=Healing.ASK, **values)
    keys = ("N-2", HOSTILE[:70])
    for key in keys:
        found.add(
            Finding(
                entity="order",
                key=key,
                state=RecordState.DRIFTED,
                sobject="Order",
                record_id="801",
                fields=(field,) * 3,
            )
        )
    lost = Finding(entity="order", key="N-3", state=RecordState.MISSING_IN_ORG, sobject="Order", record_id=None)
    found.add(replace(lost, detail=LONG))
    found.add(replace(lost, state=RecordState.HELD, key="N-1", fields=(field,), detail=LONG))
    found.count("line", RecordState.REFUSED, "N-3-1", HOSTILE)
    number = await reconcile_runs.begin(uow, "00D", full=True, scope={})
    await reconcile_runs.finish(uow, number, found, state=RunState.FINISHED, calls=7)
    number = await reconcile_runs.begin(uow, "00D", full=False, scope={"order": ["N-1"]})
    await reconcile_runs.stop(uow, number, calls=1)


async def put_writes(uow: UnitOfWork) -> None:
    """What the first resync has written, and its undo."""
    sent = [
        SentRecord(
            sobject="Order", key="N-1", fields={"Description": HOSTILE, "Carrier__c": LONG}, record_id="801",
            before={"Description": LONG},
        ),
        SentRecord(sobject="OrderItem", key="N-1-1", fields={"Quantity": 2}, created=True),
        SentRecord(sobject="OrderItem", key="N-1-2", fields={}, record_id="802", before={"Quantity": 3}),
    ]  # fmt: skip
    refused = {"code": "STRING_TOO_LONG", "message": LONG}
    await journal.write(
        uow,
        [
            JournalEntry(entity="order", key="N-1", action="written", detail={}, sent=sent, run="resync-1"),
            JournalEntry(entity="order", key="N-2", action="refused", detail=refused, run="resync-1"),
        ],
    )
    link = Link(entity="order", key="N-1", sobject="Order", salesforce_id="801", snapshot={"Description": LONG})
    await links.put(uow, "00D", [link])
    await links.hold(uow, "00D", {("order", "N-1"): {"Description": HOSTILE, "Carrier__c": "DHL"}}, {})
    left = {"entity": "order", "key": "N-3", "sobject": "Order", "record": "N-3", "field": "Carrier__c",
            "who": HOSTILE + LONG, "at": uow.now, "why": "Somebody changed it in the org."}  # fmt: skip
    counts = {"restore": 2, "changed": 1}
    await undos.create(uow, "00D", "resync-1", plan="p", total=2, counts=counts, left_alone=[left], actor=HOSTILE)


class FixedPlan(Undoer):
    """A plan without an org: a row of each state."""

    async def plan(self, run: str, chosen: UndoChoice, *, org: str = "") -> UndoPlan:
        row = UndoRow(
            state=UndoState.RESTORE, side=Side.ORG, entity="order", key="N-1", sobject="Order", record="N-1",
            record_id="801", field="Description", before=LONG, written=HOSTILE, now=HOSTILE, ours=HOSTILE,
            is_ours=True, holds=True, who=HOSTILE + LONG, at=SystemClock().now(), why=LONG,
        )  # fmt: skip
        rows = [replace(row, state=state, record="N-1-1") for state in UndoState]
        return UndoPlan(run=run, rows=[row, *rows], reads=1, calls_at_most=9, notes=["It concerned another org."])

    async def undo(
        self, run: str, plan_id: str, chosen: UndoChoice, *, actor: str, org: str = ""
    ) -> tuple[UndoPlan, Undo | None]:
        plan = await self.plan(run, chosen)
        if chosen.keys or plan.id != plan_id:
            raise CommandError("The plan has changed.", hint="Look at the new one.", field="plan", rule="version")
        at = SystemClock().now()  # it is stored already
        undo = Undo(
            id=1, run=run, org_id="00D", plan=plan_id, actor=actor, created_at=at, ended_at=at, renewed_at=at,
            total=1, reached=1, counts={}, left_alone=[],
        )  # fmt: skip
        return plan, undo


async def put_mappings(store: Store) -> None:
    """A version that is live, and a plan of another one."""
    admin = MappingAdmin(store=store, settings=Settings.model_validate({"_env_file": None}))
    texts = dict(read_texts())
    await admin.apply(texts, Request(actor=HOSTILE, note=LONG, resync=False))
    changed = texts["order.yaml"].replace("{path: notes, owner: newest}", "customer.name")
    await admin.plan({**texts, "order.yaml": changed}, actor=HOSTILE)
    await admin.start_shadow({**texts, "order.yaml": changed}, actor=HOSTILE, note=LONG)
    drift = Drift(
        level="error",
        kind=DriftKind.LENGTH,
        sobject="Order",
        field="Description",
        text=HOSTILE + LONG,
        places=("mappings/order.yaml:14",),
    )
    async with store.transaction() as uow:
        await mapping_drifts.record(uow, "00D", [drift])


@asynccontextmanager
async def running_console(
    folder: Path, prepare: Callable[[Store], Awaitable[object]] | None = None
) -> AsyncIterator[Console]:
    """With `prepare`, the store is changed by it before the console runs."""
    store = Store.open(f"sqlite:///{folder / DATABASE}", clock=SystemClock())
    if store.absent:
        await schema.upgrade(store)
    await samples.stock(store)
    async with store.transaction() as uow:
        secret = await tokens.create(uow, "Kim", Role.OPS)
    await samples.place(store, *(samples.order(f"N-{number}") for number in range(1, 4)))
    async with store.transaction() as uow:
        known = await customers.load(uow.connection, [samples.order().customer])
        await customers.save(uow, [Customer(number=item.number, name=HOSTILE + LONG) for item in known])
        refusal = {**asdict(TOO_LONG), "message": HOSTILE + LONG}
        chosen = update(outbox).where(outbox.c.key == "N-3")
        values = {"state": ChangeState.DEAD.value, "refused_at": uow.now, "refusal": orjson.dumps(refusal).decode()}
        await uow.connection.execute(chosen.values(values))
        await conflicts.open_or_update(uow, [replace(CONFLICT, local=HOSTILE, remote=LONG, opened_at=uow.now)])
        await orgs.put(uow, "00D", login_url="", instance_url="https://org.example", is_active=True)
        await put_comparisons(uow)
        await put_runs(uow)
        await inbox.park(uow, "00D", ("Account", "001000000000001AAA"), Source.POLL, error=HOSTILE, fix=LONG)
        chosen_orders = ResyncFilter(keys=("N-1", LONG[:80]))
        await resyncs.create(
            uow, EntityKind.ORDER, chosen_orders, mode=ResyncMode.PUSH, priority=Priority.LOW, total=2, actor=HOSTILE
        )
        await put_writes(uow)
    await put_mappings(store)
    if prepare is not None:
        await prepare(store)
    server = TestServer(app_on(store, undoer=FixedPlan(open_org=nullcontext)))  # type: ignore[arg-type]
    await server.start_server()
    yield Console(str(server.make_url("/")).rstrip("/"), store, secret)
    await server.close()
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def console(sqlite_databases: Databases, tmp_path: Path) -> AsyncIterator[Console]:
    sqlite_databases.copy_template(tmp_path / DATABASE)
    async with running_console(tmp_path) as running:
        yield running


async def signed_in(browser: Browser, console: Console, **options: object) -> Page:
    """The list of orders in a browser that has a session already; for what is no test of signing in."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    async with console.store.transaction() as uow:
        secret = await console_sessions.begin(uow, "Kim")
    await context.add_cookies([{"name": COOKIE, "value": secret, "url": console.url}])
    page = await context.new_page()
    await page.goto(f"{console.url}/orders")
    return page


async def sign_in_by_hand(browser: Browser, console: Console, **options: object) -> Page:
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(f"{console.url}/orders")
    await page.get_by_label("Token").fill(console.secret)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Orders")).to_be_visible()
    await until_ready(page)
    return page


async def until_ready(page: Page) -> None:
    """Until the console's script has run, which keeps drafts and answers keys: a page is visible before."""
    await page.wait_for_load_state("domcontentloaded")


async def press(page: Page, *keys: str) -> None:
    await until_ready(page)
    for key in keys:
        await page.keyboard.press(key)
