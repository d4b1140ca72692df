"""The scheduler endpoint: jobs, their runs, and what people do with them."""

from __future__ import annotations

from datetime import timedelta

from connector.model.job_run import JobState
from connector.model.role import Role
from connector.store import job_runs, job_schedules, journal
from tests.conftest import ManualClock
from tests.web.conftest import Api

JOBS = "/scheduler/jobs"


async def test_jobs_say_when_they_run_and_how_the_latest_run_went(api: Api) -> None:
    jobs = {job["name"]: job for job in (await api("GET", JOBS, role=Role.VIEWER)).body["jobs"]}
    assert list(jobs) == [
        "push",
        "pull_account",
        "pull_product2",
        "pull_order",
        "pull_orderitem",
        "reconcile",
        "heal",
        "mapping_drift",
        "triage",
        "prune",
    ]
    assert jobs["push"]["continuous"]
    assert jobs["push"]["trigger"] == "whenever there is work"
    assert (jobs["pull_order"]["trigger"], jobs["pull_order"]["next_run"]) == ("on request", None)
    assert (jobs["reconcile"]["cron"], jobs["reconcile"]["last_run"]) == ("0 2 * * *", None)
    assert jobs["reconcile"]["next_run"] == "2026-03-02T02:00:00+00:00"
    asked = await api("POST", f"{JOBS}/reconcile/run")
    assert (asked.status, asked.headers["Location"]) == (202, f"/api/v1/scheduler/runs/{asked.body['id']}")
    again = await api("POST", f"{JOBS}/reconcile/run")
    assert again.body["id"] == asked.body["id"]  # it waits already
    assert (asked.body["state"], asked.body["cause"]) == ("waiting", "request")

    async with api.store.transaction() as uow:
        [run] = await job_runs.take_waiting(uow, ["reconcile"], worker="host:1", ttl=15)
        await job_runs.finish(uow, run, JobState.DONE, result={"verified": 68})

    job = (await api("GET", f"{JOBS}/reconcile", role=Role.VIEWER)).body
    assert (job["last_run"]["state"], job["last_run"]["result"]) == ("done", {"verified": 68})
    assert (await api("GET", f"/scheduler/runs/{run.id}", role=Role.VIEWER)).body == job["last_run"]


async def test_times_are_changed_by_people_and_audited(api: Api) -> None:
    changed = await api("PUT", f"{JOBS}/pull_order/trigger", {"seconds": 60})
    assert (changed.body["trigger"], changed.body["next_run"]) == ("every 60 s", "2026-03-01T12:01:00+00:00")
    assert changed.body["changed_by"]
    paused = (await api("POST", f"{JOBS}/pull_order/pause")).body
    assert (paused["paused"], paused["next_run"], paused["trigger"]) == (True, None, "every 60 s")
    await api("POST", f"{JOBS}/pull_order/pause")
    assert not (await api("POST", f"{JOBS}/pull_order/resume")).body["paused"]
    cron = await api("PUT", f"{JOBS}/pull_order/trigger", {"cron": "30 2 * * *"})
    assert cron.body["trigger"] == "cron 30 2 * * * (UTC)"
    assert (await api("DELETE", f"{JOBS}/pull_order/trigger")).body["trigger"] == "on request"
    async with api.store.reader() as connection:
        entries = await journal.read(connection, "job", "pull_order")
    assert [entry.action for entry in reversed(entries)] == [
        "rescheduled", "paused", "resumed", "rescheduled", "rescheduled",
    ]  # fmt: skip
    assert {entry.actor for entry in entries} == {"ops of tests"}


async def test_what_cannot_be_is_refused_with_a_hint(api: Api) -> None:
    for body, field in (
        ({}, "seconds"),
        ({"seconds": 0.5}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"cron": "at two o'clock"}, "cron"),
        ({"seconds": 5, "cron": "* * * * *"}, "cron"),
    ):
        refused = await api("PUT", f"{JOBS}/prune/trigger", body)
        assert (refused.status, refused.body["field"]) == (422, field), body
    refused = await api("PUT", f"{JOBS}/push/trigger", {"seconds": 5})
    assert (refused.status, refused.body["hint"]) == (409, "It can be paused.")
    unknown = await api("POST", f"{JOBS}/nightly/run")
    assert (unknown.status, unknown.body["detail"]) == (404, "There is no job nightly.")
    assert unknown.body["hint"].startswith("Use one of push, pull_account,")
    off = await api("POST", f"{JOBS}/order_automation/run")
    assert "is off: it needs the setting CONNECTOR_ORDERS__AUTOMATION_SECONDS." in off.body["detail"]
    assert (await api("POST", f"{JOBS}/prune/run", role=Role.VIEWER)).status == 403
    assert (await api("GET", "/scheduler/runs/7")).status == 404
    for query in ({"state": "odd"}, {"since": "yesterday"}, {"before": "x"}, {"idle": "maybe"}, {"limit": "0"}):
        assert (await api("GET", "/scheduler/runs", params=query)).status == 400, query


async def test_runs_are_found_by_job_state_and_time_page_by_page(api: Api, clock: ManualClock) -> None:
    for number in range(5):
        clock.advance(60)
        async with api.store.transaction() as uow:
            run = await job_runs.begin(uow, "prune", uow.now, worker="host:1", ttl=15)
            assert run is not None
            result = {"runs": 1} if number % 2 else None
            await job_runs.finish(uow, run, JobState.DONE, result=result)
    async with api.store.transaction() as uow:
        await job_runs.record(
            uow, "push", JobState.FAILED, worker="host:1", started_at=uow.now, result={}, error="The org is away."
        )

    async def found(**query: str) -> list[int]:
        return [run["id"] for run in (await api("GET", "/scheduler/runs", params=query, role=Role.VIEWER)).body["runs"]]

    everything = await found()
    assert everything == sorted(everything, reverse=True)
    assert len(everything) == 6
    assert len(await found(job="prune")) == 5
    assert len(await found(job="prune", idle="false")) == 2
    assert len(await found(state="failed")) == 1
    assert len(await found(since=(clock.now() - timedelta(seconds=60)).isoformat())) == 3
    first = (await api("GET", "/scheduler/runs", params={"limit": "4"})).body
    second = (await api("GET", "/scheduler/runs", params={"limit": "4", "before": str(first["before"])})).body
    assert [run["id"] for run in (*first["runs"], *second["runs"])] == everything
    assert second["before"] is None


async def test_schedule_that_somebody_else_has_changed_is_left_alone(api: Api, clock: ManualClock) -> None:
    path = f"{JOBS}/prune"
    tag = (await api("GET", path)).headers["ETag"]
    assert (await api("GET", path, headers={"If-None-Match": tag})).status == 200  # its runs may be others
    changed = await api("PUT", f"{path}/trigger", {"seconds": 60}, headers={"If-Match": tag})
    assert (changed.status, changed.headers["ETag"] != tag) == (200, True)
    for method, body in (("PUT", {"seconds": 90}), ("DELETE", None)):
        refused = await api(method, f"{path}/trigger", body, headers={"If-Match": tag})
        assert (refused.status, refused.body["field"]) == (412, "If-Match")
    clock.advance(1)
    await api("POST", f"{path}/pause")
    assert (await api("DELETE", f"{path}/trigger", headers={"If-Match": changed.headers["ETag"]})).status == 412
    now = (await api("GET", path)).headers["ETag"]
    assert (await api("DELETE", f"{path}/trigger", headers={"If-Match": now})).status == 200


async def test_job_that_the_settings_turn_off_can_be_resumed(api: Api) -> None:
    """A restore pauses all jobs that send."""
    assert (await api("POST", f"{JOBS}/webhooks/resume")).status == 404
    async with api.store.transaction() as uow:
        await job_schedules.set_paused(uow, "webhooks", True, actor="restore")
    assert (await api("GET", "/status")).body["paused_jobs"][0]["name"] == "webhooks"
    assert (await api("POST", f"{JOBS}/webhooks/resume")).body["paused"] is False
    assert (await api("GET", "/status")).body["paused_jobs"] == []
