"""The metrics are those of the database, in a form that Prometheus reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from connector.model.change import EntityKind, Refusal
from connector.model.job_run import JobState
from connector.model.lane import Lane
from connector.model.role import Role
from connector.store import job_runs, outbox
from connector.web.metrics import CONTENT_TYPE
from tests.conftest import ManualClock
from tests.web.conftest import ORDER, Api


async def scrape(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    token = api.secrets[Role.VIEWER]
    async with api.client.get("/metrics", headers={"Authorization": f"Bearer {token}"}) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, CONTENT_TYPE)
        text = await response.text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**names: str) -> frozenset[tuple[str, str]]:
    return frozenset(names.items())


async def test_metrics_tell_what_waits_and_for_how_long(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await api("POST", "/orders", ORDER | {"number": number})
        clock.advance(60)
    async with api.store.transaction() as uow:
        [refused] = [
            change
            for change in await outbox.list_due(
                uow.connection, entity=EntityKind.ORDER, partitions={0}, of=1, now=uow.now, limit=10
            )
            if change.key == "W-1"
        ]
        refusal = Refusal(code="X", message="No.", field=None, source=None, fix="Do.")
        await outbox.refuse(uow, refused, refusal)
        run = await job_runs.begin(uow, "prune", uow.now, worker="host:1", ttl=15)
        assert run is not None
    clock.advance(2)
    async with api.store.transaction() as uow:
        await job_runs.finish(uow, run, JobState.FAILED, error="No.")
    clock.advance(30)

    values = await scrape(api)

    new = labels(entity="order", lane=Lane.NEW.name.lower())
    assert values["connector_outbox_changes", new] == 2
    assert values["connector_outbox_oldest_seconds", new] == 60 + 60 + 32
    assert values["connector_dead_letters", labels(entity="order")] == 1
    assert values["connector_dead_letters", labels(entity="customer")] == 0
    assert values["connector_orders", labels(stage="placed")] == 3
    assert values["connector_org_outage", labels()] == 0
    assert values["connector_conflicts_open", labels()] == 0
    assert values["connector_job_failed", labels(job="prune")] == 1
    assert values["connector_job_run_seconds", labels(job="prune")] == 2
    assert values["connector_job_ended_seconds", labels(job="prune")] == 30
    assert values["process_resident_memory_bytes", labels()] > 1 << 20


async def test_metrics_need_a_token(api: Api) -> None:
    async with api.client.get("/metrics") as response:
        assert response.status == 401
