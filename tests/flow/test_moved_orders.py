"""Orders of ours that reps move to another account in the org."""

from __future__ import annotations

from connector.localorg.record_merge import merge_records
from connector.model.stage import Stage
from tests.flow.adoption_steps import record_of
from tests.flow.conftest import World
from tests.flow.test_deletions import in_org
from tests.flow.test_pull import NUMBER, begin, both_sides_rest, journal_of, order_here
from tests.flow.test_push import an_order
from tests.flow.test_rep_messages import message_on


async def test_order_that_was_moved_to_another_account_is_moved_back_and_the_rep_is_told(world: World) -> None:
    await begin(world, an_order(NUMBER, stage=Stage.PLACED), an_order("N-2", customer="C-2"))
    ours, other = await record_of(world, "Account", "C-1"), await record_of(world, "Account", "C-2")
    record = await world.change_in_org("Order", NUMBER, AccountId=other, Description="for the other one")
    before = world.writes

    summary = await world.service.pull()
    assert (await world.push()).in_sync

    assert summary.applied.restored == {"Order.AccountId": 1}
    assert world.writes == before + 1
    order = await order_here(world)
    assert (order.customer.number, order.header.notes) == ("C-1", "for the other one")
    [row] = await world.query(f"SELECT AccountId FROM Order WHERE Id = '{record}'")
    assert row["AccountId"] == ours
    assert str(await message_on(world, record)).startswith("Account ID was set back. The customer of an order does not")
    assert dict(await journal_of(world, "order", NUMBER))["restored"]["fields"] == ["AccountId"]
    await both_sides_rest(world)


async def test_order_that_follows_a_merge_of_accounts_is_not_moved_back(world: World) -> None:
    """The org itself has moved it."""
    await begin(world, an_order(NUMBER, stage=Stage.PLACED), an_order("N-2", customer="C-2"))
    loser, winner = await record_of(world, "Account", "C-1"), await record_of(world, "Account", "C-2")
    await in_org(world, merge_records, "Account", winner, {}, [loser])

    summary = await world.service.pull()

    assert summary.applied.restored == {}
    assert (await world.push()).in_sync
    rows = await world.query("SELECT AccountId FROM Order")
    assert {row["AccountId"] for row in rows} == {winner}
    await both_sides_rest(world)
