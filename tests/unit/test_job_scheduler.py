"""The clock: a job that waits for somebody else's server holds up no other, and is let finish at the end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from connector.errors import ConnectorError
from connector.jobs.push import PushSummary
from connector.jobs.schedule import Job, make_jobs
from connector.policies import ReconcileSettings
from connector.store.outages import Outage
from scheduler import JobScheduler, OutageLog, trigger_of

PATIENCE = 30


async def nothing() -> None: ...


async def test_concurrent_job_delays_no_other_job_and_finishes_at_shutdown() -> None:
    waiting, pushed, release, finished = (asyncio.Event() for _ in range(4))

    async def push() -> None:
        pushed.set()

    async def deliver() -> None:
        waiting.set()
        await release.wait()
        finished.set()

    stop = asyncio.Event()
    catalog = [
        Job(name="push", seconds=0.01, run=push),
        Job(name="notifications", seconds=0.01, run=deliver, concurrent=True),
    ]
    running = asyncio.create_task(JobScheduler(catalog).until(stop))
    async with asyncio.timeout(PATIENCE):
        await waiting.wait()
        pushed.clear()
        await pushed.wait()
        stop.set()
        await asyncio.sleep(0)
        assert not running.done()
        release.set()
        await running
    assert finished.is_set()


async def test_run_longer_than_its_interval_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Plain lines of a library among our own would not be JSON."""
    came, started, release, stop = [0], asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def push() -> None:
        started.set()
        await release.wait()

    async def other() -> None:
        came[0] += 1
        if came[0] == 20:
            release.set()
            stop.set()

    catalog = [
        Job(name="push", seconds=0.01, run=push),
        Job(name="notifications", seconds=0.01, run=other, concurrent=True),
    ]
    async with asyncio.timeout(PATIENCE):
        await JobScheduler(catalog).until(stop)
    assert started.is_set()
    assert [record.getMessage() for record in caplog.records] == []


def test_notifications_are_a_job_only_if_there_is_a_transport() -> None:
    def names(deliver: object) -> list[tuple[str, bool]]:
        seconds = {"push_seconds": 1, "automation_seconds": 0, "notification_seconds": 5}
        found = make_jobs(push=nothing, automation=nothing, notifications=deliver, **seconds)  # type: ignore[arg-type]
        return [(job.name, job.concurrent) for job in found]

    assert names(None) == [("push", False)]
    assert names(nothing) == [("push", False), ("notifications", True)]


def test_reconciliation_is_a_job_once_a_day_unless_it_is_off() -> None:
    def jobs(hour: int | None) -> list[Job]:
        seconds = {"push_seconds": 1, "automation_seconds": 0, "notification_seconds": 5}
        given: dict[str, Any] = {"notifications": None, "reconcile": nothing, "reconcile_hour": hour, **seconds}
        return make_jobs(push=nothing, automation=nothing, **given)

    assert [job.name for job in jobs(None)] == ["push"]
    [_, nightly] = jobs(0)
    assert (nightly.name, nightly.hour, nightly.concurrent) == ("reconcile", 0, True)
    trigger = trigger_of(nightly)
    evening = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
    assert trigger.get_next_fire_time(None, evening) == datetime(2026, 3, 2, tzinfo=UTC)
    assert ReconcileSettings(hour="off").nightly_hour is None
    assert ReconcileSettings(hour="07").nightly_hour == 7


async def test_repeated_failure_of_a_job_is_logged_once() -> None:
    came, stop = [0], asyncio.Event()

    async def push() -> None:
        came[0] += 1
        if came[0] == 12:
            stop.set()
        if came[0] == 6:
            return
        raise ConnectorError("one" if came[0] < 4 else "another")

    with structlog.testing.capture_logs() as lines:
        async with asyncio.timeout(PATIENCE):
            await JobScheduler([Job(name="push", seconds=0.01, run=push)]).until(stop)
    assert [line["error"] for line in lines if line["event"] == "job failed"] == ["one", "another", "another"]


def test_outage_is_logged_when_it_begins_changes_its_code_and_ends() -> None:
    def summary(code: str | None) -> PushSummary:
        if code is None:
            return PushSummary()
        now = datetime(2026, 3, 1, tzinfo=UTC)
        return PushSummary(
            outage=Outage(code=code, message="No.", fix="Do.", detail="", since=now, attempts=1, next_attempt_at=now)
        )

    log = OutageLog()
    with structlog.testing.capture_logs() as lines:
        for code in (None, "A", "A", "A", "B", "B", None, None, "A"):
            log.tell(summary(code))
    told = [(line["event"], line["code"]) for line in lines]
    assert told == [("org_outage", "A"), ("org_outage", "B"), ("org_outage_over", "B"), ("org_outage", "A")]
