"""A push: sends all due changes to the org, and reports the result and its cost.

The work is divided among workers (`outbound.lease_keeper`), and the share of each worker among streams: one for the
products, then up to eight for orders and customers, each with its own partitions. Few orders are sent by few streams,
because a call with few records costs as much as a full one.

An org that accepts nothing is not called for a growing time (`Outage`), which all processes on the database share. A
push on a person's request calls it at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from connector.errors import ApiBudgetError, MappingError, SalesforceError, SettingsError
from connector.jobs import outage
from connector.jobs.api_budget import CONFIRM_AFTER, LOOK_EVERY, ApiBudget
from connector.jobs.left_out import count_discarded, list_deleted
from connector.jobs.lookup_forecast import LookupForecast, forecast_lookups
from connector.jobs.mapping_fit import misfit_error
from connector.jobs.mappings.shadow import attach_shadow, store_shadow
from connector.jobs.mappings.versions import EditDoesNotFitError, MappingVersions
from connector.jobs.org_identity import confirm_org
from connector.jobs.push_rounds import ProgressReporter, PushRounds, WorkShare
from connector.jobs.push_summary import PushSummary
from connector.mapping import MappingSet
from connector.mapping.check import check
from connector.model.change import ChangeState, DeadLetter, EntityKind
from connector.model.lane import Lane
from connector.outbound.dry_run import DryRunOrg, DryRunReader
from connector.outbound.health import OrgHealth
from connector.outbound.lease_keeper import LeaseKeeper
from connector.outbound.mapping_version import ActiveMappingVersion
from connector.outbound.org_discovery import discover_org
from connector.outbound.org_profile import OrgProfile
from connector.outbound.org_state import Reader
from connector.outbound.push_parts import ClaimTerms, OrgAccess, PushMonitor
from connector.outbound.repository import SyncRepository
from connector.outbound.return_strategy import ReturnStrategy
from connector.outbound.writer import Org
from connector.salesforce.attempt_context import AttemptTracker, track_with
from connector.salesforce.client import SalesforceClient
from connector.settings import Settings
from connector.settings.salesforce import Returns
from connector.store import dead_letters, outbox_counts
from connector.store.dry_run import sync_dry_run
from connector.store.engine import Connection, Store
from connector.store.outbox_filters import Selection
from connector.tracing import span

MAX_TAKE_INS = 3  # how often one push applies what it found to be changed in the org, and sends what still differs
MAX_MAPPING_VERSIONS = 5
"""How often other mappings may become active during one push before it ends."""


Prepare = Callable[[Store], Awaitable[Selection | None]]


@dataclass(frozen=True, kw_only=True)
class OrgMappings:
    """The mappings fitted to this org, and its profile. `return_strategy` is None if no returns are due."""

    mappings: MappingSet
    profile: OrgProfile
    return_strategy: ReturnStrategy | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PushContext:
    """What all pushes of a process share."""

    store: Store
    client: SalesforceClient
    mappings: MappingVersions
    settings: Settings
    health: OrgHealth
    budget: ApiBudget
    take_in: Callable[[], Awaitable[object]]  # applies what a push found to be changed in the org


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOptions:
    """The options of one push; see `push`."""

    dry_run: bool = False
    scheduled: bool = False
    prepare: Prepare | None = None
    verify: bool = True


async def push(context: PushContext, reporter: ProgressReporter, options: PushOptions | None = None) -> PushSummary:
    """Run `prepare`, then send the due changes; if `prepare` returns a selection, only these.

    With `dry_run` nothing is sent and nothing is stored. Without `verify`, the org is not called if nothing is due.

    All changes are sent by one version of the mappings (`jobs.mapping_versions`). It is chosen before `prepare`, and
    chosen again if another version becomes active meanwhile.

    A `scheduled` push sends what is free and due now, does not call an org during its outage, and reports a new outage
    only in its summary. Any other push calls the org at once, for all waiting changes. It also waits for other workers
    that hold due changes, as long as they make progress, and for changes that become due within seconds.

    Raises OtherOrgError if another org answers, MappingError if the mappings do not fit the org, OtherMappingsError if
    the content of the active mappings is unknown, AuthError if the sign-in is refused, SalesforceError if the org has
    none of our fields, LeaseLostError if another push has acquired our leases.
    """
    options = options or PushOptions()
    clock = context.store.clock
    started = clock.now()
    async with AsyncExitStack() as stack:
        if options.dry_run:
            context = replace(context, store=await stack.enter_async_context(sync_dry_run(context.store)))
        run = _PushRun(context, reporter, options)
        if not await run.begin():
            return run.summary
        await run.send(stack)
        await run.finish()
    run.summary.seconds = (clock.now() - started).total_seconds()
    return run.summary


class _PushRun:
    """One push and its summary so far.

    `_selection`: the changes to send; None means all. `_earlier_dead_letters` existed before this push, so the summary
    does not report them.
    """

    def __init__(self, context: PushContext, reporter: ProgressReporter, options: PushOptions) -> None:
        self.context = context
        self.reporter = reporter
        self.options = options
        self.org: Org = DryRunOrg() if options.dry_run else context.client
        self.reader: Reader = DryRunReader(context.client) if options.dry_run else context.client
        self.store, self.client, self.settings = context.store, context.client, context.settings
        self.health, self.budget = context.health, context.budget
        self.summary = PushSummary(dry_run=options.dry_run)
        self.calls_before = self._calls_at_start = context.client.calls_made
        self._prepare = options.prepare
        self._selection: Selection | None = None
        self._fitted: OrgMappings | None = None  # the mappings as last fitted to the org
        self._earlier_dead_letters: frozenset[tuple[EntityKind, str]] = frozenset()

    async def begin(self) -> bool:
        """Prepare the push. False if there is an outage, and it is not our turn to call the org again, or if all that
        is due waits to save the API budget."""
        mappings, options = self.context.mappings, self.options
        if options.scheduled:
            await mappings.check_files(self.store)
        else:
            mappings.read()
        if not options.dry_run:
            self.summary.outage = await outage.get_current(self.store)
            if not await self._may_call():
                return False
        ongoing = self.summary.outage if options.scheduled else None
        if ongoing is not None and not await outage.is_our_turn(self.store, self.store.clock, ongoing):
            return False
        if self._prepare is None or options.dry_run or not await mappings.has_edit(self.store):
            await self._run_prepare()
        self.calls_before = self.client.calls_made
        if not options.scheduled:
            await outage.make_all_due(self.store)
        return True

    async def _may_call(self) -> bool:
        """Whether the API budget allows anything that is due to be sent. What a person asked for becomes due."""
        scheduled = self.options.scheduled
        lowest = await self.budget.find_lowest_lane(every=LOOK_EVERY if scheduled else CONFIRM_AFTER)
        if lowest is Lane.BACKFILL or (lowest is not None and (not scheduled or await self._due_counts())):
            return True
        if self._prepare is not None:
            await self._run_prepare()
        async with self.store.reader() as connection:
            await self._count_paused(connection)
        return False

    async def _count_paused(self, connection: Connection) -> None:
        summary = self.summary
        summary.paused = await outbox_counts.count_below(connection, self._open_lane(), self._selection)
        if summary.paused:
            summary.pause_reason = self.budget.explain()
            summary.waiting = max(summary.waiting, sum(summary.paused.values()))

    async def send(self, stack: AsyncExitStack) -> None:
        """Send the due changes; without any, only check which org answers. An outage is recorded."""
        options, summary = self.options, self.summary
        # A dry run also shows whether we can sign in and whether the mappings fit, due or not.
        waiting = options.dry_run or self._prepare is not None or bool(await self._due_counts())
        waiting = waiting or (options.scheduled and self.context.mappings.take_edit())  # it is activated
        if not (waiting or options.verify or summary.outage is not None):
            return
        self.health.start(cautious=summary.outage is not None)
        other_mappings_active = False
        try:
            if summary.outage is not None:  # the org may have another instance URL now; the sign-in returns it
                await self.client.reconnect()
            if not waiting:
                await confirm_org(self.store, self.client, self.settings)
                waiting = bool(await self._due_counts())  # the first sign-in to an org makes all products due
            if waiting:
                worker = None if options.dry_run else await stack.enter_async_context(self._make_worker())
                with span("push") as pushed:
                    other_mappings_active = not await self._send_due(worker)
                    pushed.set(**{f"connector__done__{kind}": n for kind, n in summary.stats.done.items()})
        except ApiBudgetError:  # `finish` says why
            if options.dry_run:
                raise
        except (SalesforceError, MappingError, SettingsError) as error:
            if options.dry_run or isinstance(error, EditDoesNotFitError):
                raise
            summary.outage = await outage.record_failure(self.store, self.store.clock, error)
            if not options.scheduled:
                raise
        else:
            if not options.dry_run and not other_mappings_active:
                await self._record_outage()

    def _make_worker(self) -> LeaseKeeper:
        sync = self.settings.sync
        return LeaseKeeper(
            self.store,
            partitions=sync.partitions,
            ttl=sync.lease_seconds,
            clock=self.store.clock,
            more_pushes_follow=self.options.scheduled,
        )

    async def finish(self) -> None:
        """Fill in the summary."""
        summary, calls = self.summary, self.client.calls_made
        async with self.store.reader() as connection:
            counts = await outbox_counts.counts(connection, self._selection)
            all_counts = counts if self._selection is None else await outbox_counts.counts(connection)
            if any(states[ChangeState.DUE] for states in counts.values()):
                summary.next_due = await outbox_counts.next_due(connection, only=self._selection)
            refused = sum(states[ChangeState.DEAD] for states in all_counts.values())
            refusals = await dead_letters.list_dead_letters(connection) if refused else []
            summary.discarded = await count_discarded(connection, self._selection)
            summary.deleted_in_org = await list_deleted(connection, self._selection)
            await self._count_paused(connection)
        summary.waiting = sum(states[ChangeState.DUE] for states in counts.values())
        summary.others_due = sum(states[ChangeState.DUE] for states in all_counts.values()) - summary.waiting
        summary.dead_letters = sum(states[ChangeState.DEAD] for states in counts.values())
        if self.client.usage is not None:
            summary.org_used, summary.org_allowed = self.client.usage
        forecast_reads = summary.lookup_forecast.reads if summary.lookup_forecast else 0
        summary.reads = calls.reads - self.calls_before.reads - forecast_reads
        if isinstance(self.reader, DryRunReader):
            summary.reads += self.reader.saved
        if isinstance(self.org, DryRunOrg):
            summary.writes = self.org.calls.total()
            summary.dry_run_reads = calls.reads - self._calls_at_start.reads
        else:
            summary.writes = calls.writes - self.calls_before.writes
        summary.refusals = [item for item in refusals if self._is_new(item)]

    async def _send_due(self, worker: LeaseKeeper | None) -> bool:
        """Send the due changes. False if nothing may be sent, because other mappings than ours are active."""
        mappings, scheduled, summary = self.context.mappings, self.options.scheduled, self.summary
        for _ in range(MAX_MAPPING_VERSIONS):
            version = None
            if worker is None:
                org_mappings = await self._fit_mappings(await mappings.load(self.store))
            else:
                if scheduled:
                    chosen = await mappings.follow(self.store, self._fit_mappings)
                else:
                    mappings.read()
                    chosen = await mappings.choose(self.store, self._fit_mappings)
                if chosen is None:
                    return False
                if chosen.activated:
                    summary.activated_mapping = chosen.number
                summary.mapping_problem = None if chosen.problem is None else str(chosen.problem)
                version = ActiveMappingVersion(chosen.number)
                # A version that was just activated has been fitted for that.
                fitted, self._fitted = self._fitted if chosen.activated else None, None
                org_mappings = fitted or await self._fit_mappings(chosen.mappings)
            if self._prepare is not None:
                await self._run_prepare()
            if self.options.dry_run:
                summary.lookup_forecast = await self._forecast(org_mappings)
            rounds = PushRounds(
                store=self.store,
                org=OrgAccess(
                    writer=self.org,
                    reader=self.reader,
                    profile=org_mappings.profile,
                    source=org_mappings.mappings.source,
                    return_strategy=org_mappings.return_strategy,
                ),
                mappings=org_mappings.mappings,
                share=WorkShare(
                    partitions=self.settings.sync.partitions,
                    worker=worker,
                    mapping_version=version,
                    selection=self._selection,
                    open_lane=self._open_lane,
                ),
                reporter=self.reporter,
                monitor=PushMonitor(stats=summary.stats, advance=self.reporter.advance, health=self.health),
            )
            await attach_shadow(self.store, version, org_mappings.mappings, self.settings.inbound.changed_lines)
            await self._run_rounds(rounds)
            await store_shadow(self.store, version)
            health = self.health
            summary.others_at_work = rounds.others_at_work
            summary.held, summary.stopped = outage.describe_error(health.held), outage.describe_error(health.stopped)
            summary.held_code = None if health.held is None else health.held.code
            if version is None or not version.outdated or health.stopped is not None:
                break
        return True

    async def _run_rounds(self, rounds: PushRounds) -> None:
        """Run rounds; if the org had changed a record meanwhile, apply that here and send what still differs."""
        for _ in range(MAX_TAKE_INS):
            before = self.summary.stats.changed_in_org
            await rounds.run(patient=not self.options.scheduled)
            unchanged = self.summary.stats.changed_in_org == before
            if unchanged or self.options.dry_run or self.health.stopped is not None:
                return
            await self.context.take_in()

    async def _fit_mappings(self, mappings: MappingSet) -> OrgMappings:
        """Fit the mappings to the org. Raises MappingError if the org lacks fields that they use, SalesforceError if it
        has none of our fields."""
        org_id = await confirm_org(self.store, self.client, self.settings)
        salesforce, returns = self.settings.salesforce, self.settings.salesforce.returns
        objects = mappings.return_order.sobjects if returns is Returns.RETURN_ORDER and mappings.return_order else ()
        discover = partial(discover_org, self.store, self.client, org_id, settings=salesforce, extra_sobjects=objects)
        with track_with(AttemptTracker(attempts=self.health.attempts)):
            profile = await discover()
        # Returns that become due later wait for the next push, because their strategy must be chosen first.
        strategy = ReturnStrategy(mappings, profile, returns, self.store)
        returns_due = (await self._due_counts()).get(EntityKind.RETURN)
        mappings = await strategy.choose_mappings() if returns_due else mappings.with_returns(None)
        mappings = mappings.with_edited_lines(self.settings.inbound.changed_lines)
        mappings = mappings.with_persons(profile.person_type is not None)
        problems = check(mappings, profile.describes, person_types=profile.person_types)
        if problems:  # perhaps an admin has corrected the org since it was discovered
            profile = await discover(refresh=True)
            mappings = mappings.with_persons(profile.person_type is not None)
            problems = check(mappings, profile.describes, person_types=profile.person_types)
        if problems:
            raise misfit_error(problems, mappings, profile)
        self._fitted = OrgMappings(
            mappings=mappings, profile=profile, return_strategy=strategy if returns_due else None
        )
        return self._fitted

    async def _forecast(self, org_mappings: OrgMappings) -> LookupForecast:
        terms = ClaimTerms(selection=self._selection)
        repository = SyncRepository(self.store, org_mappings.mappings, org_id=org_mappings.profile.org_id, terms=terms)
        before = self.client.calls_made.reads
        forecast = await forecast_lookups(self.store, self.client, repository, await self._due_counts())
        forecast.reads = self.client.calls_made.reads - before
        return forecast

    async def _record_outage(self) -> None:
        """Record the outage, or its end."""
        health, summary = self.health, self.summary
        # Otherwise other workers hold all changes, and the org may still be unavailable.
        org_was_asked = health.answered or not summary.others_at_work
        if health.reached or (health.stopped is None and org_was_asked):
            await outage.end(self.store)
            summary.outage = None
        if health.stopped is not None:
            summary.outage = await outage.record_failure(self.store, self.store.clock, health.stopped)

    async def _run_prepare(self) -> None:
        prepare, self._prepare = self._prepare, None
        self._selection = await prepare(self.store) if prepare is not None else None
        async with self.store.single_reader() as connection:
            earlier = await dead_letters.list_dead_letters(connection)
        self._earlier_dead_letters = frozenset((item.entity, item.key) for item in earlier)

    def _is_new(self, dead_letter: DeadLetter) -> bool:
        keys = None if self._selection is None else self._selection.get(dead_letter.entity, frozenset())
        return (dead_letter.entity, dead_letter.key) not in self._earlier_dead_letters and (
            keys is None or dead_letter.key in keys
        )

    async def _due_counts(self) -> dict[EntityKind, int]:
        """Return the number of changes that are due now, by kind."""
        async with self.store.single_reader() as connection:
            now = self.store.clock.now()
            return await outbox_counts.due_counts(connection, now, self._selection, lowest=self._open_lane())

    def _open_lane(self) -> Lane | None:
        """The lowest lane that the API budget allows to be sent. A dry run writes nothing."""
        return Lane.BACKFILL if self.options.dry_run else self.budget.open_lane
