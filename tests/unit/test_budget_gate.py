"""The gate of the API budget between processes: what is counted is not lost, and one of several asks or decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from connector.errors import ApiBudgetError
from connector.jobs import api_budget
from connector.jobs.api_budget import ApiBudget
from connector.model.api_budget import BudgetPolicy, CallResult
from connector.model.lane import Lane
from connector.salesforce.call_gate import calls_in
from connector.salesforce.org_limits import LimitUsage
from connector.salesforce.usage import Usage
from connector.store import api_calls, journal
from connector.store.engine import Store
from tests.conftest import ManualClock

ORG = "00D000000000001AAA"
POLICY = BudgetPolicy(reserve_percent=10, most_per_day=0)


@pytest.fixture
async def pair(store: Store) -> AsyncIterator[tuple[ApiBudget, ApiBudget]]:
    """Two processes on one database, which know the org."""
    async with ApiBudget(store, POLICY) as first, ApiBudget(store, POLICY) as second:
        for gate in (first, second):
            await call(gate, Usage(10, 1000))
            await gate.sync()
        yield first, second


async def call(gate: ApiBudget, usage: Usage | None, result: CallResult = CallResult.ANSWERED) -> None:
    await gate.begin_call(ORG)
    gate.end_call(result, usage)


async def test_one_of_several_processes_asks_for_the_limits(
    pair: tuple[ApiBudget, ApiBudget], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def limits(control: object) -> LimitUsage:
        asked.append(control)
        return LimitUsage(api_calls=None, deliveries=None)  # the org does not say

    monkeypatch.setattr(api_budget, "read_org_limits", limits)
    for gate in pair:
        gate.connect(f"of {len(asked)}")  # type: ignore[arg-type]
        await call(gate, Usage(1000, 1000))
        await gate.sync()
    clock.advance(16 * 60)
    for gate in pair:
        assert await gate.find_lowest_lane() is None
    assert len(asked) == 1


async def test_calls_in_flight_are_taken_off_what_is_left(pair: tuple[ApiBudget, ApiBudget]) -> None:
    gate, _ = pair
    await call(gate, Usage(1000 - 100 - 60, 1000))
    left = gate.usage().left
    assert left is not None
    for number in range(1, 4):
        await gate.begin_call(ORG)
        assert gate.usage().left == left - number
    for _ in range(3):
        gate.end_call(CallResult.UNANSWERED, None)
    assert gate.usage().left == left  # the org has said nothing new


async def test_refused_limit_pauses_every_lane(pair: tuple[ApiBudget, ApiBudget]) -> None:
    """The org says `REQUEST_LIMIT_EXCEEDED` without its figures."""
    gate, _ = pair
    await call(gate, None, CallResult.LIMIT)
    assert gate.open_lane is None
    with pytest.raises(ApiBudgetError):
        await call(gate, None)
    with calls_in(Lane.STATUS, exempt=True):
        await call(gate, None)  # whoever asks how much is allowed


async def test_call_that_ends_while_others_are_stored_is_stored_next(
    pair: tuple[ApiBudget, ApiBudget], store: Store
) -> None:
    gate, _ = pair
    before = await stored(store)
    await gate.begin_call(ORG)
    gate.end_call(CallResult.ANSWERED, Usage(11, 1000))
    storing = asyncio.create_task(gate.sync())
    await asyncio.sleep(0)
    assert gate._sync_lock.locked()  # it has begun, and waits for the database
    await gate.begin_call(ORG)
    gate.end_call(CallResult.ANSWERED, Usage(12, 1000))
    assert not storing.done()
    await storing
    await gate.sync()
    assert await stored(store) == before + 2


async def test_processes_that_store_at_once_keep_the_newest_figures_and_one_entry(
    pair: tuple[ApiBudget, ApiBudget], store: Store, clock: ManualClock
) -> None:
    for gate, used in zip(pair, (998, 1000), strict=True):
        clock.advance(1)
        await call(gate, Usage(used, 1000))
    await asyncio.gather(*(gate.sync() for gate in pair))
    async with store.reader() as connection:
        state = await api_calls.get_state(connection, ORG)
        entries = await journal.read(connection, "api_budget", "calls")
    assert state.limit is not None
    assert (state.limit.used, state.limit.observed_at, state.lowest_lane) == (1000, clock.now(), None)
    assert [entry.action for entry in entries] == ["paused"]


async def stored(store: Store) -> int:
    async with store.reader() as connection:
        counts: Any = await api_calls.counts(connection, ORG, store.clock.now() + timedelta(seconds=1))
    return sum(counts.values())
