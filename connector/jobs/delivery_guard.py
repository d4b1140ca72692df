"""Watches the org's delivery allowance for one topic, and decides whether it is streamed or polled.

    stream --- the allowance is used up but for the reserve, or the org refuses ---> poll
      ^                                                                               |
      '--- midnight (UTC), and the org has room again; else an hour later ------------'

What was delivered is counted in the transaction that stores it. The org is asked for its own figures every ten minutes,
and once more before a switch. The state is stored, so that a process that takes the topic over continues in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from connector.errors import SalesforceError
from connector.jobs.inbound_run import InboundJobContext
from connector.log import StateLog, get_logger
from connector.model.deliveries import (
    DeliveryLimit,
    DeliveryMode,
    DeliveryUsage,
    TopicState,
    estimate,
    may_resume,
    next_midnight,
)
from connector.model.hourly_counts import HOUR, hour_of
from connector.salesforce.org_limits import read_org_limits
from connector.store import cursors, deliveries, journal
from connector.store.journal import JournalEntry
from connector.store.unit_of_work import UnitOfWork

OBSERVE_EVERY = timedelta(minutes=10)
CONFIRM_AFTER = timedelta(seconds=30)
"""Figures of the org that are older than this are read again before the topic is switched."""

log = get_logger(__name__)


class DeliveryGuard:
    """The state of one topic. `hold_lease` raises LeaseLostError if another process listens now."""

    def __init__(
        self,
        context: InboundJobContext,
        org_id: str,
        topic: str,
        hold_lease: Callable[[UnitOfWork], Awaitable[None]],
    ) -> None:
        self._context = context
        self._org_id = org_id
        self._topic = topic
        self._hold_lease = hold_lease
        self._policy = deliveries.policy_of(context.settings.inbound)
        self._asked_at: datetime | None = None
        self._asking = StateLog(log, "delivery allowance unknown", "delivery allowance known again", topic=topic)

    async def check(self) -> DeliveryUsage:
        """Where the topic stands. The org is asked if its figures are old, or if they are about to decide something.

        Switches to polling if the allowance is used up, and back if it is time. Where the org does not show its
        figures, our own counts and the settings decide.
        """
        now = self._context.store.clock.now()  # before the figures are read: none is older than what it decides
        usage, state = await self._load()
        if self._must_observe(usage, state, now):
            usage, state = await self._observe(state)
        if state.mode is DeliveryMode.STREAM and usage.is_used_up:
            return await self.switch_to_polling("the day's deliveries are used up, but for the reserve")
        if state.mode is DeliveryMode.POLL and (state.resume_at is None or now >= state.resume_at):
            if not may_resume(usage, self._policy):
                await self._store(replace(state, resume_at=now + HOUR))
            else:
                await self._switch(replace(state, mode=DeliveryMode.STREAM, since=now, resume_at=None), "streamed", "")
            return (await self._load())[0]
        return usage

    async def switch_to_polling(self, why: str) -> DeliveryUsage:
        """Poll the topic until midnight. Its position is given up: to replay what was polled would count as well."""
        _, state = await self._load()
        now = self._context.store.clock.now()
        state = replace(state, mode=DeliveryMode.POLL, since=now, resume_at=next_midnight(now))
        await self._switch(state, "polled", why)
        return (await self._load())[0]

    def _must_observe(self, usage: DeliveryUsage, state: TopicState, now: datetime) -> bool:
        if self._asked_at is None:
            return True
        age = now - self._asked_at
        due = state.mode is DeliveryMode.POLL and (state.resume_at is None or now >= state.resume_at)
        is_of_before = due and state.resume_at is not None and self._asked_at < state.resume_at
        return is_of_before or age >= OBSERVE_EVERY or ((usage.is_used_up or due) and age >= CONFIRM_AFTER)

    async def _load(self) -> tuple[DeliveryUsage, TopicState]:
        store = self._context.store
        now = store.clock.now()
        async with store.reader() as connection:
            states = await deliveries.get_states(connection, self._org_id)
            state = states.get(self._topic, TopicState(topic=self._topic))
            counts = await deliveries.counts(connection, self._org_id, self._topic, now)
        return estimate(state, counts, now, self._policy), state

    async def _observe(self, state: TopicState) -> tuple[DeliveryUsage, TopicState]:
        """Ask the org for its figures, and store them."""
        clock = self._context.store.clock
        self._asked_at = clock.now()
        try:
            said = (await read_org_limits(self._context.client.control)).deliveries
        except SalesforceError as error:
            self._asking.fail(error.message)
            said = None
        else:
            self._asking.work()
        now = clock.now()
        async with self._context.store.reader() as connection:
            counts = await deliveries.counts(connection, self._org_id, self._topic, now)
        if said is not None:
            counted = counts.get(hour_of(now), 0)
            limit = DeliveryLimit(used=said.used, allowed=said.allowed, observed_at=now, counted_in_hour=counted)
            state = replace(state, limit=limit)
            await self._store(state)
        usage = estimate(state, counts, now, self._policy)
        log.info(
            "delivery allowance",
            topic=self._topic,
            used=usage.used,
            allowed=usage.allowed,
            left=usage.left,
            per_hour=usage.per_hour,
            runs_out_at=usage.runs_out_at,
        )
        return usage, state

    async def _store(self, state: TopicState) -> None:
        async with self._context.store.transaction() as uow:
            await self._hold_lease(uow)
            await deliveries.put_state(uow, self._org_id, state)

    async def _switch(self, state: TopicState, action: str, why: str) -> None:
        async with self._context.store.transaction() as uow:
            await self._hold_lease(uow)
            await deliveries.put_state(uow, self._org_id, state)
            if state.mode is DeliveryMode.POLL:
                position = {"replay_id": None, "at": uow.now.isoformat()}
                await cursors.set_position(uow, self._org_id, cursors.events_of(self._topic), position)
            detail = {"because": why, "until": state.resume_at} if why else {}
            entry = JournalEntry(entity="topic", key=self._topic, action=action, detail=detail, org_id=self._org_id)
            await journal.write(uow, [entry])
        log.warning(f"topic is {action}", topic=self._topic, because=why, until=state.resume_at)
