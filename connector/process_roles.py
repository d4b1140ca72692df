"""The roles of a process, from settings: the API, the worker that sends to the org, the listener and the scheduler.

`connector serve` and `python scheduler.py` are the same composition. A role that needs an org is left out where none is
configured.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from connector import tracing
from connector.errors import ConnectorError, StoreError, UsageError
from connector.jobs.backup import back_up_regularly, warn_about_folder
from connector.jobs.held_lease import lease_owner
from connector.jobs.inbound_run import InboundRun
from connector.jobs.job_runner import JobRunner
from connector.jobs.mappings.drift import watch_drift
from connector.jobs.order_automation import run_order_automation
from connector.jobs.prune import prune, repair
from connector.jobs.pull_job import PullJob
from connector.jobs.push_loop import PushLoop, push_result
from connector.jobs.reconcile import ReconcileOptions, ReconcileRunningError, ReconcileSummary, is_reconciling
from connector.jobs.resync_loop import ResyncLoop
from connector.jobs.role_supervisor import RoleState, RoleSupervisor
from connector.jobs.schedule import PULLED_OBJECTS, Job, JobDefinition, Result, define_jobs, job_of, pull_job
from connector.jobs.send_notifications import send_notifications
from connector.jobs.start_notes import log_start_notes
from connector.jobs.triage import follow_causes
from connector.jobs.worker_heartbeat import reported
from connector.log import StateLog, configure, get_logger
from connector.model.change import EntityKind
from connector.salesforce.address import has_pubsub
from connector.salesforce.call_gate import get_call_scope
from connector.service import (
    LocalServices,
    Services,
    local_services,
    org_services,
    running_service,
    tune_garbage_collection,
)
from connector.settings import Settings, load_settings
from connector.workers.engine import Engine, choose_engine
from scheduler import JobScheduler

if TYPE_CHECKING:  # it loads the Pub/Sub client
    from connector.jobs.listen import ListenerRole

API, WORKER, LISTENER, SCHEDULER = "api", "worker", "listener", "scheduler"
ROLES = (API, WORKER, LISTENER, SCHEDULER)
DRAIN_SECONDS = 20.0
"""How long work that is under way may go on after SIGTERM. What is interrupted continues with the next start."""

LONGEST_COMPARISON = timedelta(minutes=30)
"""How long the nightly comparison waits for another one to end."""
LONGEST_PAUSE = timedelta(hours=11)
"""How long it waits for the API budget: less than a run may take."""

Role = Callable[[asyncio.Event], Awaitable[None]]

log = get_logger("serve")


class NullProgress:
    """Shows no progress, because nobody watches a service."""

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def print_line(self, text: str) -> None:
        log.info("push", text=text)


async def serve() -> None:
    """The whole service, until SIGTERM or SIGINT."""
    settings = load_settings()
    configure(settings.service_log_level, **settings.log_options)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_roles(settings):
        await stop.wait()


def choose_roles(settings: Settings, chosen: Collection[str] | None) -> list[str]:
    """The roles of a process; None means all that these settings allow. Raises UsageError for one that cannot run."""
    possible = [API, SCHEDULER]
    missing = f"{settings.salesforce.full_name('login_url')} must be set."
    if settings.salesforce.login_url:
        possible.append(WORKER)
        missing = (
            "It needs CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT if the org is on this machine, and"
            " CONNECTOR_INBOUND__LISTEN not to be false."
        )
        if settings.inbound.listen and has_pubsub(settings.salesforce):
            possible.append(LISTENER)
    if chosen is None:
        return [role for role in ROLES if role in possible]
    for role in chosen:
        if role not in ROLES:
            raise UsageError(f"--roles: invalid role {role!r}.", hint=f"Use some of {','.join(ROLES)}.")
        if role not in possible:
            raise UsageError(f"--roles: the {role} cannot run.", hint=missing)
    return [role for role in ROLES if role in chosen]


@asynccontextmanager
async def running_roles(
    settings: Settings, chosen: Collection[str] | None = None, *, announce: Callable[[str], None] = lambda text: None
) -> AsyncIterator[Mapping[str, RoleState]]:
    """Run roles during the block, and end them in order behind it: what is under way may finish for 20 seconds.

    `announce` is called with where the API listens. Raises UsageError for a role that cannot run, SettingsError,
    MappingError or StoreError if the service cannot start, ConnectorError if the port is taken.
    """
    roles = choose_roles(settings, chosen)
    tune_garbage_collection()
    needs_org = bool(settings.salesforce.login_url) and roles != [API]
    async with AsyncExitStack() as stack:
        if settings.traces:
            stack.push_async_callback(asyncio.to_thread, tracing.start())
        services: LocalServices
        if needs_org:
            services = await stack.enter_async_context(running_service(settings, follow_files=True))
        else:
            services = await stack.enter_async_context(local_services(settings, follow_files=True))
        _tell_about_the_database(services)
        if SCHEDULER in roles:
            await warn_about_folder(settings.backup.folder)
        supervisor = RoleSupervisor(services.clock)
        worker = lease_owner()
        engine = choose_engine(settings)
        await stack.enter_async_context(engine.ringing(services.store))
        orgs = [services, *await _enter_other_orgs(stack, services)] if isinstance(services, Services) else []
        work = _local_work(services, orgs, roles, worker) | _org_work(orgs, roles, worker, engine)
        where = None
        states = lambda: list(supervisor.states.values())  # noqa: E731
        if API in roles:
            where = await stack.enter_async_context(_serving_api(services, states))
            announce(where)
        ttl = settings.sync.lease_seconds
        alive = reported(services.store, worker, roles=roles, ttl=ttl, engine=settings.workers, states=states)
        await stack.enter_async_context(alive)
        await log_start_notes(services.store, settings)
        log.info("started", roles=roles, **({"at": where} if where else {}))
        supervisor.start(work)
        try:
            yield supervisor.states
        finally:
            await supervisor.stop(DRAIN_SECONDS)
    log.info("stopped")


def _tell_about_the_database(services: LocalServices) -> None:
    """Log once that the database is away, and once that it is back, whichever part of the process finds out."""
    state = StateLog(log, "database away", "database is back", database=services.store.address)

    def tell(error: StoreError | None) -> None:
        if error is None:
            state.work()
        else:
            state.fail(error.message, hint=error.hint)

    services.store.on_state = tell


async def _enter_other_orgs(stack: AsyncExitStack, services: Services) -> list[Services]:
    """The services of the other orgs, if this process works for all of them."""
    settings = services.settings
    names = [] if settings.works_for_one_org else settings.orgs
    return [await stack.enter_async_context(org_services(services, name)) for name in names]


def _local_work(
    services: LocalServices, orgs: Sequence[Services], roles: Sequence[str], worker: str
) -> dict[str, Role]:
    """The roles that a process has once, whatever the number of orgs."""
    work: dict[str, Role] = {}
    ttl = services.settings.sync.lease_seconds
    if SCHEDULER in roles:
        jobs = make_jobs(services) + [job for other in orgs[1:] for job in _org_jobs(other)]
        work[SCHEDULER] = lambda stop: JobScheduler(jobs, JobRunner(services.store, worker=worker, ttl=ttl)).run(stop)
    if WORKER in roles and orgs:
        # A lease and a queue for all orgs, although this process may work for one.
        store = services.store.for_org(None) if services.settings.works_for_one_org else services.store
        work["resyncs"] = ResyncLoop(
            store,
            {org.settings.org: ResyncOrg(org) for org in orgs},
            ttl=ttl,
            works_for_all=not services.settings.works_for_one_org,
        ).run
    return work


def _org_work(orgs: Sequence[Services], roles: Sequence[str], worker: str, engine: Engine) -> dict[str, Role]:
    """The roles that a process has for each org: `worker`, and `worker@emea` for another one than the first."""
    work: dict[str, Role] = {}
    for index, org in enumerate(orgs):
        name = org.settings.org if index else ""
        if WORKER in roles:
            work[job_of(WORKER, name)] = partial(_push_until, org, worker, engine)
        listener = org.listener() if LISTENER in roles else None
        if listener is not None:
            work[job_of(LISTENER, name)] = partial(_listen_until, listener)
    return work


async def _listen_until(listener: ListenerRole, stop: asyncio.Event) -> None:
    async with listener.running():
        await stop.wait()


async def _push_until(services: Services, worker: str, engine: Engine, stop: asyncio.Event) -> None:
    """Push until `stop`; a push that is under way ends."""
    sync = services.settings.sync
    loop = PushLoop(
        services.push_context.store,
        lambda verify: services.push(NullProgress(), scheduled=True, verify=verify),
        worker=worker,
        look_seconds=sync.push_seconds,
        wakes_on_capture=engine.wakes_on_capture,
        slow_down=services.push_context.budget.pause_between_pushes,
    )
    await engine.run(loop, stop, services.settings.org)


class ResyncOrg:
    """What resyncs do with the org, by the services of this process."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def take_in(self) -> None:
        run = await InboundRun.begin(self._services.inbound_context)
        await run.intake()

    async def check_budget(self) -> None:
        budget = self._services.push_context.budget
        await budget.find_lowest_lane()
        budget.check(get_call_scope().lane)

    async def compare(self, kind: EntityKind, keys: Sequence[str]) -> dict[str, int]:
        options = ReconcileOptions(selection={kind: list(keys)})
        result = (await self._services.reconcile(options, NullProgress())).result
        states = {state.value: count for state, count in result.counts.get(kind.value, {}).items()}
        return {**states, "differing": result.differing}


def make_jobs(services: LocalServices) -> list[Job]:
    """The jobs of a scheduler, with what they do."""
    definitions = {item.name: item for item in define_jobs(services.settings)}
    jobs = [Job(definition=definitions["prune"], run=partial(_prune, services))]

    def add(name: str, run: Callable[[], Awaitable[Result]], *, concurrent: bool = False) -> None:
        definition: JobDefinition | None = definitions.get(name)
        if definition is not None:
            jobs.append(Job(definition=definition, run=run, concurrent=concurrent))

    add("triage", partial(_follow_causes, services))
    add("backup", partial(back_up_regularly, services.store, services.settings), concurrent=True)
    add("mapping_drift", partial(_watch_drift, services))
    add("order_automation", partial(_automate_orders, services))
    if (transport := services.transport()) is not None:

        async def notify() -> Result:
            messages, clock = services.settings.messages, services.clock
            return _told(
                "notifications",
                await send_notifications(services.store, services.composer, transport, messages, clock=clock),
            )

        add("notifications", notify, concurrent=True)
    if (sender := services.notice_sender()) is not None:

        async def post() -> Result:
            return _told("webhooks", await sender.send())

        add("webhooks", post, concurrent=True)
    if (alerts := services.alert_sender()) is not None:

        async def alert() -> Result:
            return _told("alerts", await alerts.run())

        add("alerts", alert, concurrent=True)
    return jobs + (_org_jobs(services) if isinstance(services, Services) else [])


def _org_jobs(services: Services) -> list[Job]:
    """The jobs of one org."""
    org = services.settings.org
    definitions = {item.name: item for item in define_jobs(services.settings)}
    work: dict[str, Callable[[], Awaitable[Result]]] = {
        job_of("push", org): partial(_push_now, services),
        job_of("reconcile", org): partial(_reconcile, services, heal=services.settings.reconcile.heal),
        job_of("heal", org): partial(_reconcile, services, heal=True),
        **{pull_job(sobject, org): PullJob(partial(services.pull, sobjects=[sobject])) for sobject in PULLED_OBJECTS},
    }
    return [
        Job(definition=definitions[name], run=run, concurrent=True) for name, run in work.items() if name in definitions
    ]


def _told(what: str, report: object) -> Result:
    """Log what a job did, if it did something, and return it as its result."""
    if not report:
        return {}
    result = asdict(report)  # type: ignore[call-overload]
    log.info(what, **result)
    return dict(result)


async def _automate_orders(services: LocalServices) -> Result:
    return _told("order_automation", await run_order_automation(services.store, services.orders))


async def _follow_causes(services: LocalServices) -> Result:
    changes = await follow_causes(services.store)
    return {name: number for name, number in asdict(changes).items() if number}


async def _watch_drift(services: LocalServices) -> Result:
    return _told("mapping_drift", await watch_drift(services.store, services.settings))


async def _prune(services: LocalServices) -> Result:
    done = await prune(services.store, services.settings)
    done |= {f"repaired_{kind}": number for kind, number in (await repair(services.store)).items()}
    return {kind: number for kind, number in done.items() if number}


async def _push_now(services: Services) -> Result:
    """A push that a person asked for: it calls the org at once."""
    return push_result(await services.push(NullProgress()))


async def _reconcile(services: Services, *, heal: bool) -> Result:
    """Compare both sides, and heal what differs if that is wanted."""
    options = ReconcileOptions(heal=heal, patience=LONGEST_PAUSE)
    summary = await _when_nobody_compares(services, options)
    result = summary.result
    numbers: dict[str, object] = {
        "verified": result.verified, "total": result.total(), "differing": result.differing, "calls": summary.calls,
    }  # fmt: skip
    if summary.healing is not None:
        numbers["healed"] = summary.healing.healed
    (log.info if summary.in_sync else log.warning)("reconciled", **numbers)
    return numbers


async def _when_nobody_compares(services: Services, options: ReconcileOptions) -> ReconcileSummary:
    """Compare when another process, or a resync, has ended its comparison. Raises ReconcileRunningError after half an
    hour, ApiBudgetError if the API budget does not allow it within half a day."""
    clock, pause = services.clock, services.settings.sync.lease_seconds / 3
    begun_at = clock.now()
    while True:
        try:
            return await services.reconcile(options, NullProgress())
        except ReconcileRunningError:
            until = begun_at + LONGEST_COMPARISON
            if clock.now() > until:
                raise
            while await is_reconciling(services.org_store, services.client.org_id) and clock.now() <= until:
                await clock.sleep(pause)  # costs no call, as another try would


@asynccontextmanager
async def _serving_api(services: LocalServices, states: Callable[[], Sequence[RoleState]]) -> AsyncIterator[str]:
    """Serve the API during the block; its address."""
    from aiohttp import web

    from connector.web.server import Runner

    http = services.settings.http
    runner = Runner(services.web_app(role_states=states), shutdown_timeout=10)
    await runner.setup()
    try:
        site = web.TCPSite(runner, http.host, http.port)
        try:
            await site.start()
        except OSError as error:
            raise ConnectorError(
                f"The API cannot listen at {http.host}:{http.port}: {os.strerror(error.errno or 0).lower()}.",
                hint="Change CONNECTOR_HTTP__HOST or CONNECTOR_HTTP__PORT.",
            ) from None
        yield site.name
    finally:
        await runner.cleanup()
