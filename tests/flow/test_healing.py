"""What a reconciliation found is healed by the owner of each field, and compared again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from connector.jobs.heal import HealingSummary
from connector.jobs.inbound_run import InboundRun
from connector.model.reconciliation import Healing, RecordState
from connector.model.stage import Stage
from connector.store import customers, links, orders, reconcile_runs
from tests.flow.conftest import CUSTOMERS, World
from tests.flow.test_pull import OwnedWorld, open_conflicts, order_here, owned
from tests.flow.test_push import an_order
from tests.flow.test_reconcile import EVERYTHING, begin, change_silently, found, reconcile, spoil

__all__ = ["owned"]  # a fixture


async def test_differences_are_healed_by_the_owner_of_each_field(world: World) -> None:
    await begin(world)
    await spoil(world)

    summary = await reconcile(world, heal=True)

    assert summary.healing is not None
    assert (summary.healing.differences, summary.healing.healed) == (12, 10)
    left = {(item.entity, item.key): item.state for item in summary.result.findings}
    assert left == {
        ("customer", "C-4"): RecordState.DELETED_IN_ORG,  # the policy is to report it
        ("customer", "C-7"): RecordState.DUPLICATE,
        ("customer", "C-99"): RecordState.MISSING_HERE,
    }
    [letter] = await world.dead_letters()
    assert (letter.key, letter.refusal.code) == ("C-7", "KEY_ON_ANOTHER_RECORD")
    assert summary.result.counts["customer"][RecordState.REFUSED] == 1
    assert (summary.result.verified, summary.result.total()) == (EVERYTHING - 1, EVERYTHING + 1)
    async with world.service.store.reader() as connection:
        [customer] = await customers.load(connection, ["C-1"])
        kept = await reconcile_runs.latest(connection, summary.org_id)
    assert customer.phone == "+49 251 1"
    rows = await world.query("SELECT External_Key__c, Name FROM Account WHERE External_Key__c IN ('C-3', 'C-6', 'C-8')")
    assert {row["External_Key__c"]: row["Name"] for row in rows} == {
        "C-3": "Renamed here", "C-6": "Käufer 6", "C-8": "Käufer 8",
    }  # fmt: skip
    order = await world.order("N-2")
    assert (order["Account"]["Name"], order["lines"]["N-2-1"]["Quantity"]) == ("Käufer 2", 13)
    assert set(order["lines"]) == {"N-2-1", "N-2-2", "N-2-3"}  # the rep's line has become one of ours
    assert (await world.order("N-1"))["Status"] == "Activated"
    assert kept is not None
    assert (kept.healed, kept.verified, kept.fields) == (10, EVERYTHING - 1, {})
    again = await reconcile(world, heal=True)
    assert again.healing is not None
    assert (again.healing.healed, again.writes) == (0, 0)


async def change_notes_silently(world: World, notes: str) -> None:
    """As `change_silently`, for the notes of the order N-1."""
    async with world.service.store.transaction() as uow:
        await orders.save(uow, [an_order("N-1", notes=notes)])
        uow._changed.clear()


@pytest.mark.parametrize(
    ("owner", "changed_there", "healing", "here", "there"),
    [
        ("salesforce", False, Healing.TAKE, "first", "first"),
        ("newest", False, Healing.PUSH, "ours", "ours"),
        ("ask", True, Healing.ASK, "ours", "theirs"),
    ],
)
async def test_owner_decides_where_a_change_here_was_not_sent(
    owned: OwnedWorld, owner: str, changed_there: bool, healing: Healing, here: str, there: str
) -> None:
    async with owned(owner) as world:
        await world.save([an_order("N-1", notes="first")])
        await world.push()
        if owner == "salesforce":  # it is never sent
            await world.change_in_org("Order", "N-1", Description="first")
        await world.service.pull()
        await change_notes_silently(world, "ours")
        if changed_there:
            await world.change_in_org("Order", "N-1", Description="theirs")

        [field] = found(await reconcile(world))["order", "N-1"].fields
        assert (field.field, field.owner, field.base, field.healing) == ("Description", owner, "first", healing)

        summary = await reconcile(world, heal=True)

        assert (await order_here(world)).header.notes == here
        assert (await world.order("N-1"))["Description"] == there
        assert summary.in_sync is not changed_there
        assert len(await open_conflicts(world)) == changed_there
        assert summary.result.counts["order"] == {RecordState.IN_CONFLICT if changed_there else RecordState.VERIFIED: 1}


async def test_line_that_was_removed_here_is_removed_in_the_org(world: World) -> None:
    await begin(world)
    async with world.service.store.transaction() as uow:
        order = an_order("N-2", customer="C-2", stage=Stage.PLACED)
        await orders.save(uow, [replace(order, lines=order.lines[:1])])
        uow._changed.clear()

    summary = await reconcile(world, heal=True)

    assert summary.healing is not None
    # With the line, the totals of its order differ as well.
    assert (summary.healing.differences, summary.healing.healed, summary.result.findings) == (2, 2, [])
    assert set((await world.order("N-2"))["lines"]) == {"N-2-1"}
    assert summary.result.counts["line"] == {RecordState.VERIFIED: 3}


async def test_healing_that_was_stopped_is_finished_by_a_push_and_a_pull(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(world)
    await change_silently(world.service.store, replace(CUSTOMERS[2], name="Renamed here"))
    await world.change_in_org("Account", "C-1", Phone="+49 251 1")

    async def stop(self: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(InboundRun, "intake", stop)
        with pytest.raises(asyncio.CancelledError):
            await reconcile(world, heal=True)

    summary = await reconcile(world)
    assert summary.result.counts["customer"] == {RecordState.VERIFIED: 6, RecordState.PENDING: 2}
    await world.service.pull()
    await world.push()
    assert (await reconcile(world)).result.verified == EVERYTHING


async def test_order_whose_links_were_lost_is_linked_again_and_merged(world: World) -> None:
    """As after a database was restored from a backup: what a rep changed meanwhile is not overwritten."""
    await begin(world)
    store, org_id = world.service.store, world.service.client.org_id
    async with store.transaction() as uow:
        await links.drop(uow, org_id, "order", ["N-2"])
        await links.drop_children(uow, org_id, "line", ["N-2"])
    await world.change_in_org("Order", "N-2", Description="call first", Tracking_Number__c="LOST")

    found_first = await reconcile(world)
    summary = await reconcile(world, heal=True)

    assert found(found_first)["order", "N-2"].state is RecordState.UNLINKED
    assert found_first.result.counts["line"] == {RecordState.VERIFIED: 2, RecordState.UNLINKED: 2}
    assert summary.healing == HealingSummary(differences=3, healed=3)
    assert (summary.result.verified, summary.result.findings) == (EVERYTHING, [])
    order = await world.order("N-2")
    [row] = await world.query("SELECT Tracking_Number__c FROM Order WHERE External_Key__c = 'N-2'")
    assert (order["Description"], row["Tracking_Number__c"]) == ("call first", None)
    assert (await order_here(world, "N-2")).header.notes == "call first"
    assert await world.count("Order") == 2
