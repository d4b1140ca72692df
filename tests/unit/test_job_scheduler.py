"""Several schedulers on one database: each slot is run once, and what a dead one left is begun anew."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from connector.errors import ConnectorError
from connector.jobs import job_runner
from connector.jobs.job_runner import JobRunner
from connector.jobs.schedule import Job, JobDefinition, Result
from connector.model.job_run import JobRun, JobState, JobTrigger, RunCause
from connector.store import job_runs, job_schedules
from connector.store.engine import Store
from scheduler import JobScheduler

PATIENCE = 30
LOOK = 0.02


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """With the real time: the clock of APScheduler is real."""
    opened = Store.open(database_url)
    yield opened
    await opened.close()


def job(name: str, run: Callable[[], Awaitable[Result]], *, seconds: float | None = 0.05) -> Job:
    trigger = None if seconds is None else JobTrigger(seconds=seconds)
    return Job(definition=JobDefinition(name=name, summary=name, trigger=trigger), run=run)


async def nothing() -> Result:
    return {}


@asynccontextmanager
async def scheduling(store: Store, *jobs: Job, worker: str = "one") -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    scheduler = JobScheduler(jobs, JobRunner(store, worker=worker, ttl=5), watch_seconds=LOOK)
    running = asyncio.create_task(scheduler.run(stop))
    try:
        async with asyncio.timeout(PATIENCE):
            yield running
            stop.set()
            with suppress(asyncio.CancelledError):
                await running
    finally:
        running.cancel()


async def runs_of(store: Store, name: str) -> list[JobRun]:
    async with store.reader() as connection:
        return (await job_runs.list_page(connection, job=name, limit=1000))[::-1]


async def ended(store: Store, name: str, count: int, state: JobState = JobState.DONE) -> list[JobRun]:
    while True:
        runs = [run for run in await runs_of(store, name) if run.state is state]
        if len(runs) >= count:
            return runs
        await asyncio.sleep(LOOK)


async def count_once_quiet(store: Store, name: str) -> int:
    """The number of runs, once none has begun for several periods; the patience of the scheduling ends the wait."""
    counts = [-1, len(await runs_of(store, name))]
    while counts[-1] != counts[-2]:
        await asyncio.sleep(0.3)
        counts.append(len(await runs_of(store, name)))
    return counts[-1]


async def _until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - what the scheduler does has no event
        await asyncio.sleep(LOOK)


async def test_three_schedulers_run_each_slot_once_and_what_is_asked_for_once(store: Store, database_url: str) -> None:
    did: Counter[str] = Counter()
    at_work = 0

    def counting(worker: str) -> Callable[[], Awaitable[Result]]:
        async def work() -> Result:
            nonlocal at_work
            did[worker] += 1
            at_work += worker in "abc"
            assert at_work <= 1  # else the run fails
            await asyncio.sleep(0.01)
            at_work -= worker in "abc"
            return {"number": sum(did.values())}

        return work

    others = [Store.open(database_url) for _ in range(2)]
    stores = [store, *others]
    async with (
        scheduling(stores[0], job("work", counting("a")), job("asked", counting("x"), seconds=None), worker="a"),
        scheduling(stores[1], job("work", counting("b")), job("asked", counting("y"), seconds=None), worker="b"),
        scheduling(stores[2], job("work", counting("c")), job("asked", counting("z"), seconds=None), worker="c"),
    ):
        async with stores[0].transaction() as uow:
            await job_runs.request(uow, "asked", actor="ann")
        await ended(stores[0], "work", 12)
        await ended(stores[0], "asked", 1)
    done = await runs_of(stores[0], "work")
    slots = [run.slot for run in done]
    assert len(slots) == len(set(slots)) == did["a"] + did["b"] + did["c"]
    assert {run.state for run in done} == {JobState.DONE}
    [asked] = await runs_of(stores[0], "asked")
    assert (asked.actor, asked.cause, asked.slot) == ("ann", RunCause.REQUEST, None)
    assert did["x"] + did["y"] + did["z"] == 1
    for other in others:
        await other.close()


async def test_jobs_run_one_at_a_time_also_if_somebody_asks_and_concurrent_ones_do_not_wait(store: Store) -> None:
    at_work: list[str] = []
    overlaps: list[list[str]] = []
    aside = asyncio.Event()

    def working(name: str) -> Callable[[], Awaitable[Result]]:
        async def work() -> Result:
            at_work.append(name)
            if len(at_work) > 1:
                overlaps.append(list(at_work))
            await asyncio.sleep(0.01)
            await aside.wait()  # the concurrent job is begun meanwhile
            at_work.remove(name)
            return {"did": name}

        return work

    async def concurrent() -> Result:
        aside.set()
        return {}

    beside = replace(job("beside", concurrent, seconds=None), concurrent=True)
    one_at_a_time = [job("a", working("a")), job("b", working("b"))]
    asked = [job(name, working(name), seconds=None) for name in ("c", "d")]
    async with scheduling(store, *one_at_a_time, *asked, beside):
        await _until(lambda: bool(at_work))
        async with store.transaction() as uow:
            for name in ("c", "d", "beside"):
                await job_runs.request(uow, name, actor="ann")
        for name in ("a", "b", "c", "d", "beside"):
            await ended(store, name, 1)
    assert overlaps == []


async def test_run_of_a_dead_process_is_begun_anew_and_a_frozen_one_records_nothing(store: Store) -> None:
    async with store.transaction() as uow:
        dead = await job_runs.begin(uow, "work", uow.now, worker="dead", ttl=0.05)
    assert dead is not None
    async with scheduling(store, job("work", nothing, seconds=None), worker="other"):
        await ended(store, "work", 1)
    first, second = await runs_of(store, "work")
    assert (first.state, second.state) == (JobState.INTERRUPTED, JobState.DONE)
    assert (second.cause, second.attempt, second.worker) == (RunCause.RESTART, 2, "other")
    async with store.transaction() as uow:  # the process was only frozen, and wakes
        assert not await job_runs.renew(uow, dead, ttl=5)
        assert not await job_runs.finish(uow, dead, JobState.DONE, result={"late": True})
    assert (await runs_of(store, "work"))[0] == first


async def test_stopped_scheduler_lets_runs_end_and_a_canceled_one_leaves_them_to_others(store: Store) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def slow() -> Result:
        began.set()
        await release.wait()
        return {"slow": 1}

    async with store.transaction() as uow:
        await job_runs.request(uow, "work", actor="ann")
    async with scheduling(store, job("work", slow, seconds=None)):
        await began.wait()
        asyncio.get_running_loop().call_later(0.1, release.set)
    [run] = await runs_of(store, "work")
    assert (run.state, run.result) == (JobState.DONE, {"slow": 1})

    began.clear()
    release.clear()
    async with store.transaction() as uow:
        await job_runs.request(uow, "work", actor="ann")
    async with scheduling(store, job("work", slow, seconds=None)) as running:
        await began.wait()
        running.cancel()
    _, stopped, waiting = await runs_of(store, "work")
    assert (stopped.state, stopped.error) == (JobState.INTERRUPTED, "The service was stopped.")
    assert (waiting.state, waiting.cause, waiting.actor) == (JobState.WAITING, RunCause.RESTART, "ann")
    release.set()
    async with scheduling(store, job("work", slow, seconds=None)):
        await ended(store, "work", 2)


async def test_failures_pauses_and_other_times(store: Store) -> None:
    fails = True

    async def work() -> Result:
        if fails:
            raise ConnectorError("The shop is closed.", hint="Open it.")
        return {}

    with structlog.testing.capture_logs() as lines:
        async with scheduling(store, job("work", work)):
            failed = await ended(store, "work", 3, JobState.FAILED)
            fails = False
            await ended(store, "work", 1)
            async with store.transaction() as uow:
                assert await job_schedules.set_paused(uow, "work", True, actor="ann")
            count = await count_once_quiet(store, "work")
            async with store.transaction() as uow:
                await job_schedules.set_trigger(uow, "work", JobTrigger(seconds=0.11), actor="ann")
                await job_schedules.set_paused(uow, "work", False, actor="ann")
            await ended(store, "work", count)
    assert (failed[0].error, failed[0].fix) == ("The shop is closed.", "Open it.")
    assert [line["error"] for line in lines if line["event"] == "job failed"] == ["The shop is closed."]
    later = [run.slot for run in await runs_of(store, "work") if run.state is JobState.DONE and run.slot is not None]
    assert any((slot.timestamp() / 0.11) % 1 < 0.01 or (slot.timestamp() / 0.11) % 1 > 0.99 for slot in later[-2:])


async def test_long_run_is_renewed_and_a_lost_one_is_canceled(store: Store, database_url: str) -> None:
    ended_by, other = list[str](), Store.open(database_url)

    async def slow() -> Result:
        try:
            await asyncio.sleep(2.2)  # longer than a run lives without a sign
        except asyncio.CancelledError:
            ended_by.append("cancel")
            raise
        ended_by.append("itself")
        return {"slow": 1}

    async with store.transaction() as uow:
        await job_runs.request(uow, "work", actor="ann")
        [run] = await job_runs.take_waiting(uow, ["work"], worker="slow", ttl=1.5)
    async with scheduling(other, job("other", nothing, seconds=None), worker="watching"):
        await JobRunner(store, worker="slow", ttl=1.5).run(job("work", slow, seconds=None), run)
    [done] = await runs_of(store, "work")
    assert (done.state, ended_by) == (JobState.DONE, ["itself"])

    async with store.transaction() as uow:
        await job_runs.request(uow, "work", actor="ann")
        [run] = await job_runs.take_waiting(uow, ["work"], worker="slow", ttl=1.5)
    async with store.transaction() as uow:  # as if it had been frozen for so long that others held it for dead
        await job_runs.finish(uow, run, JobState.INTERRUPTED)
    await JobRunner(store, worker="slow", ttl=1.5).run(job("work", slow, seconds=None), run)
    assert ended_by == ["itself", "cancel"]
    assert [item.state for item in await runs_of(store, "work")] == [JobState.DONE, JobState.INTERRUPTED]
    await other.close()


async def test_run_that_hangs_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runner, "LONGEST_RUN", timedelta(seconds=0.05))

    async def hang() -> Result:
        await asyncio.Event().wait()
        return {}

    async with store.transaction() as uow:
        await job_runs.request(uow, "work", actor="ann")
        [run] = await job_runs.take_waiting(uow, ["work"], worker="one", ttl=5)
    await JobRunner(store, worker="one", ttl=5).run(job("work", hang, seconds=None), run)
    [ended_run] = await runs_of(store, "work")
    assert ended_run.state is JobState.FAILED
    assert (ended_run.error or "").startswith("It took longer than ")


async def test_what_no_database_stores_is_replaced_in_the_record_of_a_run(store: Store) -> None:
    async def fail() -> Result:
        raise ConnectorError("half a character: \ud800, and NUL: \x00", hint="Do.\x00")

    async def tell() -> Result:
        return {"text": "NUL: \x00"}

    async with scheduling(store, job("fail", fail, seconds=None), job("tell", tell, seconds=None)):
        async with store.transaction() as uow:
            await job_runs.request(uow, "fail", actor="ann")
            await job_runs.request(uow, "tell", actor="ann")
        [failed] = await ended(store, "fail", 1, JobState.FAILED)
        [told] = await ended(store, "tell", 1)
    assert (failed.error, failed.fix) == ("half a character: \ufffd, and NUL: \ufffd", "Do.\ufffd")
    assert told.result == {"text": "NUL: \ufffd"}


async def test_times_that_a_person_gave_a_job_on_request_end_with_them(store: Store) -> None:
    async with scheduling(store, job("work", nothing, seconds=None)):
        async with store.transaction() as uow:
            await job_schedules.set_trigger(uow, "work", JobTrigger(seconds=0.05), actor="ann")
        await ended(store, "work", 2)
        async with store.transaction() as uow:
            await job_schedules.set_trigger(uow, "work", None, actor="ann")
        for _ in range(20):  # one that was begun before may still be stored
            count = len(await runs_of(store, "work"))
            await asyncio.sleep(0.3)
            if len(await runs_of(store, "work")) == count:
                break
        await asyncio.sleep(0.3)
        assert len(await runs_of(store, "work")) == count


async def test_a_nightly_slot_that_nobody_ran_is_run_at_the_next_start(store: Store) -> None:
    nightly = Job(
        definition=JobDefinition(name="nightly", summary="", trigger=JobTrigger(cron="* * * * *")), run=nothing
    )
    async with scheduling(store, nightly):
        await asyncio.sleep(3 * LOOK)
    assert all(run.slot is not None and run.created_at >= run.slot for run in await runs_of(store, "nightly"))
    first = len(await runs_of(store, "nightly"))  # a minute may have ended meanwhile
    async with store.transaction() as uow:
        old = await job_runs.begin(uow, "nightly", uow.now.replace(year=uow.now.year - 1), worker="x", ttl=5)
        assert old is not None
        await job_runs.finish(uow, old, JobState.DONE)
    await _age(store, old.id)
    async with store.transaction() as uow:
        await job_schedules.set_paused(uow, "nightly", True, actor="ann")
    async with scheduling(store, nightly):
        await asyncio.sleep(3 * LOOK)
    assert len(await runs_of(store, "nightly")) == first + 1
    async with store.transaction() as uow:
        await job_schedules.set_paused(uow, "nightly", False, actor="ann")
    async with scheduling(store, nightly):
        await ended(store, "nightly", first + 2)
    async with scheduling(store, nightly):
        await asyncio.sleep(3 * LOOK)
    slots = [run.slot for run in await runs_of(store, "nightly")]
    assert len(slots) == len(set(slots))


async def _age(store: Store, number: int) -> None:
    from sqlalchemy import text

    async with store.transaction() as uow:
        moved = "UPDATE job_runs SET created_at = slot WHERE id = :id"
        await uow.connection.execute(text(moved), {"id": number})
