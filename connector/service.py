"""The composition root: the one place that puts the parts of the product together, from settings.

`local_services` needs no org: the database, the rules, the composer of notifications, and the door to orders. The HTTP
API and most commands need only these. `running_service` adds the org: its client, the mappings, and the push.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from connector.clock import Clock, SystemClock
from connector.errors import CommandError, SettingsError
from connector.orders.org_routes import route_customers
from connector.orders.policy.rules import Rules, load_rules_for
from connector.orders.service import OrderService
from connector.salesforce.address import has_pubsub
from connector.settings import Settings
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import api_calls, outgoing_events
from connector.store.engine import Store
from connector.store.schema import check, open_store

if TYPE_CHECKING:  # importing the org's client would slow short commands down
    from aiohttp import web

    from connector.jobs.alerts import AlertSender
    from connector.jobs.conflict_resolution import ConflictResolver
    from connector.jobs.doctor.shared_report import SharedReport
    from connector.jobs.inbound_run import InboundJobContext
    from connector.jobs.listen import ListenerRole
    from connector.jobs.pull import PullSummary
    from connector.jobs.push import PushContext
    from connector.jobs.push_rounds import ProgressReporter
    from connector.jobs.push_summary import PushSummary
    from connector.jobs.reconcile import ReconcileOptions, ReconcileSummary
    from connector.jobs.role_supervisor import RoleState
    from connector.jobs.send_webhooks import NoticeSender
    from connector.jobs.undo import Undoer
    from connector.mapping import MappingSet
    from connector.notifications.composer import NotificationComposer
    from connector.notifications.transport.transport import MailTransport
    from connector.salesforce.client import SalesforceClient
    from connector.store.outbox_filters import Selection


def tune_garbage_collection() -> None:
    """Run the garbage collector less often; for long-running processes. The objects of a batch live as long as its
    transaction and form no cycles; Python's default thresholds cost about 5 % of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@dataclass(frozen=True, kw_only=True)
class LocalServices:
    """The services that work without an org."""

    settings: Settings
    store: Store
    orders: OrderService
    current_composer: Callable[[], NotificationComposer]

    @property
    def clock(self) -> Clock:
        return self.store.clock

    @property
    def rules(self) -> Rules:
        """The current rules."""
        return self.orders.rules

    @property
    def composer(self) -> NotificationComposer:
        """A composer with the current rules and templates."""
        return self.current_composer()

    def transport(self) -> AbstractAsyncContextManager[MailTransport] | None:
        """The transport of notifications; None if notifications are off."""
        from connector.notifications.transport.transport import make_transport

        return make_transport(self.settings.messages, self.clock)

    def web_app(self, role_states: Callable[[], Sequence[RoleState]] = lambda: ()) -> web.Application:
        """The HTTP API. `role_states`: how the roles of this process are."""
        from connector.jobs.mappings.admin import MappingAdmin
        from connector.jobs.schedule import define_jobs
        from connector.model.allowances import AllowancePolicies
        from connector.openid.provider import OpenIdProvider
        from connector.store import deliveries
        from connector.web.app import AppServices, make_app

        return make_app(
            AppServices(
                requests_per_minute=self.settings.http.requests_per_minute,
                store=self.store,
                orgs=[*self.settings.orgs],
                orders=self.orders,
                current_composer=self.current_composer,
                conflict_resolver=self.conflict_resolver,
                mappings=MappingAdmin(store=self.store, settings=self.settings),
                allowances=AllowancePolicies(
                    calls=api_calls.policy_of(self.settings.budget),
                    deliveries=deliveries.policy_of(self.settings.inbound),
                ),
                jobs=define_jobs(self.settings),
                partitions=self.settings.sync.partitions,
                role_states=role_states,
                doctor=self.doctor(role_states).get,
                undoer=self.undoer(),
                openid=OpenIdProvider(self.settings.oidc, clock=self.clock) if self.settings.oidc.issuer else None,
            )
        )

    def doctor(self, role_states: Callable[[], Sequence[RoleState]] = lambda: ()) -> SharedReport:
        """Checks the whole installation when somebody asks. `role_states`: how the roles of this process are."""
        from connector.jobs.doctor.examine import examine
        from connector.jobs.doctor.shared_report import SharedReport

        clock = self.clock
        return SharedReport(lambda: examine(self.settings, self.store, clock=clock, roles=role_states()), clock)

    def conflict_resolver(self) -> ConflictResolver:
        """Resolves conflicts by the active mappings."""
        from connector.jobs.conflict_resolution import ConflictResolver
        from connector.jobs.mappings.files import MappingFiles
        from connector.jobs.mappings.versions import MappingVersions

        versions = MappingVersions(MappingFiles(self.settings.mappings_dir))
        return ConflictResolver(
            store=self.store,
            orders=self.orders,
            mappings=partial(versions.load, self.store),
            webhooks=self.settings.webhooks,
        )

    def undoer(self) -> Undoer:
        """Undoes runs; it signs in to the org when somebody asks for a plan."""
        from connector.jobs.undo import Undoer

        @asynccontextmanager
        async def open_org(name: str) -> AsyncIterator[InboundJobContext]:
            if name and name not in self.settings.orgs:
                hint = f"Use one of {', '.join([DEFAULT_ORG, *self.settings.orgs])}."
                raise CommandError(f"org: there is no org {name!r}.", hint=hint, field="org", rule="input")
            if not self.settings.for_org(name).salesforce.login_url:
                hint = "Set CONNECTOR_SALESFORCE__LOGIN_URL for this process, or use `connector undo` where it is set."
                raise SettingsError("This process knows no org to compare with.", hint=hint)
            async with org_services(self, name) as services:
                yield services.inbound_context

        return Undoer(open_org=open_org)

    def alert_sender(self) -> AlertSender | None:
        """Tells operators of alerts; None if there is nobody to tell."""
        from connector.jobs.alerts import AlertSender
        from connector.notifications.alert_channels import make_channels

        if not self.settings.alerts.enabled:
            return None
        return AlertSender(self.store, self.settings, make_channels(self.settings, self.clock))

    def notice_sender(self) -> NoticeSender | None:
        """Posts change notices to the webhook; None if there is none."""
        from connector.jobs.send_webhooks import NoticeSender

        return NoticeSender(self.store, self.settings) if self.settings.webhooks.enabled else None


@dataclass(frozen=True, kw_only=True)
class Services(LocalServices):
    """All services, including those of the org."""

    push_context: PushContext
    inbound_context: InboundJobContext

    @property
    def client(self) -> SalesforceClient:
        return self.push_context.client

    @property
    def org_store(self) -> Store:
        """The database for the org of these services; `store` is for all orgs, if the settings name several."""
        return self.push_context.store

    @property
    def mappings(self) -> MappingSet:
        """The mappings as last used; of the files, if nothing was used yet."""
        return self.push_context.mappings.current

    async def push(
        self,
        reporter: ProgressReporter,
        *,
        dry_run: bool = False,
        scheduled: bool = False,
        prepare: Callable[[Store], Awaitable[Selection | None]] | None = None,
        verify: bool = True,
    ) -> PushSummary:
        """Push; see `jobs.push`. Raises StoreError for a `scheduled` push if a newer release upgraded the database."""
        from connector.jobs.push import PushOptions, push

        if scheduled:
            await check(self.store)
        elif self.store.publishes_status and not dry_run:
            async with self.store.transaction() as uow:  # a service does so itself; here perhaps none ever runs
                await outgoing_events.expire(uow)
        options = PushOptions(dry_run=dry_run, scheduled=scheduled, prepare=prepare, verify=verify)
        return await push(self.push_context, reporter, options)

    def listener(self) -> ListenerRole | None:
        """What listens to the org, and publishes events to it; None if that is turned off, or if the org is on this
        machine and its Pub/Sub API has no address."""
        from connector.jobs.listen import ListenerRole

        if not self.settings.inbound.listen or not has_pubsub(self.settings.salesforce):
            return None
        return ListenerRole(self.inbound_context)

    async def pull(self, *, dry_run: bool = False, sobjects: Sequence[str] | None = None) -> PullSummary:
        """See `jobs.pull` and `jobs.pull_dry_run`."""
        from connector.jobs.pull import pull
        from connector.jobs.pull_dry_run import pull_dry_run

        return await pull_dry_run(self.inbound_context) if dry_run else await pull(self.inbound_context, sobjects)

    async def reconcile(
        self,
        options: ReconcileOptions,
        reporter: ProgressReporter,
        *,
        announce: Callable[[ReconcileSummary], None] = lambda _: None,
    ) -> ReconcileSummary:
        """See `jobs.reconcile`."""
        from connector.jobs.reconcile import reconcile

        return await reconcile(self.inbound_context, self.push_context, options, reporter, announce=announce)


@asynccontextmanager
async def local_services(
    settings: Settings, *, clock: Clock | None = None, follow_files: bool = False
) -> AsyncIterator[LocalServices]:
    """The services that need no org. Raises RulesError, SettingsError or StoreError before anything is started.

    `follow_files`: reload the rules file and the templates when they change; for long-running processes.
    """
    rules, composer = _reloading_files(settings) if follow_files else _files_read_once(settings)
    async with open_store(settings, clock=clock) as store:
        store.publishes_status = settings.events.order_status and has_pubsub(settings.salesforce)
        store.kept_values = settings.retention.journal_values
        route_customers(store, settings)
        orders = OrderService(store, rules)
        yield LocalServices(settings=settings, store=store, orders=orders, current_composer=composer)


def _reloading_files(settings: Settings) -> tuple[Callable[[], Rules], Callable[[], NotificationComposer]]:
    from connector.jobs.rules_reloader import RulesReloader

    reloader = RulesReloader(settings)
    return lambda: reloader.current()[0], lambda: reloader.current()[1]


def _files_read_once(settings: Settings) -> tuple[Callable[[], Rules], Callable[[], NotificationComposer]]:
    """Load the rules once, and the templates when they are first used: most commands send nothing."""
    rules = load_rules_for(settings)

    @cache
    def composer() -> NotificationComposer:
        from connector.notifications.composer import make_composer

        return make_composer(settings, rules)

    return lambda: rules, composer


@asynccontextmanager
async def running_service(
    settings: Settings, *, clock: Clock | None = None, follow_files: bool = False
) -> AsyncIterator[Services]:
    """All services, with those of one org; see `local_services`. Also raises MappingError before anything is
    started."""
    async with (
        local_services(settings, clock=clock or SystemClock(), follow_files=follow_files) as local,
        org_services(local, settings.org) as services,
    ):
        yield services


@asynccontextmanager
async def org_services(local: LocalServices, name: str) -> AsyncIterator[Services]:
    """The services of one org on the same database; the default one's name is empty."""
    from connector.jobs.api_budget import ApiBudget
    from connector.jobs.inbound_run import InboundJobContext, take_in
    from connector.jobs.mappings.files import MappingFiles
    from connector.jobs.mappings.versions import MappingVersions
    from connector.jobs.push import PushContext
    from connector.outbound.health import OrgHealth
    from connector.salesforce.client import SalesforceClient

    settings = local.settings.for_org(name)
    store = local.store if local.store.org == name else local.store.for_org(name)
    versions = MappingVersions(MappingFiles(settings.mappings_dir))
    attempts = settings.sync.attempts_in_claim
    async with (
        ApiBudget(store, api_calls.policy_of(settings.budget)) as budget,
        SalesforceClient(settings.salesforce, clock=local.clock, attempts=attempts, gate=budget) as client,
    ):
        budget.connect(client.control)
        inbound = InboundJobContext(
            store=store, client=client, orders=local.orders, mappings=versions, settings=settings
        )
        yield Services(
            settings=settings,
            store=local.store,
            orders=local.orders,
            current_composer=local.current_composer,
            inbound_context=inbound,
            push_context=PushContext(
                store=store,
                client=client,
                mappings=versions,
                settings=settings,
                health=OrgHealth(),
                budget=budget,
                take_in=partial(take_in, inbound),
            ),
        )
