"""The jobs of a running service do what they say, and their runs tell it: with a real org."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from structlog.testing import capture_logs

from connector.jobs.job_runner import JobRunner
from connector.jobs.push_loop import PushLoop
from connector.log import configure
from connector.model.job_run import JobRun, JobState
from connector.process_roles import make_jobs
from connector.service import Services
from connector.settings.reconcile import ReconcileSettings
from connector.store import customers, job_runs, leases
from tests.flow.conftest import CUSTOMERS, PRODUCTS, Silent, World
from tests.flow.test_push import an_order


async def run(service: Services, name: str) -> JobRun:
    """Run a job as a scheduler does, and return its run."""
    [job] = [job for job in make_jobs(service) if job.name == name]
    async with service.store.transaction() as uow:
        asked = await job_runs.request(uow, name, actor="ann")
        [taken] = await job_runs.take_waiting(uow, [name], worker="host:1", ttl=30)
    await JobRunner(service.store, worker="host:1", ttl=30).run(job, taken)
    async with service.store.reader() as connection:
        found = await job_runs.get(connection, asked.id)
    assert found is not None
    return found


async def test_jobs_with_the_org_tell_what_they_came_to(world: World) -> None:
    service = world.service
    await world.save([an_order("N-1")])
    pushed = await run(service, "push")
    assert (pushed.state, pushed.error) == (JobState.DONE, None)
    others = len(CUSTOMERS) - 1  # the customer of the order is sent with it
    assert pushed.result["done"] == {"customer": others, "product": len(PRODUCTS), "order": 1}
    assert (await run(service, "push")).idle

    await world.change_in_org("Account", "C-1", Phone="+49 251 1")
    compared = await run(service, "reconcile")
    assert (compared.state, compared.result["differing"]) == (JobState.DONE, 1)
    pulled = await run(service, "pull_account")
    assert pulled.result["taken"] == {"Account.Phone": 1}
    compared = await run(service, "reconcile")
    assert (compared.idle, compared.result["differing"]) == (False, 0)
    assert compared.result["verified"] == compared.result["total"]

    assert (await run(service, "prune")).idle


async def test_comparison_begun_anew_waits_for_the_lease_of_the_dead_one(world: World) -> None:
    """Its process died, and its lease stands for a while. Waiting costs no call."""
    await world.save([an_order("N-1")])
    await world.push()
    await run(world.service, "reconcile")
    calls = len(world.org.org.usage.log)
    await run(world.service, "reconcile")
    alone = len(world.org.org.usage.log) - calls
    org_id = world.service.client.org_id
    assert await leases.acquire(world.service.store, f"reconcile:{org_id}", "dead:1:x", ttl=1.5) is not None
    calls = len(world.org.org.usage.log)
    compared = await run(world.service, "reconcile")
    assert (compared.state, compared.result["differing"]) == (JobState.DONE, 0)
    assert len(world.org.org.usage.log) - calls <= 2 * alone


async def test_reconcile_heals_if_the_settings_say_so(world: World) -> None:
    await world.save([an_order("N-1")])
    await world.push()
    await world.change_in_org("Account", "C-1", Phone="+49 251 1")
    settings = world.service.settings.model_copy(update={"reconcile": ReconcileSettings(heal=True)})
    inbound = replace(world.service.inbound_context, settings=settings)
    healing = replace(world.service, settings=settings, inbound_context=inbound)
    healed = await run(healing, "reconcile")
    assert (healed.result["differing"], healed.result["healed"]) == (0, 1)
    await world.change_in_org("Account", "C-1", Phone="+49 251 2")
    healed = await run(world.service, "heal")  # somebody asked for that, whatever the settings say
    assert (healed.result["differing"], healed.result["healed"]) == (0, 1)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    while not await condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def _true(value: bool) -> bool:
    return value


async def test_worker_sends_what_is_committed_at_once_and_keeps_a_run_of_it(world: World) -> None:
    service, stop = world.service, asyncio.Event()
    loop = PushLoop(
        service.store,
        lambda verify: service.push(Silent(), scheduled=True, verify=verify),
        worker="host:1",
        look_seconds=3600,  # only the commit wakes it
    )
    working = asyncio.create_task(loop.run(stop))
    try:
        async with asyncio.timeout(60):
            await until(lambda: _true(bool(service.store.on_captured)))
            await world.save([an_order("N-1")])
            await until(lambda: world.query("SELECT Id FROM Order"))
            async with service.store.transaction() as uow:
                [customer] = await customers.load(uow.connection, ["C-1"])
                await customers.save(uow, [replace(customer, phone="+49 251 3")])
            await until(lambda: world.query("SELECT Id FROM Account WHERE Phone = '+49 251 3'"))
            await loop.ring()  # all of that is sent, and its pushes have ended
            configure("INFO")
            with capture_logs() as logs:
                async with service.store.transaction() as uow:
                    await customers.save(uow, [replace(customer, name="Long " * 60)])
                await until(world.dead_letters)
                stop.set()
                await working
    finally:
        working.cancel()
    async with service.store.reader() as connection:
        runs = await job_runs.list_page(connection, job="push", limit=10)
    assert {run.state for run in runs} == {JobState.DONE}
    done: list[Any] = [run.result.get("done", {}) for run in runs]
    assert sum(kinds.get("order", 0) for kinds in done) == 1
    assert (runs[0].result["refused"], done[0]) == (1, {})  # nothing was sent, and it is told
    [line] = [line for line in logs if line["event"] == "pushed"]
    assert (line["refused"], line["log_level"]) == (1, "warning")
    assert service.store.on_captured == []
