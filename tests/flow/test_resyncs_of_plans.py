"""What the resync of an applied plan sends: what the plan affects, and whatever happened after the plan was begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update

from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.views import Applied, MappingPlan
from connector.model.change import EntityKind
from connector.model.resync import ResyncFilter
from connector.store import resyncs
from connector.store.mapping_tables import mapping_plans
from connector.store.queries import resync_selection
from connector.store.tables import links, products
from tests.flow.conftest import CUSTOMERS
from tests.flow.mapping_sides import Side, make_old
from tests.flow.test_mapping_plans import LEVEL, begin, plan
from tests.flow.test_resyncs import until, working

TIER = ("  Carrier__c: carrier\n", "  Carrier__c: customer.tier\n")


async def apply(side: Side, found: MappingPlan) -> tuple[Applied, list[str]]:
    """Apply the plan; also which orders its resync has chosen."""
    applied = await side.admin.apply_plan(found.id, Request(actor="ann"))
    async with side.service.store.reader() as connection:
        made = await resyncs.get(connection, applied.resyncs[0])
        assert made is not None
        assert made.entity is EntityKind.ORDER
        chosen = await resync_selection.list_keys(connection, made.entity, made.filter, after=None, limit=99)
        assert await resync_selection.count(connection, made.entity, made.filter) == made.total == len(chosen)
    return applied, chosen


async def work(side: Side, applied: Applied) -> None:
    """As the service does, until all of it is sent."""
    async with working(side):
        await until(side, applied.resyncs[0], lambda item: item.ended)
    await side.tick(2)


async def values(side: Side, field: str) -> Mapping[str, Any]:
    rows = await side.query(f"SELECT External_Key__c, {field} FROM Order")
    return {row["External_Key__c"]: row[field] for row in rows}


async def test_roll_back_that_was_planned_while_the_change_was_sent_sends_the_former_values(sides: Any) -> None:
    side = await sides()
    await begin(side)
    before = await values(side, "Service_Level__c")
    await make_old(side)
    applied, chosen = await apply(side, await plan(side, (LEVEL, f"{LEVEL}, values: level")))
    assert len(chosen) == len(before)
    back = await side.admin.plan_rollback(1, actor="ann")
    assert back.numbers.risk == "medium"
    [reason] = back.numbers.reasons
    assert reason.startswith("resync-1 has not ended: ")
    await work(side, applied)
    assert set((await values(side, "Service_Level__c")).values()) == {"Express", "Standard"}

    applied, _ = await apply(side, back)
    await work(side, applied)

    assert await values(side, "Service_Level__c") == before


async def test_resync_of_a_plan_takes_the_orders_of_what_was_changed_since_and_no_others(sides: Any) -> None:
    side = await sides()
    await begin(side)
    await make_old(side)
    found = await plan(side, TIER)
    assert found.numbers.entities[0].changed == 0
    assert (await apply(side, found))[1] == []
    found = await plan(side, (TIER[1], TIER[0]))
    gold = CUSTOMERS[1]
    await side.save(some_customers=[replace(gold, tier="gold")], some_products=[])
    assert (await apply(side, found))[1] == ["A-01"]
    found = await plan(side, TIER)
    applied, chosen = await apply(side, found)
    assert chosen == ["A-01"]
    await work(side, applied)
    assert {key for key, value in (await values(side, "Carrier__c")).items() if value == "gold"} == {"A-01"}

    await make_old(side)
    later = ResyncFilter(mapping_plan=(await plan(side, (TIER[1], TIER[0]))).id)
    async with side.service.store.transaction() as uow:
        line = update(links).where(links.c.entity == "line", links.c.parent == "A-03")
        await uow.connection.execute(line.values(synced_at=uow.now))
        chosen = await resync_selection.list_keys(uow.connection, EntityKind.ORDER, later, after=None, limit=99)
        assert chosen == ["A-01", "A-03"]  # the first one is what the plan affects
        await uow.connection.execute(update(products).values(updated_at=uow.now))
        assert await resync_selection.count(uow.connection, EntityKind.ORDER, later) == 6


async def test_everything_is_sent_if_the_plan_is_deleted(sides: Any) -> None:
    side = await sides()
    await begin(side, 2)
    await make_old(side)
    found = await plan(side, TIER)
    async with side.service.store.transaction() as uow:
        await uow.connection.execute(delete(mapping_plans).where(mapping_plans.c.id == found.id))
        chosen = ResyncFilter(mapping_plan=found.id)
        assert await resync_selection.count(uow.connection, EntityKind.ORDER, chosen) == 2


def test_filter_of_a_newer_release_chooses_more() -> None:
    moment = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
    chosen = ResyncFilter(keys=("A",), changed_since=moment, mapping_plan="p")
    assert ResyncFilter.read(chosen.as_document() | {"moon": "full"}) == chosen
