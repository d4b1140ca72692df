"""Reconciles both sides: compares everything, keeps what it found, and says "N of N verified at T".

One process at a time works on an org, under a lease that is renewed while it works. A run that was stopped or killed
leaves nothing but its row; the next one begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connector.clock import Clock
from connector.errors import ApiBudgetError, ConnectorError, StoreError
from connector.inbound.reconcile.context import READ_AGAIN, ReconcileContext, RunScope
from connector.inbound.reconcile.local_side import LocalContext
from connector.inbound.reconcile.org_side import ComparedObject, OrgSide, ReadPlan, estimate
from connector.inbound.reconcile.reconciler import Reconciler
from connector.jobs.api_budget import PAUSE_SECONDS, ApiBudget
from connector.jobs.compared_objects import list_compared_objects, record_types_of
from connector.jobs.heal import MAX_HEALED, HealingSummary, heal
from connector.jobs.held_lease import HeldLease, LeaseHolder
from connector.jobs.inbound_run import InboundJobContext
from connector.jobs.mapping_fit import misfit_error
from connector.jobs.org_identity import confirm_org
from connector.jobs.push import PushContext
from connector.jobs.push_rounds import ProgressReporter
from connector.jobs.resync import STORES
from connector.log import current_run
from connector.mapping.check import check
from connector.mapping.mapper import MappingSet
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.model.reconciliation import Reconciliation, RunState
from connector.model.run_name import RunKind, RunName
from connector.outbound.org_discovery import discover_org
from connector.outbound.org_profile import OrgProfile
from connector.outbound.return_strategy import ReturnStrategy
from connector.salesforce.bulk_query import BulkQuery
from connector.salesforce.call_gate import calls_in
from connector.salesforce.query import soql
from connector.settings.salesforce import Returns
from connector.store import leases, links, reconcile_runs
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork

Selection = Mapping[EntityKind, Sequence[str]]
"""Keys by kind; no keys mean all of the kind."""


class ReconcileRunningError(StoreError):
    """Another process reconciles the org at the moment."""


NOTED_EVERY = timedelta(seconds=2)
"""How often a run stores how many records it has compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileOptions:
    """What is compared (nothing selected means everything), and how many findings are kept."""

    selection: Selection = field(default_factory=dict)
    limit: int = 100
    dry_run: bool = False
    heal: bool = False
    patience: timedelta = timedelta()
    """How long calls wait for the API budget in all. What was compared before is not lost then."""

    @property
    def has_keys(self) -> bool:
        return any(self.selection.values())

    @property
    def full(self) -> bool:
        return not self.selection


@dataclass(kw_only=True)
class ReconcileSummary:
    """What a run came to. `plans` say how each object is read, `expected_calls` what that costs without the second look
    at what differs; `calls` and `writes` are the read and write calls that were made."""

    plans: list[ReadPlan] = field(default_factory=list)
    expected_calls: int = 0
    calls: int = 0
    writes: int = 0
    healing: HealingSummary | None = None
    result: Reconciliation = field(default_factory=lambda: Reconciliation(limit=0))
    verified_at: datetime | None = None
    dry_run: bool = False
    full: bool = True
    org_id: str = ""
    seconds: float = 0.0

    @property
    def in_sync(self) -> bool:
        return self.dry_run or self.result.in_sync


async def reconcile(
    context: InboundJobContext,
    outbound: PushContext,
    options: ReconcileOptions,
    reporter: ProgressReporter,
    *,
    announce: Callable[[ReconcileSummary], None],
) -> ReconcileSummary:
    """Compare both sides, and heal what differs if the options say so; to compare everything is as little urgent as a
    backfill. `announce` is called with the plan before the
    records are read. The result is stored when the comparison ends, and once more when what was healed is compared
    again.

    Raises ReconcileRunningError if another process reconciles this org, ConnectorError for an unknown key,
    OtherOrgError if another org answers, MappingError if the mappings do not fit the org, RefusedError or
    TransportError if the org does not answer a query, ApiBudgetError if the API budget pauses this; with healing, what
    a push raises.
    """
    pause = _Pause(context.store.clock, outbound.budget, options.patience)
    wait = pause if options.patience else None
    with nullcontext() if options.has_keys else calls_in(Lane.BACKFILL, wait=wait):
        pause.run = run = await _ReconcileRun.begin(context, options, reporter)
        summary = run.summary
        await run.plan()
        announce(summary)
        if not options.dry_run:
            async with run.holding_lease():
                await run.compare()
                if options.heal:
                    await run.heal(outbound)
    run.note_costs()
    return summary


async def is_reconciling(store: Store, org_id: str) -> bool:
    """Whether some process reconciles this org, or did until it died a moment ago."""
    async with store.reader() as connection:
        return await leases.seconds_left(connection, _lease_name(org_id), store.clock.now()) > 0


def _lease_name(org_id: str) -> str:
    return f"reconcile:{org_id}"


class _Pause:
    """Waits until the API budget allows to go on, up to `longest` behind the beginning of the run."""

    def __init__(self, clock: Clock, budget: ApiBudget, longest: timedelta) -> None:
        self.run: _ReconcileRun | None = None
        self._clock, self._budget = clock, budget
        self._until = clock.now() + longest

    async def __call__(self, error: ApiBudgetError) -> None:
        async with nullcontext() if self.run is None else self.run.resting():
            while await self._budget.find_lowest_lane() is not Lane.BACKFILL:
                if self._clock.now() >= self._until:
                    raise error
                await self._clock.sleep(PAUSE_SECONDS)


class _ReconcileRun:
    """One run, by the mappings as they are now."""

    def __init__(
        self,
        context: InboundJobContext,
        options: ReconcileOptions,
        reporter: ProgressReporter,
        profile: OrgProfile,
        mappings: MappingSet,
    ) -> None:
        self._context = context
        self._store, self._client = context.store, context.client
        self._options = options
        self._reporter = reporter
        self._started_at = context.store.clock.now()
        ttl = context.settings.sync.lease_seconds
        self._holder = LeaseHolder(store=context.store, ttl=ttl, hint="Its result counts, and not that of this one.")
        self._lease: HeldLease | None = None
        self._is_healing = False
        self._compared, self._noted_at = 0, self._started_at
        self._number = 0
        self._profile = profile
        self._calls_before = context.client.calls_made
        self.summary = ReconcileSummary(dry_run=options.dry_run, full=options.full, org_id=profile.org_id)
        kinds = frozenset(options.selection) or frozenset(EntityKind)
        bulk = BulkQuery(context.client, clock=context.store.clock)
        self._reconcile_context = ReconcileContext(
            store=context.store,
            org=OrgSide(context.client, soql, bulk, context.store.clock, on_wait=self._keep_lease),
            objects=list_compared_objects(mappings, profile, kinds, context.settings.inbound),
            local=LocalContext(
                org_id=profile.org_id,
                mappings=mappings,
                record_types=record_types_of(profile),
                price_book=profile.price_book,
            ),
            scope=RunScope(kinds=kinds, started_at=self._started_at),
            advance=self._advance,
        )
        outline_limit = MAX_HEALED if options.heal else 0
        self.summary.result = Reconciliation(limit=options.limit, outline_limit=outline_limit)
        self._reconciler = Reconciler(self._reconcile_context, self.summary.result)

    @classmethod
    async def begin(
        cls, context: InboundJobContext, options: ReconcileOptions, reporter: ProgressReporter
    ) -> _ReconcileRun:
        calls_before = context.client.calls_made
        org_id = await confirm_org(context.store, context.client, context.settings)
        await _check_keys(context, options.selection)
        profile, mappings = await fit_mappings(context, org_id)
        run = cls(context, options, reporter, profile, mappings)
        run._calls_before = calls_before
        return run

    async def plan(self) -> None:
        """Count the records in the org, which costs a call, and say what the comparison will cost."""
        context, summary = self._reconcile_context, self.summary
        if self._options.has_keys:
            calls = _calls_for_keys(context.objects, self._options.selection)
            summary.expected_calls = self._calls_made() + calls
            return
        summary.plans = await context.org.plan(context.objects)
        summary.expected_calls = self._calls_made() + estimate(summary.plans)
        self._reporter.expect(sum(plan.records for plan in summary.plans))

    @asynccontextmanager
    async def holding_lease(self) -> AsyncIterator[None]:
        """Be the one process that reconciles this org, and store that the run begins; if it does not finish, that it
        was stopped."""
        async with self._store.transaction() as uow:
            self._lease = await self._acquire(uow)
            if self._lease is None:
                raise ReconcileRunningError(
                    "Another process reconciles this org now.",
                    hint="Wait until it is done; `connector status` shows its result.",
                )
            scope = {kind.value: list(keys) for kind, keys in self._options.selection.items()}
            planned = sum(plan.records for plan in self.summary.plans) if self.summary.plans else None
            self._number = await reconcile_runs.begin(
                uow, self.summary.org_id, full=self._options.full, scope=scope, planned=planned
            )
        try:
            yield
        finally:
            async with self._store.transaction() as uow:
                await reconcile_runs.stop(uow, self._number, calls=self._calls_made())
            await self._holder.release([self._lease])

    async def _acquire(self, uow: UnitOfWork) -> HeldLease | None:
        name = _lease_name(self.summary.org_id)
        return (await self._holder.acquire(uow, {name: "reconciles this org"})).get(name)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Let others reconcile in this block. The comparison goes on where it is: what differs is read again anyway."""
        if self._lease is None or self._is_healing:  # healing renews the lease by itself
            yield
            return
        await self._holder.release([self._lease])
        yield
        while True:
            async with self._store.transaction() as uow:
                acquired = await self._acquire(uow)
            if acquired is not None:
                break
            await self._store.clock.sleep(PAUSE_SECONDS)
        self._lease = acquired

    async def compare(self) -> None:
        """Compare, and store the result."""
        if self._options.has_keys:
            keys = {kind: list(keys) for kind, keys in self._options.selection.items()}
            await self._reconciler.compare_selected(keys)
        else:
            await self._reconciler.compare_everything({plan.sobject: plan for plan in self.summary.plans})
        await self._finish()

    async def heal(self, outbound: PushContext) -> None:
        """Heal what was found, and store what is left."""
        work = heal(
            self.summary.result,
            self._reconcile_context,
            inbound=self._context,
            outbound=outbound,
            profile=self._profile,
            reporter=self._reporter,
        )
        assert self._lease is not None
        renewing = asyncio.create_task(self._lease.keep())  # if it is lost, the end of the run says so
        self._is_healing = True
        token = current_run.set(str(RunName(RunKind.RECONCILE, self._number)))
        try:
            self.summary.healing = await work
        finally:
            current_run.reset(token)
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        await self._finish()

    async def _finish(self) -> None:
        healed = 0 if self.summary.healing is None else self.summary.healing.healed
        assert self._lease is not None
        async with self._store.transaction() as uow:
            await self._lease.renew(uow)
            await reconcile_runs.finish(
                uow,
                self._number,
                self.summary.result,
                state=RunState.FINISHED,
                calls=self._calls_made(),
                healed=healed,
            )
            self.summary.verified_at = uow.now

    def note_costs(self) -> None:
        self.summary.calls = self._calls_made()
        self.summary.writes = self._client.calls_made.writes - self._calls_before.writes
        self.summary.seconds = (self._store.clock.now() - self._started_at).total_seconds()

    def _calls_made(self) -> int:
        return self._client.calls_made.reads - self._calls_before.reads

    async def _advance(self, records: int) -> None:
        self._reporter.advance(records)
        self._compared += records
        now = self._store.clock.now()
        if self._number and not self._is_healing and now - self._noted_at >= NOTED_EVERY:
            self._noted_at = now
            async with self._store.transaction() as uow:
                await reconcile_runs.note_progress(uow, self._number, compared=self._compared, calls=self._calls_made())
        await self._keep_lease()

    async def _keep_lease(self) -> None:
        if self._lease is not None:
            await self._lease.renew_in_time()


async def fit_mappings(context: InboundJobContext, org_id: str) -> tuple[OrgProfile, MappingSet]:
    """The org, and the mappings as they suit it; while an edit of the files cannot be used, those before it. Raises
    MappingError if they do not, SalesforceError if the org has none of our fields."""

    async def fit(files: MappingSet) -> tuple[OrgProfile, MappingSet]:
        return await _fit_files(context, org_id, files)

    return await context.mappings.use(context.store, fit)


async def _fit_files(context: InboundJobContext, org_id: str, files: MappingSet) -> tuple[OrgProfile, MappingSet]:
    salesforce = context.settings.salesforce
    extra: tuple[str, ...] = ()
    if salesforce.returns is Returns.RETURN_ORDER and files.return_order is not None:
        extra = files.return_order.sobjects
    problems: list[str] = []
    for refresh in (False, True):  # perhaps an admin has corrected the org since it was discovered
        profile = await discover_org(
            context.store, context.client, org_id, settings=salesforce, refresh=refresh, extra_sobjects=extra
        )
        mappings = await _with_returns(context, files, profile)
        mappings = mappings.with_persons(profile.person_type is not None)
        problems = check(mappings, profile.describes, person_types=profile.person_types)
        if not problems:
            return profile, mappings
    raise misfit_error(problems, mappings, profile)


async def _with_returns(context: InboundJobContext, files: MappingSet, profile: OrgProfile) -> MappingSet:
    """The mappings with that of returns in the form that the org has. Whether it has reduction orders is known once one
    was sent; until then there is none to be compared."""
    setting = context.settings.salesforce.returns
    if setting is Returns.AUTO:
        async with context.store.reader() as connection:
            if not (await links.count(connection, profile.org_id))[EntityKind.RETURN]:
                return files.with_returns(None)
    return await ReturnStrategy(files, profile, setting, context.store).choose_mappings()


async def _check_keys(context: InboundJobContext, selection: Selection) -> None:
    async with context.store.reader() as connection:
        for kind, keys in selection.items():
            found = {item.key for item in await STORES[kind].load(connection, list(keys))}
            if missing := [key for key in keys if key not in found]:
                raise ConnectorError(f"There is no {kind} {', '.join(missing)} here.", hint="Correct --key.")


def _calls_for_keys(objects: Sequence[ComparedObject], selection: Selection) -> int:
    """About how many calls it takes to compare selected entities: the records by their IDs, and the parts of each."""
    pages = max(-(-len(keys) // READ_AGAIN) for keys in selection.values())
    return pages * sum(1 if item.parent is None else 2 for item in objects)
