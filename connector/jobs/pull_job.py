"""The job that reads the changed records of one object at its times, and what it came to for the list of runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from connector.errors import ApiBudgetError
from connector.jobs.pull import PullSummary
from connector.jobs.schedule import Result


class PullJob:
    """Reads the changed records of one object. Of runs that pause in a row, to save the API budget, only the first one
    has a result and is kept: each goes on where the one before stopped."""

    def __init__(self, pull: Callable[[], Awaitable[PullSummary]]) -> None:
        self._pull = pull
        self._is_paused = False

    async def __call__(self) -> Result:
        try:
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
