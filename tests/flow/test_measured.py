"""Calls, delays and runs are counted where they happen, once each."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from connector.jobs.prune import prune
from connector.metrics import ORG_CALL_SECONDS, ORG_CALLS, PULL_DELAY, PUSH_DELAY
from connector.model.lane import Lane
from connector.model.stage import Stage
from connector.model.sync_delay import Delays, Direction, slot_of
from connector.store import sync_delays
from connector.store.budget_tables import sync_delays as sync_delays_table
from connector.store.tables import outbox
from tests.flow.conftest import CUSTOMERS, PRODUCTS, World
from tests.flow.test_push import an_order


def counts(result: str) -> int:
    return sum(number for (_, found), number in ORG_CALLS.values.items() if found == result)


def delays(*, of: str) -> int:
    """How many delays were measured of a kind of entity, or of an object of the org."""
    found = {**PUSH_DELAY.counts, **PULL_DELAY.counts}
    return sum(sum(numbers) for labels, numbers in found.items() if labels[0] == of)


async def test_push_and_pull_measure_every_call_and_every_change_once(world: World) -> None:
    answered, timed = counts("answered"), sum(ORG_CALL_SECONDS.counts.get(("answered",), []))
    sent = {kind: delays(of=kind) for kind in ("customer", "product", "order")}
    taken = delays(of="Order")
    await world.save([an_order("A-1"), an_order("A-2", customer="C-2")])
    summary = await world.push()
    assert summary.in_sync
    assert counts("answered") - answered >= summary.writes + summary.reads
    assert sum(ORG_CALL_SECONDS.counts["answered",]) - timed >= summary.writes
    assert {kind: delays(of=kind) - number for kind, number in sent.items()} == {
        "customer": len(CUSTOMERS), "product": len(PRODUCTS), "order": 2,
    }  # fmt: skip
    await world.service.pull()
    assert delays(of="Order") == taken  # our own writes are no changes of the org
    await world.change_in_org("Order", "A-1", Description="Ring twice")
    await world.service.pull()
    assert delays(of="Order") == taken + 1


async def test_delays_are_stored_by_stage_and_kind_without_those_of_resyncs(world: World) -> None:
    orders = [an_order("A-1", stage=Stage.PLACED), *(an_order(f"A-{number}") for number in range(2, 5))]
    await world.save(orders)
    store, row = world.service.store, outbox.c
    async with store.transaction() as uow:
        old = {"captured_at": uow.now - timedelta(seconds=40)}
        await uow.connection.execute(update(outbox).where(row.key == "A-1").values(old))
        await uow.connection.execute(update(outbox).where(row.key == "A-3").values(run="resync-1"))
        await uow.connection.execute(update(outbox).where(row.key == "A-4").values(lane=Lane.BACKFILL.value))
    assert (await world.push()).in_sync
    await world.change_in_org("Order", "A-1", Description="Ring twice")
    await world.service.pull()
    now = store.clock.now()
    async with store.reader() as connection:
        found = await sync_delays.load(connection, org_id := world.service.client.org_id, now)
        later = await sync_delays.load(connection, org_id, now + timedelta(hours=2))
    (placed, of_day), (shipped, _) = found[Direction.TO_ORG, "placed"], found[Direction.TO_ORG, "shipped"]
    assert placed == of_day
    assert (placed.changes, placed.p50, placed.p95) in {(1, 45, 45), (1, 60, 60)}
    assert shipped.changes == 1
    assert found[Direction.TO_ORG, "customer"][0].changes == len(CUSTOMERS)
    assert found[Direction.FROM_ORG, "Order"][0].changes == 1
    assert later[Direction.TO_ORG, "placed"][0] == Delays(changes=0, p50=None, p95=None)
    assert later[Direction.TO_ORG, "placed"][1] == of_day
    async with store.transaction() as uow:
        await uow.connection.execute(update(sync_delays_table).values(slot=slot_of(now - timedelta(days=3))))
    await prune(store, world.service.settings)
    async with store.reader() as connection:
        assert not (await connection.execute(select(sync_delays_table))).all()
