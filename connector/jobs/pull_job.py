"""The job that reads the changed records of one object at its times, and what it came to for the list of runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from connector.clock import Clock
from connector.errors import ApiBudgetError
from connector.jobs.api_budget import waiting
from connector.jobs.pull import PullSummary
from connector.jobs.schedule import Result
from connector.model.lane import Lane
from connector.salesforce.call_gate import calls_in


class PullJob:
    """Reads the changed records of one object. Of runs that pause in a row, to save the API budget, only the first one
    has a result and is kept. What is behind the first page is less urgent, and waits where it is."""

    def __init__(self, pull: Callable[[], Awaitable[PullSummary]], clock: Clock) -> None:
        self._pull = pull
        self._clock = clock
        self._is_paused = False

    async def __call__(self) -> Result:
        try:
            with calls_in(Lane.STATUS, wait_below=waiting(self._clock)):
                summary = await self._pull()
        except ApiBudgetError as error:
            was_paused, self._is_paused = self._is_paused, True
            return {} if was_paused else {"paused": error.message}
        self._is_paused = False
        return _pull_result(summary)


def _pull_result(summary: PullSummary) -> Result:
    applied = summary.applied
    if not (applied.records - applied.echoes or summary.elsewhere):
        return {}
    return {
        "records": applied.records,
        "echoes": applied.echoes,
        "taken": dict(applied.taken),
        "restored": dict(applied.restored),
        "parked": applied.parked,
        "conflicts": applied.conflicts,
        "reads": summary.reads,
        **({"polled_elsewhere": summary.elsewhere} if summary.elsewhere else {}),
    }
