"""What operators are to be alerted to, as the database says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector.inbound.topic_cursor import state_name
from connector.jobs.alert_conditions import list_conditions
from connector.jobs.schedule import define_jobs
from connector.model.alert import AlertRule, Condition
from connector.model.api_budget import ApiLimit, BudgetState
from connector.model.change import Refusal
from connector.model.conflict import Conflict
from connector.model.deliveries import DeliveryLimit, TopicState
from connector.model.job_run import JobState
from connector.model.listening_state import ListeningState, TopicActivity
from connector.model.mapping_drift import Drift, DriftKind
from connector.model.reconciliation import Reconciliation, RecordState, RunState
from connector.model.worker import Worker
from connector.store import (
    api_calls,
    conflicts,
    cursors,
    deliveries,
    job_runs,
    mapping_drifts,
    orgs,
    outbox,
    reconcile_runs,
    workers,
)
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork
from tests.conftest import ManualClock
from tests.flow.test_alerts import ORG, TOPIC, due_orders, outage, settings
from tests.unit.store.samples import order, place, stock


async def holding(store: Store, **more: Any) -> list[Condition]:
    chosen = settings(**more)
    async with store.reader() as connection:
        return await list_conditions(connection, store.clock.now(), chosen, define_jobs(chosen))


async def test_changes_that_wait_and_dead_letters_are_told_but_not_what_an_outage_explains(
    store: Store, clock: ManualClock
) -> None:
    await stock(store)
    await place(store, order())
    clock.advance(29 * 60)
    assert await holding(store) == []
    clock.advance(120)
    [waits] = await holding(store)
    assert (waits.rule, waits.text) == (
        AlertRule.CHANGES_WAIT, "Changes that wait to be sent: 1, the oldest since 2026-03-01 12:00 UTC."
    )  # fmt: skip
    async with store.transaction() as uow:
        [change] = await due_orders(uow)
        refusal = Refusal(code="BAD", message="Quoting ann@shop.example.", field="Order.X", source=None, fix="Do it.")
        await outbox.refuse(uow, change, refusal)
    await outage(store)
    [refused] = await holding(store)
    assert (refused.rule, refused.text) == (
        AlertRule.DEAD_LETTERS, "The org refuses changes of the kind order: BAD, Order.X."
    )  # fmt: skip
    assert await holding(store, off="dead_letters, org_away") == []


async def test_every_other_rule_sees_its_own_cause_and_nothing_before(store: Store, clock: ManualClock) -> None:
    assert await holding(store) == []
    async with store.transaction() as uow:
        await _cause_everything(uow, clock)
    found = {item.rule: item for item in await holding(store)}
    assert set(found) == set(AlertRule) - {AlertRule.ORG_AWAY, AlertRule.CHANGES_WAIT, AlertRule.DEAD_LETTERS}
    assert (found[AlertRule.STREAM_BEHIND].subject, found[AlertRule.STREAM_BEHIND].hold) == (
        TOPIC, timedelta(minutes=15)
    )  # fmt: skip
    assert found[AlertRule.API_BUDGET].text.startswith(
        "New and changed orders wait. All calls pause, to save the API budget: 13,500"
    )
    assert "run out at 2026-03-01 1" in found[AlertRule.DELIVERIES].text
    assert found[AlertRule.JOB_FAILED].text == "The job prune failed: Refused *** here."
    assert found[AlertRule.RECONCILE].text == "2 of 3 entities differ from their records in the org."
    assert found[AlertRule.ROLE_FAILED].subject == "listener"
    assert (
        found[AlertRule.MAPPING_DRIFT].text
        == "A change in the org will break or breaks the mappings: Order.X__c is gone."
    )
    clock.advance(60)  # the process is dead: it says nothing of its roles
    assert AlertRule.ROLE_FAILED not in {item.rule for item in await holding(store)}


async def _cause_everything(uow: UnitOfWork, clock: ManualClock) -> None:
    await orgs.put(uow, ORG, login_url="", instance_url="", is_active=True)
    conflict = Conflict(
        id=0, org_id=ORG, entity="order", key="N-1", sobject="Order", field="Description", record_id="801", base=None,
        local="a", remote="b", opened_at=uow.now,
    )  # fmt: skip
    await conflicts.open_or_update(uow, [conflict])
    drift = Drift(level="error", kind=DriftKind.FIELD_GONE, sobject="Order", field="X__c", text="Order.X__c is gone.")
    await mapping_drifts.record(uow, ORG, [drift])
    state = ListeningState(activity=TopicActivity.WAITING, since=uow.now, why="It is gone.", fix="Deploy it.")
    await cursors.set_position(uow, ORG, state_name(TOPIC), state.as_document())
    limit = DeliveryLimit(used=20_000, allowed=25_000, observed_at=uow.now, counted_in_hour=0)
    await deliveries.put_state(uow, ORG, TopicState(topic=TOPIC, limit=limit))
    await deliveries.add(uow, ORG, TOPIC, 2_000)
    await api_calls.put_state(uow, ORG, BudgetState(limit=ApiLimit(used=13_500, allowed=15_000, observed_at=uow.now)))
    run = await job_runs.begin(uow, "prune", uow.now, worker="host:1", ttl=15)
    assert run is not None
    await job_runs.finish(uow, run, JobState.FAILED, error="Refused ann@shop.example here.")
    result = Reconciliation(limit=0)
    for number, kind in enumerate([RecordState.VERIFIED, RecordState.DRIFTED, RecordState.DRIFTED]):
        result.count("order", kind, f"N-{number}")
    number = await reconcile_runs.begin(uow, ORG, full=True, scope={})
    await reconcile_runs.finish(uow, number, result, state=RunState.FINISHED, calls=1)
    worker = Worker(
        id="w", host="h", pid=1, roles=("listener",), engine="embedded", started_at=uow.now, seen_at=uow.now, alive=True
    )
    await workers.report(uow, worker, ttl=15, troubles={"listener": "It ended by itself."})
