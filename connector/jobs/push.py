"""Sends everything that is due, and says what it cost.

Work is shared out over streams: one for the products, then up to eight for orders and customers, each over its own
partitions. Few orders make few streams, because a full call costs as much as an empty one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from connector.clock import Clock
from connector.errors import MappingError, RetryClass, SalesforceError
from connector.mapping import MappingSet
from connector.mapping.check import absent_keys, check
from connector.model.change import ChangeState, DeadLetter, EntityKind
from connector.outbound.drain import Drain
from connector.outbound.facts import OrgFacts
from connector.outbound.learn import learn
from connector.outbound.leasing import Terms, held
from connector.outbound.ledger import Ledger
from connector.outbound.rehearsal import RehearsalOrg
from connector.outbound.return_form import ReturnForm
from connector.outbound.tally import Tally
from connector.salesforce.client import SalesforceClient
from connector.settings import Returns, Settings
from connector.store import outbox
from connector.store.engine import Store
from connector.store.rehearsal import sync_rehearsal

ORDERS_PER_STREAM = 300
WORTH_WAITING = timedelta(seconds=10)
"""A change that falls due within this time is waited for: a locked row, a second's pause of the org."""

ROUNDS = 8
CATALOG = "drain:catalog"


class Watcher(Protocol):
    """Who is told how it goes."""

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def say(self, text: str) -> None: ...


@dataclass(kw_only=True)
class PushSummary:
    """What a push came to. `waiting` changes are due later, the first at `next_due`; `stopped`: what ended it early.

    `writes` and `reads` are the data API calls it made; for a rehearsal, those it would have made.
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
    next_due: datetime | None = None
    stopped: str | None = None

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
    first: Callable[[Store], Awaitable[object]] | None = None,
) -> PushSummary:
    """Do `first`, then send what is due. With `dry_run` nothing is sent and nothing stored.

    Raises MappingError if the mappings do not fit the org, AuthError if it lets nobody in, SalesforceError if it has
    none of our fields, StoreError if another push is at work, LeaseLostError if one took over.
    """
    started = clock.now()
    async with AsyncExitStack() as stack:
        org: Any = client
        if dry_run:
            store = await stack.enter_async_context(sync_rehearsal(store))
            org = RehearsalOrg()
        summary = PushSummary(dry_run=dry_run)
        if first is not None:
            await first(store)
        before = {(letter.entity, letter.key) for letter in await _letters(store)}
        calls = client.calls_made
        # A rehearsal also tells whether we can sign in and whether the mappings fit, due or not.
        if dry_run or await _due(store, clock.now()):
            await _send(store, client, org, mappings, settings, clock=clock, watcher=watcher, summary=summary)
        await _close(store, client, org, summary)
        summary.reads = client.calls_made.reads - calls.reads
        if not dry_run:
            summary.writes = client.calls_made.writes - calls.writes
        summary.refusals = [letter for letter in await _letters(store) if (letter.entity, letter.key) not in before]
    summary.seconds = (clock.now() - started).total_seconds()
    return summary


async def _send(
    store: Store,
    client: SalesforceClient,
    org: Any,
    mappings: MappingSet,
    settings: Settings,
    *,
    clock: Clock,
    watcher: Watcher,
    summary: PushSummary,
) -> None:
    org_id = await client.connect()
    returns = settings.salesforce.returns
    objects = mappings.return_order.sobjects if returns is Returns.RETURN_ORDER and mappings.return_order else ()
    ask = partial(
        learn, store, client, org_id,
        version=settings.salesforce.api_version, currency=settings.salesforce.currency, clock=clock, more=objects,
    )  # fmt: skip
    facts = await ask()
    # Returns that come meanwhile wait for the next push: how to show them must be found out first.
    form = ReturnForm(mappings, facts, returns, store)
    back = (await _due(store, clock.now())).get(EntityKind.RETURN)
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
    partitions = settings.sync.partitions
    names = [CATALOG, *(f"drain:{number}" for number in range(partitions))]

    def waiting() -> None:
        watcher.say("Another push holds this database's work; waiting for it to finish or for its lease to end.")

    async with held(store, names, ttl=settings.sync.lease_seconds, clock=clock, waiting=waiting) as terms:
        run = _Run(
            store,
            client,
            org,
            mappings,
            facts,
            terms,
            partitions,
            clock,
            watcher,
            summary.tally,
            form if back else None,
        )
        for _ in range(ROUNDS):
            stopped = await run.once()
            if stopped is not None:
                summary.stopped = str(stopped)
                return
            if summary.dry_run or not await _soon(store, clock):
                return


def _bare(keys: Sequence[str], others: int) -> SalesforceError:
    more = f", and {others} others" if others else ""
    return SalesforceError(
        f"The org has none of the connector's fields, or hides them from this user: {', '.join(keys)}{more}.",
        hint="`connector org deploy` puts them there and gives the permission set to our user; then push again.",
        retry_class=RetryClass.CONFIG,
    )


class _Run:
    """One round over everything that is due."""

    def __init__(
        self,
        store: Store,
        client: SalesforceClient,
        org: Any,
        mappings: MappingSet,
        facts: OrgFacts,
        terms: Terms,
        partitions: int,
        clock: Clock,
        watcher: Watcher,
        tally: Tally,
        form: ReturnForm | None,
    ) -> None:
        self._store = store
        self._client = client
        self._org = org
        self._mappings = mappings
        self._facts = facts
        self._terms = terms
        self._partitions = partitions
        self._clock = clock
        self._watcher = watcher
        self._tally = tally
        self._form = form

    async def once(self) -> SalesforceError | None:
        """What stopped it early, if anything did."""
        now = self._clock.now()
        due = await _due(self._store, now)
        self._watcher.expect(sum(due.values()))
        if due.get(EntityKind.PRODUCT):
            drain = self._drain({CATALOG}, frozenset({0}), 1)
            await drain.products()
            if drain.stopped is not None:
                return drain.stopped
        work = max(due.get(EntityKind.ORDER, 0), due.get(EntityKind.RETURN, 0))
        streams = max(1, min(self._partitions, -(-work // ORDERS_PER_STREAM)))
        drains = []
        for number in range(streams):
            mine = frozenset(range(number, self._partitions, streams))
            drains.append(self._drain({f"drain:{partition}" for partition in mine}, mine, self._partitions))
        try:
            async with asyncio.TaskGroup() as group:
                for drain in drains:
                    group.create_task(drain.orders())
        except* Exception as failed:
            raise failed.exceptions[0] from None
        return next((drain.stopped for drain in drains if drain.stopped is not None), None)

    def _drain(self, leases: set[str], partitions: frozenset[int], of: int) -> Drain:
        terms = {name: term for name, term in self._terms.items() if name in leases}
        ledger = Ledger(
            self._store,
            self._mappings,
            org_id=self._facts.org_id,
            terms=terms,
            clock=self._clock,
            ours=self._terms.ours,
        )
        return Drain(
            ledger=ledger,
            org=self._org,
            reader=self._client,
            facts=self._facts,
            source=self._mappings.source,
            partitions=partitions,
            of=of,
            tally=self._tally,
            advance=self._watcher.advance,
            form=self._form,
        )


async def _due(store: Store, now: datetime) -> dict[EntityKind, int]:
    """How many changes of each kind are due now."""
    async with store.reader() as connection:
        return await outbox.due_counts(connection, now)


async def _soon(store: Store, clock: Clock) -> bool:
    """Wait for what falls due within moments; False if there is nothing worth waiting for."""
    async with store.reader() as connection:
        moment = await outbox.next_due(connection)
    if moment is None:
        return False
    wait = moment - clock.now()
    if wait > WORTH_WAITING:
        return False
    await clock.sleep(max(0.0, wait.total_seconds()))
    return True


async def _letters(store: Store) -> list[DeadLetter]:
    async with store.reader() as connection:
        return await outbox.dead_letters(connection)


async def _close(store: Store, client: SalesforceClient, org: Any, summary: PushSummary) -> None:
    async with store.reader() as connection:
        counts = await outbox.counts(connection)
        summary.next_due = await outbox.next_due(connection)
    summary.waiting = sum(states[ChangeState.DUE] for states in counts.values())
    summary.dead_letters = sum(states[ChangeState.DEAD] for states in counts.values())
    if isinstance(org, RehearsalOrg):
        summary.writes = org.calls.total()
    if client.usage is not None:
        summary.org_used, summary.org_allowed = client.usage
