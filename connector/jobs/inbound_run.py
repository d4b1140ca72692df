"""What every job that reads from the org shares: the org, its mappings, and one poller for each object at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.errors import MappingError, SalesforceError, SettingsError, StoreError
from connector.inbound.apply import Applier
from connector.inbound.context import InboundContext
from connector.inbound.inbound_org import InboundOrg
from connector.inbound.intake import MAX_BATCHES, Intake, IntakeReport
from connector.inbound.poll import Poller, PollReport
from connector.inbound.poll_target import PollTarget
from connector.inbound.receivers import Receivers
from connector.inbound.record_reader import RecordReader
from connector.jobs.adoption_setup import BEFORE_OLDEST_LINK, AdoptionSetup, adoption_start
from connector.jobs.held_lease import HeldLease, LeaseHolder
from connector.jobs.mapping_fit import misfit_error
from connector.jobs.mappings.versions import MappingVersions
from connector.jobs.org_identity import confirm_org
from connector.mapping import MappingSet
from connector.mapping.check import check
from connector.mapping.receiver import RecordReceiver
from connector.orders.service import OrderService
from connector.outbound.org_discovery import discover_org
from connector.outbound.org_profile import OrgProfile
from connector.salesforce.bulk_query import BulkQuery
from connector.salesforce.client import SalesforceClient
from connector.salesforce.query import soql
from connector.salesforce.query_batch import query_together
from connector.salesforce.replication import read_deleted
from connector.settings import Settings
from connector.store import inbox, links
from connector.store.engine import Store

POLLED = ("Account", "Product2", "Order", "OrderItem")
"""The objects that are polled: parents first, so that an order finds its account."""
CATCH_UP_ATTEMPTS = 6
"""Each a third of a lease after the one before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundJobContext:
    """What every job of a process that reads from the org works with."""

    store: Store
    client: SalesforceClient
    orders: OrderService
    mappings: MappingVersions
    settings: Settings


async def take_in(context: InboundJobContext) -> IntakeReport:
    """Read the records of the inbox that are due, and apply them. Raises what `InboundRun.begin` raises."""
    return await (await InboundRun.begin(context)).intake()


class InboundRun:
    """Reads from one org by `mappings`. `begin` finds those to use, and asks the org who it is.

    `dry_run` is asked instead of the org for what the inbox and adoptions need; then each change is listed.
    """

    def __init__(
        self,
        context: InboundJobContext,
        org_id: str,
        profile: OrgProfile,
        *,
        adopt_since: datetime,
        mappings: MappingSet,
        dry_run: InboundOrg | None = None,
    ) -> None:
        self._store = context.store
        self._client = context.client
        self._org = dry_run or context.client
        self._settings = context.settings
        self.org_id = org_id
        self.profile = profile
        self.adopt_since = adopt_since
        mappings = mappings.with_returns(None)
        mappings = mappings.with_persons(profile.person_type is not None)
        problems = check(mappings, profile.describes, person_types=profile.person_types)
        if problems:
            raise misfit_error(problems, mappings, profile)
        adoption = AdoptionSetup(context.settings, mappings, profile, since=adopt_since)
        self.mappings = mappings
        self.filter_problem = adoption.filter_problem
        self.applier = Applier(
            InboundContext(
                orders=context.orders,
                mappings=mappings,
                describes=profile.describes,
                org_id=org_id,
                settings=context.settings.inbound,
                webhooks=context.settings.webhooks,
                adoption=adoption.rule,
                explain=dry_run is not None,
                own_user=context.client.user_id,
            )
        )
        self._adopter = adoption.adopter(context.store, self._org, context.orders, explain=dry_run is not None)
        receivers: dict[str, list[RecordReceiver]] = {}
        for receiver in Receivers(mappings):
            receivers.setdefault(receiver.sobject, []).append(receiver)
        self.targets = {
            sobject: PollTarget(
                sobject=sobject,
                receivers=tuple(some),
                describe=profile.describes[sobject],
                more_fields=adoption.more_fields(sobject),
            )
            for sobject, some in receivers.items()
        }
        self._polling = asyncio.Lock()  # a poll that is asked for while another one runs would lose its leases to it
        self._holder = LeaseHolder(store=context.store, ttl=context.settings.sync.lease_seconds)

    @classmethod
    async def begin(
        cls, context: InboundJobContext, *, mappings: MappingSet | None = None, store: Store | None = None
    ) -> InboundRun:
        """`store` is where what the org says of itself is kept, if not in that of `context`. Without `mappings`, the
        active ones are used, or edited files; while an edit of them cannot be, those before it.

        Raises OtherOrgError if another org answers, MappingError if the mappings do not fit the org, SalesforceError if
        it has none of our fields, AuthError if the org lets nobody in."""
        store, settings = store or context.store, context.settings
        org_id = await confirm_org(store, context.client, settings)
        since = await adoption_start(store, org_id, settings.inbound)

        async def build(chosen: MappingSet) -> InboundRun:
            return await cls._build(context, org_id, store, since, chosen)

        return await (context.mappings.use(context.store, build) if mappings is None else build(mappings))

    @classmethod
    async def _build(
        cls, context: InboundJobContext, org_id: str, store: Store, since: datetime, mappings: MappingSet
    ) -> InboundRun:
        salesforce = context.settings.salesforce
        profile = await discover_org(store, context.client, org_id, settings=salesforce)
        try:
            run = cls(context, org_id, profile, adopt_since=since, mappings=mappings)
            if run.filter_problem is None:
                return run
        except (MappingError, SalesforceError, SettingsError):
            pass
        # Perhaps an admin has corrected the org since it was discovered.
        profile = await discover_org(store, context.client, org_id, settings=salesforce, refresh=True)
        return cls(context, org_id, profile, adopt_since=since, mappings=mappings)

    @classmethod
    async def by_profile(cls, context: InboundJobContext, org_id: str, profile: OrgProfile) -> InboundRun:
        """The same for an org that has been asked already."""
        since = await adoption_start(context.store, org_id, context.settings.inbound)

        async def build(chosen: MappingSet) -> InboundRun:
            return cls(context, org_id, profile, adopt_since=since, mappings=chosen)

        return await context.mappings.use(context.store, build)

    @property
    def sobjects(self) -> tuple[str, ...]:
        """The objects that are received, parents first."""
        return tuple(name for name in POLLED if name in self.targets)

    async def poll(self, sobjects: Sequence[str] = ()) -> list[PollReport]:
        """Poll these objects, or all: the first rows of all of them by one call. What another process is polling is
        left out."""
        async with self._polling:
            return await self._poll(sobjects or self.sobjects)

    async def poll_everything(self, sobjects: Sequence[str] = ()) -> tuple[str, ...]:
        """Poll these objects, or all, waiting for another process that is polling some: what it has read may be older.
        Return those of which the API budget let only a part be read.

        Raises StoreError if that takes longer than two leases last.
        """
        missing, paused = tuple(sobjects or self.sobjects), list[str]()
        for _ in range(CATCH_UP_ATTEMPTS):
            reports = await self.poll(missing)
            paused += [report.sobject for report in reports if report.paused is not None]
            polled = {report.sobject for report in reports}
            missing = tuple(sobject for sobject in missing if sobject not in polled)
            if not missing:
                return tuple(paused)
            await self._store.clock.sleep(self._settings.sync.lease_seconds / 3)
        raise StoreError(
            f"Another process has been polling {', '.join(missing)} all the time.",
            hint="Nothing is lost: it is tried again automatically.",
        )

    async def _poll(self, sobjects: Sequence[str]) -> list[PollReport]:
        names = {sobject: f"poll:{self.org_id}:{sobject}" for sobject in sobjects}
        async with self._store.transaction() as uow:
            held = await self._holder.acquire(uow, {name: f"polls {sobject}" for sobject, name in names.items()})
        try:
            async with self._holder.keeping(held.values()):
                return await self._poll_held(held, names)
        finally:
            await self._holder.release(held.values())

    async def _poll_held(self, held: Mapping[str, HeldLease], names: Mapping[str, str]) -> list[PollReport]:
        """Poll the objects whose lease is held; `names` are those of the leases."""
        poller = self.poller()
        since = await self.first_watermark()
        turns = [
            await poller.begin(self.targets[sobject], since=since, hold_lease=held[name].renew)
            for sobject, name in names.items()
            if name in held
        ]
        read_at = self._store.clock.now()
        pages, deleted = await query_together(
            self._client,
            [turn.query for turn in turns],
            include_deleted=True,
            besides=[turn.deleted_request for turn in turns],
        )
        async with self._store.transaction() as uow:
            await inbox.retry_parked(uow, self.org_id)
        reports = await poller.apply(turns, pages, read_at=read_at)
        for turn, report, outcome in zip(turns, reports, deleted, strict=True):
            if report.paused is None:
                await poller.note_deleted(turn, read_deleted(outcome))  # what a query has shown is applied by now
        return reports

    def poller(self) -> Poller:
        bulk = BulkQuery(self._client, clock=self._store.clock)
        return Poller(self._store, self._client, self.applier, org_id=self.org_id, soql=soql, bulk=bulk)

    async def intake(self, max_batches: int = MAX_BATCHES) -> IntakeReport:
        records = RecordReader(self._org, soql, self._store.clock)
        intake = Intake(
            self._store, records, self.applier, org_id=self.org_id, targets=self.targets, adopter=self._adopter
        )
        return await intake.run(max_batches)

    async def first_watermark(self) -> datetime:
        """Where the first poll begins: at the oldest link, for until then nothing of the org concerned us."""
        async with self._store.single_reader() as connection:
            oldest = await links.oldest(connection, self.org_id)
        return (oldest or self._store.clock.now()) - BEFORE_OLDEST_LINK
