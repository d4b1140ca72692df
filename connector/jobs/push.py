"""Sends everything that is due, and says what it cost.

Work is shared out over workers (`outbound.leasing`), and the part of each over streams: one for the products, then up
to eight for orders and customers, each over its own partitions. Few orders make few streams, because a full call costs
as much as an empty one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from connector.clock import Clock
from connector.errors import MappingError, RetryClass, SalesforceError
from connector.jobs.org import confirm_org
from connector.jobs.rounds import Rounds, Watcher
from connector.mapping import MappingSet
from connector.mapping.check import absent_keys, check
from connector.model.change import ChangeState, DeadLetter, EntityKind
from connector.outbound.learn import learn
from connector.outbound.leasing import Worker
from connector.outbound.rehearsal import RehearsalOrg
from connector.outbound.return_form import ReturnForm
from connector.outbound.tally import Tally
from connector.salesforce.client import SalesforceClient
from connector.settings import Returns, Settings
from connector.store import outbox
from connector.store.engine import Store
from connector.store.outbox import Selection
from connector.store.rehearsal import sync_rehearsal


@dataclass(kw_only=True)
class PushSummary:
    """What a push came to. `waiting` changes are due later, the first at `next_due`; `stopped`: what ended it early;
    `elsewhere`: other workers hold some of them.

    `writes` and `reads` are the data API calls it made; for a rehearsal, those it would have made. Where only some
    changes were meant, all numbers are of those; `others_due` counts the rest.
    """

    tally: Tally = field(default_factory=Tally)
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

    @property
    def in_sync(self) -> bool:
        return not (self.dead_letters or self.waiting or self.stopped)


async def push(
    store: Store,
    client: SalesforceClient,
    mappings: MappingSet,
    settings: Settings,
    *,
    clock: Clock,
    watcher: Watcher,
    dry_run: bool = False,
    scheduled: bool = False,
    first: Callable[[Store], Awaitable[Selection | None]] | None = None,
    verify: bool = True,
) -> PushSummary:
    """Do `first`, then send what is due: of what `first` answers, if it does. With `dry_run` nothing is sent and
    nothing stored. Without `verify` an org that nothing is due for is not asked who it is.

    A `scheduled` push takes what is free and due now; any other one also waits for other workers that hold what is due,
    as long as they get something done, and for what falls due within moments.

    Raises OtherOrgError if another org answers, MappingError if the mappings do not fit the org, AuthError if it lets
    nobody in, SalesforceError if it has none of our fields, LeaseLostError if another push took over.
    """
    started = clock.now()
    async with AsyncExitStack() as stack:
        org: Any = client
        if dry_run:
            store = await stack.enter_async_context(sync_rehearsal(store))
            org = RehearsalOrg()
        summary = PushSummary(dry_run=dry_run)
        only = await first(store) if first is not None else None
        before = {(letter.entity, letter.key) for letter in await _letters(store)}
        calls = client.calls_made
        # A rehearsal also tells whether we can sign in and whether the mappings fit, due or not.
        if dry_run or await _due(store, clock.now(), only):
            worker = None
            if not dry_run:
                sync = settings.sync
                worker = Worker(
                    store, partitions=sync.partitions, ttl=sync.lease_seconds, clock=clock, returns=scheduled
                )
                await stack.enter_async_context(worker)
            await _send(
                store, client, org, mappings, settings,
                worker=worker, clock=clock, watcher=watcher, summary=summary, patient=not scheduled, only=only,
            )  # fmt: skip
        elif verify:
            await confirm_org(store, client, settings)
        await _close(store, client, org, summary, only)
        summary.reads = client.calls_made.reads - calls.reads
        if not dry_run:
            summary.writes = client.calls_made.writes - calls.writes
        summary.refusals = [
            letter
            for letter in await _letters(store)
            if (letter.entity, letter.key) not in before and _is_meant(letter, only)
        ]
    summary.seconds = (clock.now() - started).total_seconds()
    return summary


async def _send(
    store: Store,
    client: SalesforceClient,
    org: Any,
    mappings: MappingSet,
    settings: Settings,
    *,
    worker: Worker | None,
    clock: Clock,
    watcher: Watcher,
    summary: PushSummary,
    patient: bool,
    only: Selection | None,
) -> None:
    org_id = await confirm_org(store, client, settings)
    returns = settings.salesforce.returns
    objects = mappings.return_order.sobjects if returns is Returns.RETURN_ORDER and mappings.return_order else ()
    ask = partial(
        learn, store, client, org_id,
        version=settings.salesforce.api_version, currency=settings.salesforce.currency, clock=clock, more=objects,
    )  # fmt: skip
    facts = await ask()
    # Returns that come meanwhile wait for the next push: how to show them must be found out first.
    form = ReturnForm(mappings, facts, returns, store)
    back = (await _due(store, clock.now(), only)).get(EntityKind.RETURN)
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
    rounds = Rounds(
        store=store,
        client=client,
        org=org,
        mappings=mappings,
        facts=facts,
        worker=worker,
        partitions=settings.sync.partitions,
        clock=clock,
        watcher=watcher,
        tally=summary.tally,
        form=form if back else None,
        only=only,
    )
    stopped = await rounds.run(patient=patient)
    summary.elsewhere = rounds.elsewhere
    summary.stopped = None if stopped is None else str(stopped)


def _bare(keys: Sequence[str], others: int) -> SalesforceError:
    more = f", and {others} others" if others else ""
    return SalesforceError(
        f"The org has none of the connector's fields, or hides them from this user: {', '.join(keys)}{more}.",
        hint="`connector org deploy` puts them there and gives the permission set to our user; then push again.",
        retry_class=RetryClass.CONFIG,
    )


async def _due(store: Store, now: datetime, only: Selection | None) -> dict[EntityKind, int]:
    """How many changes of each kind are due now."""
    async with store.reader() as connection:
        return await outbox.due_counts(connection, now, only)


async def _letters(store: Store) -> list[DeadLetter]:
    async with store.reader() as connection:
        return await outbox.dead_letters(connection)


def _is_meant(letter: DeadLetter, only: Selection | None) -> bool:
    keys = None if only is None else only.get(letter.entity, frozenset())
    return keys is None or letter.key in keys


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
    if isinstance(org, RehearsalOrg):
        summary.writes = org.calls.total()
    if client.usage is not None:
        summary.org_used, summary.org_allowed = client.usage
