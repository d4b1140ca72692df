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
from connector.jobs.mapping_versions import Mappings, UnfitEditError
from connector.jobs.org_identity import confirm_org
from connector.jobs.push_rounds import ProgressReporter, Rounds
from connector.mapping import MappingSet
from connector.mapping.check import absent_keys, check
from connector.model.change import ChangeState, DeadLetter, EntityKind
from connector.outbound.dry_run import DryRunOrg
from connector.outbound.health import OrgHealth
from connector.outbound.lease_keeper import LeaseKeeper
from connector.outbound.mapping_version import MappingInForce
from connector.outbound.org_discovery import discover_org
from connector.outbound.org_profile import OrgProfile
from connector.outbound.repository import SyncRepository
from connector.outbound.return_strategy import ReturnForm
from connector.outbound.stats import SyncStats
from connector.salesforce.attempt_context import AttemptTracker, current_tracker
from connector.salesforce.client import SalesforceClient
from connector.settings import Returns, Settings
from connector.store import outbox
from connector.store.dry_run import sync_dry_run
from connector.store.engine import Store
from connector.store.outages import Outage
from connector.store.outbox import Selection

VERSIONS = 5
"""How often in one push the mappings may be replaced."""


@dataclass(kw_only=True)
class PushSummary:
    """What a push came to. `waiting` changes are due later, the first at `next_due`; `stopped`: what ended it early;
    `elsewhere`: other workers hold some of them.

    `writes` and `reads` are the data API calls it made; for a rehearsal, those it would have made. Where only some
    changes were meant, all numbers are of those; `others_due` counts the rest. `outage` is what keeps the org from
    taking anything, `held` why it does not take some of it.
    """

    tally: SyncStats = field(default_factory=SyncStats)
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
    elsewhere: bool = False
    foretold: LookupForecast | None = None  # of a dry run
    held: str | None = None
    held_code: str | None = None
    outage: Outage | None = None

    @property
    def in_sync(self) -> bool:
        return not (self.dead_letters or self.waiting or self.stopped or self.outage)


First = Callable[[Store], Awaitable[Selection | None]]


@dataclass(kw_only=True)
class _Scope:
    """What a push is about: `only` some changes, if not all; refusals that were there `before` are none of its own."""

    only: Selection | None = None
    before: frozenset[tuple[EntityKind, str]] = frozenset()

    async def begin(self, store: Store, first: First | None) -> None:
        self.only = await first(store) if first is not None else None
        self.before = frozenset((letter.entity, letter.key) for letter in await _letters(store))

    def is_new(self, letter: DeadLetter) -> bool:
        keys = None if self.only is None else self.only.get(letter.entity, frozenset())
        return (letter.entity, letter.key) not in self.before and (keys is None or letter.key in keys)


async def push(
    store: Store,
    client: SalesforceClient,
    mappings: Mappings,
    settings: Settings,
    *,
    clock: Clock,
    watcher: ProgressReporter,
    health: OrgHealth,
    dry_run: bool = False,
    scheduled: bool = False,
    first: First | None = None,
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
        scope = _Scope()
        if scheduled:
            await mappings.notice(store)
        else:
            mappings.read()
        if not dry_run:
            summary.outage = await outage.current(store)
        if scheduled and summary.outage is not None and not await outage.is_our_turn(store, clock, summary.outage):
            return summary
        if first is None or dry_run or await mappings.settled(store):
            await scope.begin(store, first)
            first = None
        calls = client.calls_made
        if not scheduled:
            await outage.hasten(store)
        # A rehearsal also tells whether we can sign in and whether the mappings fit, due or not.
        waiting = dry_run or first is not None or bool(await _due(store, clock.now(), scope.only))
        if waiting or verify or summary.outage is not None:
            worker = None
            if waiting and not dry_run:
                sync = settings.sync
                worker = LeaseKeeper(
                    store, partitions=sync.partitions, ttl=sync.lease_seconds, clock=clock, returns=scheduled
                )
                await stack.enter_async_context(worker)
            health.start(cautious=summary.outage is not None)
            paused = False
            try:
                if summary.outage is not None:  # the org may have moved meanwhile: only the login URL knows where to
                    await client.reconnect()
                if waiting:
                    paused = not await _send(
                        store, client, org, mappings, settings,
                        worker=worker, clock=clock, watcher=watcher, health=health, summary=summary,
                        scheduled=scheduled, first=first, scope=scope,
                    )  # fmt: skip
                else:
                    await confirm_org(store, client, settings)
            except (SalesforceError, MappingError, SettingsError) as error:
                if dry_run or isinstance(error, UnfitEditError):
                    raise
                summary.outage = await outage.failed(store, clock, error)
                if not scheduled:
                    raise
            else:
                if not dry_run and not paused:
                    await _keep(store, clock, health, summary)
        await _close(store, client, org, summary, scope.only)
        summary.reads = client.calls_made.reads - calls.reads - (summary.foretold.reads if summary.foretold else 0)
        if not dry_run:
            summary.writes = client.calls_made.writes - calls.writes
        summary.refusals = [letter for letter in await _letters(store) if scope.is_new(letter)]
    summary.seconds = (clock.now() - started).total_seconds()
    return summary


async def _send(
    store: Store,
    client: SalesforceClient,
    org: Any,
    mappings: Mappings,
    settings: Settings,
    *,
    worker: LeaseKeeper | None,
    clock: Clock,
    watcher: ProgressReporter,
    health: OrgHealth,
    summary: PushSummary,
    scheduled: bool,
    first: First | None,
    scope: _Scope,
) -> bool:
    """False if it is not to send anything: other mappings than ours are active."""
    fit = partial(_fit, store, client, settings, clock, health, scope)
    for _ in range(VERSIONS):
        version = None
        if worker is None:
            fitted = await fit(mappings.read())
        else:
            if scheduled:
                chosen = await mappings.follow(store, fit)
            else:
                mappings.read()
                chosen = await mappings.choose(store, fit, explicit=first is not None)
            if chosen is None:
                return False
            version, fitted = MappingInForce(chosen.number), await fit(chosen.mappings)
        if first is not None:
            await scope.begin(store, first)
            first = None
        if summary.dry_run:
            summary.foretold = await _foretold(store, client, fitted, clock, scope.only)
        rounds = Rounds(
            store=store,
            client=client,
            org=org,
            mappings=fitted.mappings,
            facts=fitted.facts,
            worker=worker,
            version=version,
            partitions=settings.sync.partitions,
            clock=clock,
            watcher=watcher,
            tally=summary.tally,
            health=health,
            form=fitted.form,
            only=scope.only,
        )
        await rounds.run(patient=not scheduled)
        summary.elsewhere = rounds.elsewhere
        summary.held, summary.stopped = outage.in_full(health.held), outage.in_full(health.stopped)
        summary.held_code = None if health.held is None else health.held.code
        if version is None or not version.outdated or health.stopped is not None:
            break
    return True


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Mappings as they are used on this org; `form` is that of its returns, None if there are none to be sent."""

    mappings: MappingSet
    facts: OrgProfile
    form: ReturnForm | None


async def _fit(
    store: Store,
    client: SalesforceClient,
    settings: Settings,
    clock: Clock,
    health: OrgHealth,
    scope: _Scope,
    mappings: MappingSet,
) -> Fitted:
    """MappingError if the org has not what the mappings speak of, SalesforceError if it has nothing of ours."""
    org_id = await confirm_org(store, client, settings)
    returns = settings.salesforce.returns
    objects = mappings.return_order.sobjects if returns is Returns.RETURN_ORDER and mappings.return_order else ()
    ask = partial(
        discover_org, store, client, org_id,
        version=settings.salesforce.api_version, currency=settings.salesforce.currency, clock=clock, more=objects,
    )  # fmt: skip
    with current_tracker(AttemptTracker(attempts=health.attempts)):
        facts = await ask()
    # Returns that come meanwhile wait for the next push: how to show them must be found out first.
    form = ReturnForm(mappings, facts, returns, store)
    back = (await _due(store, clock.now(), scope.only)).get(EntityKind.RETURN)
    mappings = await form.mappings() if back else mappings.returning(None)
    mappings = mappings.with_persons(facts.person_type is not None)
    problems = check(mappings, facts.describes, person_types=facts.person_types)
    if problems:  # perhaps an admin has mended the org since we asked it
        facts = await ask(fresh=True)
        mappings = mappings.with_persons(facts.person_type is not None)
        problems = check(mappings, facts.describes, person_types=facts.person_types)
    if problems:
        keys = absent_keys(mappings, facts.describes)
        raise _bare(keys, len(problems) - len(keys)) if keys else MappingError(problems)
    return Fitted(mappings=mappings, facts=facts, form=form if back else None)


async def _foretold(
    store: Store, client: SalesforceClient, fitted: Fitted, clock: Clock, only: Selection | None
) -> LookupForecast:
    org_id = fitted.facts.org_id
    ledger = SyncRepository(store, fitted.mappings, org_id=org_id, terms={}, clock=clock, only=only)
    before = client.calls_made.reads
    found = await forecast_lookups(store, client, ledger, await _due(store, clock.now(), only))
    found.reads = client.calls_made.reads - before
    return found


def _bare(keys: Sequence[str], others: int) -> SalesforceError:
    more = f", and {others} others" if others else ""
    return SalesforceError(
        f"The org has none of the connector's fields, or hides them from this user: {', '.join(keys)}{more}.",
        hint="`connector org deploy` puts them there and gives the permission set to our user; then push again.",
        retry_class=RetryClass.CONFIG,
    )


async def _keep(store: Store, clock: Clock, health: OrgHealth, summary: PushSummary) -> None:
    """Remember what keeps the org from taking anything, or that nothing does any more."""
    asked = health.answered or not summary.elsewhere  # else others hold all of it, and may still be waiting
    if health.reached or (health.stopped is None and asked):
        await outage.over(store)
        summary.outage = None
    if health.stopped is not None:
        summary.outage = await outage.failed(store, clock, health.stopped)


async def _due(store: Store, now: datetime, only: Selection | None) -> dict[EntityKind, int]:
    """How many changes of each kind are due now."""
    async with store.reader() as connection:
        return await outbox.due_counts(connection, now, only)


async def _letters(store: Store) -> list[DeadLetter]:
    async with store.reader() as connection:
        return await outbox.dead_letters(connection)


async def _close(
    store: Store, client: SalesforceClient, org: Any, summary: PushSummary, only: Selection | None
) -> None:
    async with store.reader() as connection:
        counts = await outbox.counts(connection, only)
        every = counts if only is None else await outbox.counts(connection)
        summary.next_due = await outbox.next_due(connection, only=only)
    summary.others_due = sum(every[kind][ChangeState.DUE] - counts[kind][ChangeState.DUE] for kind in EntityKind)
    summary.waiting = sum(states[ChangeState.DUE] for states in counts.values())
    summary.dead_letters = sum(states[ChangeState.DEAD] for states in counts.values())
    if isinstance(org, DryRunOrg):
        summary.writes = org.calls.total()
    if client.usage is not None:
        summary.org_used, summary.org_allowed = client.usage
