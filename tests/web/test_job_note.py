"""What a page adds to what the service will do, if it does not do it now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from connector.jobs.schedule import JobDefinition
from connector.store import job_schedules
from connector.store.engine import Store
from connector.web.console.job_note import note_job, note_pushes

NO_WORKER = " No process of the service is a worker now: it waits for one."


@pytest.mark.parametrize(
    ("jobs", "paused", "said"),
    [
        (["push"], "push", " The job push is paused by anna."),
        (["push@emea"], "push@emea", " The job push@emea is paused by anna."),
        (["push", "push@emea"], "push", NO_WORKER),  # the changes may be for the other org
        ([], "push", " The job push is off in the settings of the service."),
    ],
)
async def test_changes_for_any_org_are_noted_by_the_only_push(
    store: Store, jobs: list[str], paused: str, said: str
) -> None:
    call: Any = SimpleNamespace(store=store, jobs=[JobDefinition(name=name, summary="") for name in jobs])
    async with store.transaction() as uow:
        await job_schedules.set_paused(uow, paused, True, actor="anna")
    assert await note_pushes(call, 1) == said
    assert await note_pushes(call, 0) == ""
    if len(jobs) > 1:
        assert await note_job(call, "push") == " The job push is paused by anna."
        assert await note_job(call, "push@emea") == " No process of the service is a worker now."
