"""The metrics are those of the database, in a form that Prometheus reads."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from connector import metrics
from connector.inbound.topic_cursor import state_name
from connector.model.api_budget import ApiLimit, BudgetState
from connector.model.change import EntityKind, Refusal
from connector.model.job_run import JobState
from connector.model.lane import Lane
from connector.model.listening_state import ListeningState, TopicActivity
from connector.model.reconciliation import Reconciliation, RunState
from connector.model.role import Role
from connector.store import api_calls, cursors, job_runs, orgs, outbox, reconcile_runs
from connector.web.metrics import CONTENT_TYPE
from tests.conftest import ManualClock
from tests.unit.deploy.test_monitoring import expressions
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

    ours = {name for _, its in values for name, _ in its}
    ours |= {name for metric in (*metrics.COUNTERS, *metrics.HISTOGRAMS) for name in metric.labels}
    assert not ours & {"job", "instance"}  # Prometheus sets these of every scrape
    new = labels(entity="order", lane=Lane.NEW.name.lower())
    assert values["connector_outbox_changes", new] == 2
    assert values["connector_outbox_oldest_seconds", new] == 60 + 60 + 32
    assert values["connector_dead_letters", labels(entity="order")] == 1
    assert values["connector_dead_letters", labels(entity="customer")] == 0
    assert values["connector_orders", labels(stage="placed")] == 3
    assert values["connector_org_outage", labels()] == 0
    assert values["connector_conflicts_open", labels()] == 0
    assert values["connector_job_failed", labels(name="prune")] == 1
    assert values["connector_job_run_seconds", labels(name="prune")] == 2
    assert values["connector_job_ended_seconds", labels(name="prune")] == 30
    assert values["process_resident_memory_bytes", labels()] > 1 << 20


async def test_dashboard_and_alert_rules_name_metrics_that_exist(api: Api) -> None:
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        state = ListeningState(activity=TopicActivity.LISTENING, since=uow.now)
        await cursors.set_position(uow, "00D", state_name("/data/T"), state.as_document())
        await cursors.set_position(uow, "00D", cursors.events_of("/data/T"), {"at": uow.now.isoformat()})
        limit = ApiLimit(used=1, allowed=15_000, observed_at=uow.now)
        await api_calls.put_state(uow, "00D", BudgetState(limit=limit))
        run = await reconcile_runs.begin(uow, "00D", full=True, scope={})
        await reconcile_runs.finish(uow, run, Reconciliation(limit=0), state=RunState.FINISHED, calls=1)
    token = api.secrets[Role.VIEWER]
    async with api.client.get("/metrics", headers={"Authorization": f"Bearer {token}"}) as response:
        families = list(text_string_to_metric_families(await response.text()))
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    exist = {family.name + suffix for family in families for suffix in suffixes.get(family.type, [""])}
    named = {name for text in expressions() for name in re.findall(r"\b(?:connector|process)_\w+", text)}
    assert len(named) > 25
    assert named <= exist
    values = await scrape(api)
    assert values["connector_stream_up", labels(topic="/data/T")] == 0  # no process listens
    assert values["connector_stream_position_seconds", labels(topic="/data/T")] == 0
    assert values["connector_api_budget_left", labels()] == 15_000 - 1_500 - 1
    assert values["connector_api_lane_paused", labels(lane="backfill")] == 0
    assert values["connector_waiting", labels(stage="send")] == 0
    assert values["connector_http_request_seconds_count", labels(method="GET", status="200")] >= 1


async def test_metrics_need_a_token(api: Api) -> None:
    async with api.client.get("/metrics") as response:
        assert response.status == 401
