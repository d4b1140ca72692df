"""Sends everything that is due, and says what it cost.

Work is shared out over workers (`outbound.leasing`), and the part of each over streams: one for the products, then up
to eight for orders and customers, each over its own partitions. Few orders make few streams, because a full call costs
as much as an empty one.

An org that takes nothing is left alone for a growing time (`Outage`), which all processes on the database share; a push
that somebody asked for looks at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from connector.clock import Clock
from connector.errors import MappingError, RetryClass, SalesforceError, SettingsError
from connector.jobs import outage
from connector.jobs.lookup_forecast import LookupForecast, forecast_lookups
from connector.jobs.mapping_versions import EditDoesNotFitError, MappingVersions
from connector.jobs.org_identity import confirm_org
from connector.jobs.push_rounds import ProgressReporter, PushRounds
from connector.mapping import MappingSet
from connector.mapping.check import absent_keys, check
from connector.model.change import ChangeState, DeadLetter, EntityKind
from connector.outbound.dry_run import DryRunOrg
from connector.outbound.health import OrgHealth
from connector.outbound.lease_keeper import LeaseKeeper
from connector.outbound.mapping_version import ActiveMappingVersion
from connector.outbound.org_discovery import discover_org
from connector.outbound.org_profile import OrgProfile
from connector.outbound.repository import SyncRepository
from connector.outbound.return_strategy import ReturnStrategy
from connector.outbound.stats import SyncStats
from connector.salesforce.attempt_context import AttemptTracker, current_tracker
from connector.salesforce.client import SalesforceClient
from connector.settings import Returns, Settings
from connector.store import outbox
from connector.store.dry_run import sync_dry_run
from connector.store.engine import Store
from connector.store.outages import Outage
from connector.store.outbox import Selection

MAX_MAPPING_VERSIONS = 5
"""How often in one push the mappings may be replaced."""


@dataclass(kw_only=True)
class PushSummary:
    """What a push came to. `waiting` changes are due later, the first at `next_due`; `stopped`: what ended it early;
    `elsewhere`: other workers hold some of them.

    `writes` and `reads` are the data API calls it made; for a rehearsal, those it would have made. Where only some
    changes were meant, all numbers are of those; `others_due` counts the rest. `outage` is what keeps the org from
    taking anything, `held` why it does not take some of it.
    """

    stats: SyncStats = field(default_factory=SyncStats)
    dry_run: bool = False
    writes: int = 0
    reads: int = 0
    org_used: int | None = None
    org_allowed: int | None = None
    seconds: float = 0.0
    dead_letters: int = 0
    refusals: list[DeadLetter] = field(default_factory=list)  # made by this push
    waiting: int = 0
    others_due: int = 0
    next_due: datetime | None = None
    stopped: str | None = None
    others_at_work: bool = False
    lookup_forecast: LookupForecast | None = None  # of a dry run
    held: str | None = None
    held_code: str | None = None
    outage: Outage | None = None

    @property
    def in_sync(self) -> bool:
        return not (self.dead_letters or self.waiting or self.stopped or self.outage)


Prepare = Callable[[Store], Awaitable[Selection | None]]


@dataclass(kw_only=True)
class _PushScope:
    """What a push is about: `only` some changes, if not all; refusals that were there `before` are none of its own."""

    selection: Selection | None = None
    earlier_dead_letters: frozenset[tuple[EntityKind, str]] = frozenset()

    async def prepare(self, store: Store, prepare: Prepare | None) -> None:
        self.selection = await prepare(store) if prepare is not None else None
        self.earlier_dead_letters = frozenset((letter.entity, letter.key) for letter in await _dead_letters(store))

    def is_new(self, letter: DeadLetter) -> bool:
        keys = None if self.selection is None else self.selection.get(letter.entity, frozenset())
        return (letter.entity, letter.key) not in self.earlier_dead_letters and (keys is None or letter.key in keys)


async def push(
    store: Store,
    client: SalesforceClient,
    mappings: MappingVersions,
    settings: Settings,
    *,
    clock: Clock,
    reporter: ProgressReporter,
    health: OrgHealth,
    dry_run: bool = False,
    scheduled: bool = False,
    prepare: Prepare | None = None,
    verify: bool = True,
) -> PushSummary:
    """Do `first`, then send what is due: of what `first` answers, if it does. With `dry_run` nothing is sent and
    nothing stored. Without `verify` an org that nothing is due for is not asked who it is.

    All of it goes by one version of the mappings (`jobs.mapping_versions`), which is chosen before `first`, and chosen
    anew when another one was activated meanwhile. To do something `first` makes the version of our files active.

    A `scheduled` push takes what is free and due now, leaves an org alone that has taken nothing lately, and tells of
    an outage in its summary only. Any other one asks the org now, for whatever is waiting; it also waits for other
    workers that hold what is due, as long as they get something done, and for what falls due within moments.

    Raises OtherOrgError if another org answers, MappingError if the mappings do not fit the org, OtherMappingsError if
    others are active, AuthError if the org lets nobody in, SalesforceError if it has none of our fields, LeaseLostError
    if another push took over.
    """
    started = clock.now()
    async with AsyncExitStack() as stack:
        org: Any = client
        if dry_run:
            store = await stack.enter_async_context(sync_dry_run(store))
            org = DryRunOrg()
        summary = PushSummary(dry_run=dry_run)
        scope = _PushScope()
        if scheduled:
            await mappings.check_files(store)
        else:
            mappings.read()
        if not dry_run:
            summary.outage = await outage.get_current(store)
        if scheduled and summary.outage is not None and not await outage.is_our_turn(store, clock, summary.outage):
            return summary
        if prepare is None or dry_run or await mappings.files_are_active(store):
            await scope.prepare(store, prepare)
            prepare = None
        calls_before = client.calls_made
        if not scheduled:
            await outage.make_all_due(store)
        # A rehearsal also tells whether we can sign in and whether the mappings fit, due or not.
        waiting = dry_run or prepare is not None or bool(await _due_counts(store, clock.now(), scope.selection))
        if waiting or verify or summary.outage is not None:
            worker = None
            if waiting and not dry_run:
                sync = settings.sync
                worker = LeaseKeeper(
                    store, partitions=sync.partitions, ttl=sync.lease_seconds, clock=clock, more_pushes_follow=scheduled
                )
                await stack.enter_async_context(worker)
            health.start(cautious=summary.outage is not None)
            sent = False
            try:
                if summary.outage is not None:  # the org may have moved meanwhile: only the login URL knows where to
                    await client.reconnect()
                if waiting:
                    sent = not await _send(
                        store, client, org, mappings, settings,
                        worker=worker, clock=clock, reporter=reporter, health=health, summary=summary,
                        scheduled=scheduled, prepare=prepare, scope=scope,
                    )  # fmt: skip
                else:
                    await confirm_org(store, client, settings)
            except (SalesforceError, MappingError, SettingsError) as error:
                if dry_run or isinstance(error, EditDoesNotFitError):
                    raise
                summary.outage = await outage.record_failure(store, clock, error)
                if not scheduled:
                    raise
            else:
                if not dry_run and not sent:
                    await _record_outage(store, clock, health, summary)
        await _add_counts(store, client, org, summary, scope.selection)
        summary.reads = (
            client.calls_made.reads
            - calls_before.reads
            - (summary.lookup_forecast.reads if summary.lookup_forecast else 0)
        )
        if not dry_run:
            summary.writes = client.calls_made.writes - calls_before.writes
        summary.refusals = [letter for letter in await _dead_letters(store) if scope.is_new(letter)]
    summary.seconds = (clock.now() - started).total_seconds()
    return summary


async def _send(
    store: Store,
    client: SalesforceClient,
    org: Any,
    mappings: MappingVersions,
    settings: Settings,
    *,
    worker: LeaseKeeper | None,
    clock: Clock,
    reporter: ProgressReporter,
    health: OrgHealth,
    summary: PushSummary,
    scheduled: bool,
    prepare: Prepare | None,
    scope: _PushScope,
) -> bool:
    """False if it is not to send anything: other mappings than ours are active."""
    fit_mappings = partial(_fit_mappings, store, client, settings, clock, health, scope)
    for _ in range(MAX_MAPPING_VERSIONS):
        version = None
        if worker is None:
            org_mappings = await fit_mappings(mappings.read())
        else:
            if scheduled:
                chosen = await mappings.follow(store, fit_mappings)
            else:
                mappings.read()
                chosen = await mappings.choose(store, fit_mappings, explicit=prepare is not None)
            if chosen is None:
                return False
            version, org_mappings = ActiveMappingVersion(chosen.number), await fit_mappings(chosen.mappings)
        if prepare is not None:
            await scope.prepare(store, prepare)
            prepare = None
        if summary.dry_run:
            summary.lookup_forecast = await _forecast(store, client, org_mappings, clock, scope.selection)
        rounds = PushRounds(
            store=store,
            client=client,
            org=org,
            mappings=org_mappings.mappings,
            profile=org_mappings.profile,
            worker=worker,
            mapping_version=version,
            partitions=settings.sync.partitions,
            clock=clock,
            reporter=reporter,
            stats=summary.stats,
            health=health,
            return_strategy=org_mappings.return_strategy,
            selection=scope.selection,
        )
        await rounds.run(patient=not scheduled)
        summary.others_at_work = rounds.others_at_work
        summary.held, summary.stopped = outage.describe_error(health.held), outage.describe_error(health.stopped)
        summary.held_code = None if health.held is None else health.held.code
        if version is None or not version.outdated or health.stopped is not None:
            break
    return True


@dataclass(frozen=True, kw_only=True)
class OrgMappings:
    """Mappings as they are used on this org; `form` is that of its returns, None if there are none to be sent."""

    mappings: MappingSet
    profile: OrgProfile
    return_strategy: ReturnStrategy | None


async def _fit_mappings(
    store: Store,
    client: SalesforceClient,
    settings: Settings,
    clock: Clock,
    health: OrgHealth,
    scope: _PushScope,
    mappings: MappingSet,
) -> OrgMappings:
    """MappingError if the org has not what the mappings speak of, SalesforceError if it has nothing of ours."""
    org_id = await confirm_org(store, client, settings)
    returns = settings.salesforce.returns
    objects = mappings.return_order.sobjects if returns is Returns.RETURN_ORDER and mappings.return_order else ()
    discover = partial(
        discover_org,
        store,
        client,
        org_id,
        version=settings.salesforce.api_version,
        currency=settings.salesforce.currency,
        clock=clock,
        extra_sobjects=objects,
    )
    with current_tracker(AttemptTracker(attempts=health.attempts)):
        profile = await discover()
    # Returns that come meanwhile wait for the next push: how to show them must be found out first.
    strategy = ReturnStrategy(mappings, profile, returns, store)
    returns_due = (await _due_counts(store, clock.now(), scope.selection)).get(EntityKind.RETURN)
    mappings = await strategy.choose_mappings() if returns_due else mappings.returning(None)
    mappings = mappings.with_persons(profile.person_type is not None)
    problems = check(mappings, profile.describes, person_types=profile.person_types)
    if problems:  # perhaps an admin has mended the org since we asked it
        profile = await discover(refresh=True)
        mappings = mappings.with_persons(profile.person_type is not None)
        problems = check(mappings, profile.describes, person_types=profile.person_types)
    if problems:
        keys = absent_keys(mappings, profile.describes)
        raise _missing_keys_error(keys, len(problems) - len(keys)) if keys else MappingError(problems)
    return OrgMappings(mappings=mappings, profile=profile, return_strategy=strategy if returns_due else None)


async def _forecast(
    store: Store, client: SalesforceClient, org_mappings: OrgMappings, clock: Clock, only: Selection | None
) -> LookupForecast:
    org_id = org_mappings.profile.org_id
    repository = SyncRepository(
        store, org_mappings.mappings, org_id=org_id, held_leases={}, clock=clock, selection=only
    )
    before = client.calls_made.reads
    forecast = await forecast_lookups(store, client, repository, await _due_counts(store, clock.now(), only))
    forecast.reads = client.calls_made.reads - before
    return forecast


def _missing_keys_error(keys: Sequence[str], others: int) -> SalesforceError:
    more = f", and {others} others" if others else ""
    return SalesforceError(
        f"The org has none of the connector's fields, or hides them from this user: {', '.join(keys)}{more}.",
        hint="`connector org deploy` puts them there and gives the permission set to our user; then push again.",
        retry_class=RetryClass.CONFIG,
    )


async def _record_outage(store: Store, clock: Clock, health: OrgHealth, summary: PushSummary) -> None:
    """Remember what keeps the org from taking anything, or that nothing does any more."""
    org_was_asked = (
        health.answered or not summary.others_at_work
    )  # else others hold all of it, and may still be waiting
    if health.reached or (health.stopped is None and org_was_asked):
        await outage.end(store)
        summary.outage = None
    if health.stopped is not None:
        summary.outage = await outage.record_failure(store, clock, health.stopped)


async def _due_counts(store: Store, now: datetime, only: Selection | None) -> dict[EntityKind, int]:
    """How many changes of each kind are due now."""
    async with store.reader() as connection:
        return await outbox.due_counts(connection, now, only)


async def _dead_letters(store: Store) -> list[DeadLetter]:
    async with store.reader() as connection:
        return await outbox.dead_letters(connection)


async def _add_counts(
    store: Store, client: SalesforceClient, org: Any, summary: PushSummary, only: Selection | None
) -> None:
    async with store.reader() as connection:
        counts = await outbox.counts(connection, only)
        all_counts = counts if only is None else await outbox.counts(connection)
        summary.next_due = await outbox.next_due(connection, only=only)
    summary.others_due = sum(all_counts[kind][ChangeState.DUE] - counts[kind][ChangeState.DUE] for kind in EntityKind)
    summary.waiting = sum(states[ChangeState.DUE] for states in counts.values())
    summary.dead_letters = sum(states[ChangeState.DEAD] for states in counts.values())
    if isinstance(org, DryRunOrg):
        summary.writes = org.calls.total()
    if client.usage is not None:
        summary.org_used, summary.org_allowed = client.usage
