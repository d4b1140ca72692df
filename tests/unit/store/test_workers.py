"""Workers report themselves, and are listed with what they hold."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from connector.jobs.worker_heartbeat import reported
from connector.model.worker import Worker
from connector.store import leases, orgs, workers
from connector.store.engine import Store
from tests.conftest import ManualClock

TTL = 15.0


def worker(store: Store, name: str, pid: int, *roles: str) -> Worker:
    now = store.clock.now()
    return Worker(
        id=name, host="there", pid=pid, roles=roles, engine="embedded", started_at=now, seen_at=now, alive=True
    )


async def listed(store: Store) -> list[Worker]:
    async with store.reader() as connection:
        return await workers.list_workers(connection, store.clock.now())


async def test_worker_is_listed_with_its_leases_until_it_is_dead_for_a_day(store: Store, clock: ManualClock) -> None:
    async with store.for_org("emea").transaction() as uow:
        await orgs.put(uow, "00D2", login_url="https://emea.example", instance_url="", is_active=True)
    async with store.transaction() as uow:
        await workers.report(uow, worker(store, "first", 7, "api", "worker"), ttl=TTL)
        await leases.acquire_many(uow, ["drain:10", "drain:2", "drain:catalog", "emea/drain:1"], "there:7:ab:cd", 60)
        await leases.acquire_many(uow, ["listen:00D2:/data/Our__chn"], "there:7:ef", 60)
        await leases.acquire_many(uow, ["listen:00D1:/data/Our__chn", "worker:there:7:ab"], "there:7:ef", 60)
        await leases.acquire_many(uow, ["drain:3"], "there:77:ab:cd", 60)  # of another process
    [found] = await listed(store)
    assert (found.alive, found.roles, found.partitions) == (True, ("api", "worker"), (2, 10))
    assert found.org_partitions == {"emea": (1,)}
    assert (found.sends_products, found.topics) == (True, ("/data/Our__chn",))
    assert found.org_topics == {"emea": ("/data/Our__chn",)}

    clock.advance(TTL + 1)
    async with store.transaction() as uow:
        await workers.report(uow, worker(store, "second", 8, "worker"), ttl=TTL)
    second, first = await listed(store)
    assert [(item.id, item.alive) for item in (second, first)] == [("second", True), ("first", False)]
    assert (first.partitions, first.topics) == ((), ())  # whoever takes over has them soon
    async with store.reader() as connection:
        assert await workers.count_alive_by_role(connection, clock.now()) == {"worker": 1}

    clock.advance(timedelta(days=1).total_seconds())
    async with store.transaction() as uow:
        await workers.report(uow, worker(store, "second", 8, "worker"), ttl=TTL)
    assert [item.id for item in await listed(store)] == ["second"]


async def test_process_reports_itself_while_it_runs(store: Store, clock: ManualClock) -> None:
    async with reported(store, "mine", roles=["worker"], ttl=TTL):
        [found] = await listed(store)
        assert (found.host, found.pid, found.alive) == (socket.gethostname(), os.getpid(), True)
    assert await listed(store) == []
