"""The pages of jobs: schedules, runs with their errors, processes; running, pausing and rescheduling by a form."""

from __future__ import annotations

import re

from connector.model.job_run import JobState, JobTrigger
from connector.model.role import Role
from connector.model.worker import Worker
from connector.store import job_runs, job_schedules, journal, leases, workers
from connector.store.queries.change_mark import load_change_mark
from tests.web.conftest import Api
from tests.web.test_console import HOSTILE, open_page, send, sign_in


async def fail(api: Api, job: str, error: str) -> None:
    async with api.store.transaction() as uow:
        await job_runs.request(uow, job, actor=HOSTILE)
        [run] = await job_runs.take_waiting(uow, [job], worker="host:1", ttl=15)
        mark = await load_change_mark(uow.connection)
        await job_runs.finish(uow, run, JobState.FAILED, error=error, fix="Correct it.")
        assert await load_change_mark(uow.connection) != mark


async def test_jobs_are_shown_with_their_runs_and_the_processes_that_do_them(api: Api) -> None:
    await sign_in(api)
    _, text = await open_page(api, "/jobs")
    assert "No scheduler is alive" in text
    assert "No process of the service has reported itself" in text
    await fail(api, "reconcile", "ann@shop.example is wrong")
    async with api.store.transaction() as uow:
        worker = Worker(
            id="1", host="shop", pid=7, roles=("scheduler",), engine="embedded", started_at=uow.now, seen_at=uow.now,
            alive=True,
        )  # fmt: skip
        await workers.report(uow, worker, ttl=60)
        await job_schedules.set_paused(uow, "webhooks", True, actor="kim")  # the settings turn it off
    assert await leases.acquire(api.store, "drain:3", "shop:7:a", ttl=60) is not None
    _, text = await open_page(api, "/jobs")
    for part in ("shop:7", "partitions 3", "cron 0 2 * * * (UTC)", "The settings turn it off", "ann@shop.example"):
        assert part in text, part
    assert "No scheduler is alive" not in text
    _, text = await open_page(api, "/jobs/reconcile?state=failed")
    assert ("ann@shop.example is wrong Correct it." in text, "<script>document" in text) == (True, False)
    assert "No run is like this" in (await open_page(api, "/jobs/reconcile?state=done"))[1]
    assert (await open_page(api, "/jobs/reconcile?state=old"))[0].status == 400
    assert (await open_page(api, "/jobs/nothing"))[0].status == 404

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    for path in ("/jobs", "/jobs/reconcile"):
        _, text = await open_page(api, path)
        assert [part in text for part in ("<form method", "ann@shop.example")] == [False, False], path


async def test_job_is_run_paused_and_resumed_by_buttons(api: Api) -> None:
    await sign_in(api)
    status, text = await send(api, "/jobs/reconcile/run", **{"from": "list"})
    assert (status, "reconcile runs as soon as a scheduler takes it" in text, "<h1>Jobs" in text) == (303, True, True)
    assert "begins no more runs by itself" in (await send(api, "/jobs/prune/pause"))[1]
    assert "was paused already" in (await send(api, "/jobs/prune/pause"))[1]
    assert "runs at its times again" in (await send(api, "/jobs/prune/resume"))[1]
    assert (await send(api, "/jobs/nothing/run"))[0] == 404
    assert (await send(api, "/jobs/nothing/pause"))[0] == 404
    async with api.store.reader() as connection:
        latest = await job_runs.latest(connection, ["reconcile"])
        changes = await journal.read(connection, "job", "prune")
    assert (latest["reconcile"].actor, latest["reconcile"].state) == ("ops of tests", JobState.WAITING)
    assert {change.action for change in changes} == {"paused", "resumed"}


async def test_trigger_is_changed_only_to_one_that_can_be_read(api: Api) -> None:
    await sign_in(api)

    async def version() -> str:
        found = re.search(r'name="version" value="(\d+)"', (await open_page(api, "/jobs/prune"))[1])
        assert found is not None
        return found[1]

    first = await version()
    for fields, name in (
        ({"seconds": "soon"}, "seconds"), ({"seconds": "0.1"}, "seconds"), ({"cron": "30 2 * *"}, "cron"),
        ({"cron": "0 2 * * *", "seconds": "9"}, "seconds"), ({"seconds": "", "cron": ""}, "seconds"),
        ({"seconds": "nan"}, "seconds"), ({"seconds": "1e400"}, "seconds"),
    ):  # fmt: skip
        status, text = await send(api, "/jobs/prune/trigger", **{"seconds": "", "cron": "", "version": first, **fields})
        assert (status, f'id="wrong-{name}"' in text) == (422, True), fields
    status, text = await send(api, "/jobs/prune/trigger", seconds="60", cron="", version=first)
    assert (status, "prune runs every 60 s." in text) == (303, True)
    status, text = await send(api, "/jobs/prune/trigger", seconds="90", cron="", version=first)
    assert (status, "has been changed meanwhile" in text) == (409, True)
    assert (await send(api, "/jobs/prune/trigger", seconds="90", cron="", version="x"))[0] == 422
    async with api.store.reader() as connection:
        stored = await job_schedules.load(connection)
    assert stored["prune"].trigger == JobTrigger(seconds=60)
    status, text = await send(api, "/jobs/prune/trigger/reset")
    assert (status, "runs at the times of the settings: every 3600 s." in text) == (303, True)
    assert (await send(api, "/jobs/push/trigger", seconds="90", cron="", version="0"))[0] == 409
