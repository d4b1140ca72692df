"""Keeps the API budget of a process: admits or refuses each call by its lane, and counts it.

    every lane calls --- the share is nearly used up ---> the lowest lane pauses, then the next one
      ^                                                                                         |
      '--- calls that are 24 hours old count no more, or the org says that there is room again --'

Each response says how many calls the org has counted. What this process counts is added to the database every few
seconds, where it reads at the same time what the other ones have. While a lane pauses, the org is asked every 15
minutes by one of the processes, when somebody wants to call.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import TypeVar

from connector.clock import Clock
from connector.errors import ApiBudgetError, ConnectorError, StoreError
from connector.log import StateLog, get_logger
from connector.model.api_budget import (
    PAUSE_BETWEEN_PUSHES,
    ApiLimit,
    BudgetPolicy,
    BudgetState,
    BudgetUsage,
    CallResult,
    describe_pause,
    estimate,
)
from connector.model.hourly_counts import hour_of
from connector.model.lane import Lane, call_lane
from connector.salesforce.call_gate import Wait, calls_in, get_call_scope
from connector.salesforce.control_plane import ControlPlane
from connector.salesforce.org_limits import read_org_limits
from connector.salesforce.usage import Usage
from connector.store import api_calls, journal, orgs
from connector.store.engine import Store
from connector.store.journal import JournalEntry

SYNC_SECONDS = 10.0
"""How often this process and the database tell each other what they have counted."""
CONFIRM_AFTER = timedelta(seconds=30)
"""But if a person waits, the org is asked when its figures are older than this."""
LOOK_EVERY = timedelta(minutes=15)
"""How often the org is asked while a lane pauses. `model.api_budget.LOOKS` keeps room for it."""

PAUSE_SECONDS = 5.0
"""How often work that waits for the budget is tried again. That costs no call."""

T = TypeVar("T")

log = get_logger(__name__)


async def within_budget(clock: Clock, choose_lane: Callable[[], Lane], work: Callable[[], Awaitable[T]]) -> T:
    """Do this work with calls of the lane that is right by then, as soon as the budget allows it: from the beginning
    each time."""
    while True:
        try:
            with calls_in(choose_lane()):
                return await work()
        except ApiBudgetError:
            await clock.sleep(PAUSE_SECONDS)


class ApiBudget:
    """The gate of one client (`salesforce.call_gate`), an async context manager. `connect` must be called before the
    first call."""

    def __init__(self, store: Store, policy: BudgetPolicy) -> None:
        self._store = store
        self._policy = policy
        self._control: ControlPlane | None = None
        self._org_id = ""
        self._state = BudgetState()
        self._new_counts = Counter[tuple[datetime, Lane, CallResult]]()
        self._by_lane: dict[Lane, dict[datetime, int]] = {}  # both together
        self._in_flight = 0
        self._synced_at: datetime | None = None
        self._looked_at: datetime | None = None
        self._is_changed = False
        self._syncing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._storing = StateLog(log, "API budget not stored", "API budget is stored again")
        self._open_lock, self._sync_lock = asyncio.Lock(), asyncio.Lock()

    def connect(self, control: ControlPlane) -> None:
        """`control` asks the org for its limits."""
        self._control = control

    async def __aenter__(self) -> ApiBudget:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Store what is not stored yet."""
        if self._timer is not None:
            self._timer.cancel()
        if self._syncing is not None:
            await asyncio.wait({self._syncing})
        if self._new_counts or self._is_changed:
            await self.sync()

    async def begin_call(self, org_id: str) -> None:
        scope = get_call_scope()
        await self._open_org(org_id)
        if not scope.exempt:
            lane = call_lane(scope.lane)
            self._update()
            if not self._state.allows(lane):
                await self._look()
                await self._wait_for(lane, scope.wait)
        self._in_flight += 1

    async def _wait_for(self, lane: Lane, wait: Wait | None) -> None:
        """Wait until this lane may call. Raises ApiBudgetError if nobody waits for that."""
        while True:
            try:
                self.check(lane)
            except ApiBudgetError as error:
                if wait is None:
                    raise
                await wait(error)
                await self.find_lowest_lane()
            else:
                return

    def end_call(self, result: CallResult, usage: Usage | None) -> None:
        self._in_flight = max(self._in_flight - 1, 0)
        now = self._store.clock.now()
        hour, lane = hour_of(now), call_lane(get_call_scope().lane)
        self._new_counts[hour, lane, result] += 1
        by_hour = self._by_lane.setdefault(lane, {})
        by_hour[hour] = by_hour.get(hour, 0) + 1
        if usage is None and result is CallResult.LIMIT and self._state.limit is not None:
            usage = Usage(self._state.limit.allowed, self._state.limit.allowed)
        if usage is not None:
            self._observe(usage, now)
        self._sync_later()

    async def find_lowest_lane(self, *, every: timedelta = LOOK_EVERY) -> Lane | None:
        """The lowest lane that may call now; None if none may. If a lane pauses, it reads what other processes have
        found, and asks the org if nobody has done so within `every`."""
        if not self._org_id:
            async with self._store.reader() as connection:
                org = await orgs.get_active(connection)
            if org is None:
                return Lane.BACKFILL
            await self._open_org(org.org_id)
        if self.open_lane is not Lane.BACKFILL:
            if self._is_old(self._synced_at, timedelta(seconds=SYNC_SECONDS)):
                await self.sync()
            await self._look(every)
        return self.open_lane

    @property
    def open_lane(self) -> Lane | None:
        """The lowest lane that may call now, by what this process knows; None if none may."""
        self._update()
        return self._state.lowest_lane

    def pause_between_pushes(self) -> float:
        """For how many seconds changes are collected before they are pushed, so that calls are full when few are
        left."""
        return PAUSE_BETWEEN_PUSHES.get(self._state.lowest_lane, 0.0)

    def usage(self) -> BudgetUsage:
        """Where the budget stands."""
        state = self._state
        if state.limit is not None and self._in_flight:
            state = replace(state, limit=replace(state.limit, used=state.limit.used + self._in_flight))
        return estimate(state, self._by_lane, self._store.clock.now(), self._policy)

    def check(self, lane: Lane) -> None:
        """Raise ApiBudgetError if this lane pauses."""
        usage = self._update()
        if not self._state.allows(call_lane(lane)):
            message, hint = describe_pause(usage)
            raise ApiBudgetError(message, hint=hint)

    def explain(self) -> str:
        """Which lanes pause and why, and what to do."""
        return " ".join(describe_pause(self.usage()))

    def _put_counts(self, stored: api_calls.CallCounts, new: Counter[tuple[datetime, Lane, CallResult]]) -> None:
        """From now on these are counted: those in the database, and those that are not there yet."""
        self._new_counts = new
        total = Counter(stored)
        total.update(new)
        self._by_lane = api_calls.by_lane(total)

    def _update(self) -> BudgetUsage:
        """Decide anew which lanes call."""
        usage = self.usage()
        if usage.lowest_lane != self._state.lowest_lane:
            self._state = replace(self._state, lowest_lane=usage.lowest_lane, since=usage.since)
            self._is_changed = True
            self._start(self.sync())
        return usage

    def _observe(self, usage: Usage, now: datetime) -> None:
        self._state = replace(self._state, limit=ApiLimit(used=usage.used, allowed=usage.allowed, observed_at=now))
        self._is_changed = True

    async def _open_org(self, org_id: str) -> None:
        """Read what is stored of this org, unless that was done before."""
        if org_id == self._org_id:
            return
        async with self._open_lock:
            if org_id == self._org_id:
                return
            await self.sync()  # what is counted belongs to the former org
            now = self._store.clock.now()
            try:
                async with self._store.reader() as connection:
                    stored = await api_calls.counts(connection, org_id, now)
                    self._state = await api_calls.get_state(connection, org_id)
            except StoreError as error:
                self._storing.fail(error.message)
                return
            self._put_counts(stored, Counter())
            self._synced_at, self._looked_at, self._is_changed = now, None, False
            self._org_id = org_id

    async def _look(self, every: timedelta = LOOK_EVERY) -> bool:
        """Ask the org how much it allows, if no process has done so lately. Whether its figures are new now."""
        if self._control is None or not self._is_old(self._looked_at, every) or not self._is_limit_old(every):
            return False
        self._looked_at = self._store.clock.now()
        await self.sync()  # another process may have asked; else the row exists now
        if not self._is_limit_old(every):
            return True
        try:
            async with self._store.transaction() as uow:
                if not await api_calls.take_look(uow, self._org_id, every):
                    return False
            with calls_in(get_call_scope().lane, exempt=True):
                limits = await read_org_limits(self._control)
        except ConnectorError as error:
            log.warning("API budget unknown", error=error.message)
            return False
        if limits.api_calls is not None:
            self._observe(limits.api_calls, self._store.clock.now())
        return True

    def _is_limit_old(self, every: timedelta) -> bool:
        return self._is_old(None if self._state.limit is None else self._state.limit.observed_at, every)

    def _is_old(self, moment: datetime | None, age: timedelta) -> bool:
        return moment is None or self._store.clock.now() - moment >= age

    def _sync_later(self) -> None:
        """Sync soon: at once if the last time is long ago."""
        if self._timer is not None or self._syncing is not None:
            return
        if self._is_old(self._synced_at, timedelta(seconds=SYNC_SECONDS)):
            self._start(self.sync())
        else:
            self._timer = asyncio.get_running_loop().call_later(SYNC_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._start(self.sync())

    def _start(self, work: Coroutine[None, None, None]) -> None:
        """Run this beside the call that caused it: perhaps that is made inside a transaction."""
        if self._syncing is not None:
            work.close()
            return
        self._syncing = asyncio.create_task(work)
        self._syncing.add_done_callback(self._on_synced)

    def _on_synced(self, task: asyncio.Task[None]) -> None:
        self._syncing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("API budget not stored", error=str(error))

    async def sync(self) -> None:
        """Add what was counted here to the database, and read what the others have. What cannot be stored now is
        stored the next time."""
        async with self._sync_lock:
            if not self._org_id:
                return
            self._synced_at = self._store.clock.now()
            try:
                before, after = await self._exchange()
            except StoreError as error:
                self._is_changed = True
                self._storing.fail(error.message)
                return
            self._storing.work()
        if after.lowest_lane != before.lowest_lane:
            words = {"lowest": _word(after.lowest_lane), "before": _word(before.lowest_lane)}
            log.info("other lanes may call now, by the API budget", **words)

    async def _exchange(self) -> tuple[BudgetState, BudgetState]:
        """What was stored of the state, and what is now: as decided by the counts of all processes."""
        org_id, new, ours = self._org_id, dict(self._new_counts), self._state
        if not new and not self._is_changed:
            async with self._store.reader() as connection:
                counts = await api_calls.counts(connection, org_id, self._store.clock.now())
                before = after = await api_calls.get_state(connection, org_id)
        else:
            self._is_changed = False
            async with self._store.transaction() as uow:
                before = await api_calls.lock_state(uow, org_id)
                await api_calls.add(uow, org_id, new)
                counts = await api_calls.counts(uow.connection, org_id, uow.now)
                after = self._decide(replace(before, limit=_newer(ours, before)), counts, uow.now)
                await api_calls.put_state(uow, org_id, after)
                if after.lowest_lane != before.lowest_lane:
                    await journal.write(uow, [_entry(org_id, before, after)])
        self._put_counts(counts, self._new_counts - Counter(new))
        self._state = replace(after, limit=_newer(self._state, after))
        return before, after

    def _decide(self, state: BudgetState, counts: api_calls.CallCounts, now: datetime) -> BudgetState:
        usage = estimate(state, api_calls.by_lane(counts), now, self._policy)
        return replace(state, lowest_lane=usage.lowest_lane, since=usage.since)


def _newer(ours: BudgetState, stored: BudgetState) -> ApiLimit | None:
    """What the org said last, to this process or to another one."""
    limits = [state.limit for state in (ours, stored) if state.limit is not None]
    return max(limits, key=lambda limit: limit.observed_at) if limits else None


def _entry(org_id: str, before: BudgetState, after: BudgetState) -> JournalEntry:
    action = "paused" if after.lowest_lane is None or (before.allows(after.lowest_lane)) else "resumed"
    detail = {"lowest_lane": _word(after.lowest_lane), "before": _word(before.lowest_lane)}
    if after.limit is not None:
        detail |= {"used": str(after.limit.used), "allowed": str(after.limit.allowed)}
    return JournalEntry(entity="api_budget", key="calls", action=action, detail=detail, org_id=org_id)


def _word(lane: Lane | None) -> str:
    return "none" if lane is None else lane.word
