"""Calls, delays and runs are counted where they happen, once each."""

from __future__ import annotations

from connector.metrics import ORG_CALL_SECONDS, ORG_CALLS, PULL_DELAY, PUSH_DELAY
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
