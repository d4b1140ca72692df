"""The lane of the polls beside a stream."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from connector.errors import ApiBudgetError
from connector.inbound.topic_listener import ListenerStats
from connector.jobs.listen import ListenJob
from connector.model.lane import Lane
from connector.salesforce.call_gate import get_call_scope
from connector.settings import Settings
from tests.conftest import ManualClock


class EnoughError(Exception):
    """Ends the loop."""


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "behind"])
async def test_poll_that_waits_in_the_lane_of_profiles_is_made_at_once_when_the_stream_brings_nothing(
    clock: ManualClock, is_lost: bool
) -> None:
    class Job(ListenJob):
        def __init__(self) -> None:
            store, client = SimpleNamespace(clock=clock), SimpleNamespace(calls_made=SimpleNamespace(reads=0))
            settings = Settings(_env_file=None)
            self.context: Any = SimpleNamespace(store=store, client=client, settings=settings)
            self.stats = ListenerStats(subscribed=True)
            self._is_behind = False
            self.lanes: list[Lane] = []

        async def _poll(self) -> list[Any]:
            self.lanes.append(get_call_scope().lane)
            if len(self.lanes) == 4:
                raise EnoughError
            if self.lanes[-1] is Lane.PROFILE:  # which pauses
                is_over = len(self.lanes) == 2
                self.stats.subscribed = not (is_over and is_lost)
                self._is_behind = is_over and not is_lost
                raise ApiBudgetError("Calls of the lane profile pause.")
            return []

    job = Job()
    with pytest.raises(EnoughError):
        await job._poll_now_and_then()
    assert job.lanes == [Lane.PROFILE, Lane.PROFILE, Lane.STATUS, Lane.STATUS]
