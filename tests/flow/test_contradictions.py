"""The org contradicts what we know of a record: it is read back, and the change is sent once more, not for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.flow.conftest import CUSTOMERS, World
from tests.flow.test_push import an_order


def contradict(world: World, sobject: str, code: str) -> None:
    world.org.org.faults.configure(
        {"rows": {"sobject": sobject, "code": code, "message": "said the org", "count": 999}}
    )


async def test_order_that_is_contradicted_twice_is_refused_by_the_same_push(world: World) -> None:
    await world.save([])
    await world.push()
    await world.save([an_order("A-1")])
    contradict(world, "Order", "DUPLICATE_VALUE")
    before = world.writes
    summary = await world.push()
    assert (world.writes - before, summary.waiting) == (2, 0)
    assert [(item.key, item.refusal.code) for item in await world.dead_letters()] == [("A-1", "DUPLICATE_VALUE")]
    await world.push()
    assert world.writes - before == 2


async def test_customer_whose_record_keeps_changing_is_postponed_by_each_push(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.jobs.push_rounds.LONGEST_WAIT_FOR_DUE", timedelta())
    await world.save([an_order("A-1")])
    await world.push()
    await world.save(some_customers=[replace(CUSTOMERS[0], city="Bonn")], some_products=[])
    contradict(world, "Account", "ENTITY_IS_DELETED")
    before = world.writes
    await world.push()
    assert world.writes - before == 2
    assert await world.due() == {}  # not now
