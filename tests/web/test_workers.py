"""The processes of the service over HTTP."""

from __future__ import annotations

from connector.model.role import Role
from connector.model.worker import Worker
from connector.store import leases, workers
from tests.web.conftest import Api


async def test_workers_are_listed_with_what_they_hold(api: Api) -> None:
    assert (await api("GET", "/workers", role=Role.VIEWER)).body == {"workers": []}
    now = api.store.clock.now()
    worker = Worker(
        id="there:7:ab", host="there", pid=7, roles=("listener", "worker"), engine="embedded", started_at=now,
        seen_at=now, alive=True,
    )  # fmt: skip
    async with api.store.transaction() as uow:
        await workers.report(uow, worker, ttl=15)
        await leases.acquire_many(uow, ["drain:3", "listen:00D:/event/Order_Action__e"], "there:7:cd", 15)
    [found] = (await api("GET", "/workers", role=Role.VIEWER)).body["workers"]
    assert (found["host"], found["pid"], found["alive"]) == ("there", 7, True)
    assert (found["partitions"], found["topics"]) == ([3], ["/event/Order_Action__e"])
    assert (await api("GET", "/status", role=Role.VIEWER)).body["workers"] == {"listener": 1, "worker": 1}
