"""Fields that both sides may change: a push looks at the org before it sends one."""

from __future__ import annotations

import pytest

from connector.cli.progress import NullProgress
from connector.errors import StoreError
from connector.jobs.resync import make_due
from connector.model.change import EntityKind
from connector.model.events import ChangeOrder, PlaceHold
from connector.model.holds import Hold
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.outbound.outcomes import Outcomes
from connector.outbound.repository import SyncRepository
from connector.salesforce.client import SalesforceClient
from tests.flow.conftest import World
from tests.flow.test_pull import (
    NUMBER,
    OwnedWorld,
    begin,
    both_sides_rest,
    change_notes,
    notes_in_org,
    open_conflicts,
    order_here,
    owned,
)
from tests.flow.test_push import an_order

__all__ = ["owned"]  # a fixture


async def test_push_before_the_poll_keeps_the_later_change_of_the_org(world: World) -> None:
    await begin(world)
    await change_notes(world, "ours")
    await world.change_in_org("Order", NUMBER, Description="theirs, later")

    summary = await world.push()

    assert summary.stats.changed_in_org == 1
    assert ((await order_here(world)).header.notes, await notes_in_org(world)) == ("theirs, later", "theirs, later")
    await both_sides_rest(world)


async def test_change_here_after_our_write_of_another_field_is_later_than_what_a_rep_wrote_before_it(
    world: World,
) -> None:
    await begin(world, an_order(NUMBER, stage=Stage.PLACED))
    await world.change_in_org("Order", NUMBER, Description="theirs")
    hold = PlaceHold(hold=Hold.MANUAL)
    await world.service.orders.execute(OrderCommand(number=NUMBER, event=hold), actor="clerk")
    await world.service.push(NullProgress())  # the record has the time of this write now
    await change_notes(world, "ours, later")

    await world.push()
    await world.service.pull()

    assert ((await order_here(world)).header.notes, await notes_in_org(world)) == ("ours, later", "ours, later")
    await both_sides_rest(world)


async def test_push_before_the_poll_asks_where_a_person_decides(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        await begin(world, an_order(NUMBER, stage=Stage.PLACED))
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")
        hold = PlaceHold(hold=Hold.MANUAL)
        await world.service.orders.execute(OrderCommand(number=NUMBER, event=hold), actor="clerk")

        await world.push()  # the hold is sent, and the last to modify the record is our user

        [conflict] = await open_conflicts(world)
        assert (conflict.base, conflict.local, conflict.remote) == (None, "ours", "theirs")
        assert (conflict.remote_changed_by or "").startswith("Rep ")
        assert ((await order_here(world)).header.notes, await notes_in_org(world)) == ("ours", "theirs")


async def test_only_a_change_of_a_shared_field_costs_a_look(world: World) -> None:
    await begin(world, an_order(NUMBER, stage=Stage.PLACED))
    await world.service.orders.execute(OrderCommand(number=NUMBER, event=PlaceHold(hold=Hold.MANUAL)), actor="clerk")
    assert (await world.push()).reads == 0

    await change_notes(world, "ours")
    summary = await world.push()

    assert (summary.reads, summary.stats.changed_in_org) == (1, 0)
    assert await notes_in_org(world) == "ours"


async def test_field_of_an_order_that_has_lost_a_line_is_not_sent_over_a_rep(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        await begin(world, an_order(NUMBER, stage=Stage.PLACED))
        await world.change_in_org("OrderItem", f"{NUMBER}-1", Quantity=5)
        await world.service.pull()  # its total is due
        [line, _] = await world.query("SELECT Id FROM OrderItem ORDER BY External_Key__c")
        assert world.org.org.dml.delete([line["Id"]])[0].error is None
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")

        await world.push()  # the line is refused, so everything of the order is read back

        [conflict] = await open_conflicts(world)
        assert (conflict.base, conflict.local, conflict.remote) == (None, "ours", "theirs")
        assert await notes_in_org(world) == "theirs"


async def test_field_in_conflict_stays_in_conflict_when_its_order_is_read_back(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        others = an_order("N-2", stage=Stage.PLACED)
        await begin(world, an_order(NUMBER, stage=Stage.PLACED), others)
        await change_notes(world, "ours")
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await world.service.pull()
        before = await open_conflicts(world)
        await make_due(world.service.store, EntityKind.ORDER, [NUMBER, "N-2"])

        await world.push()
        await world.change_in_org("Order", NUMBER, PoNumber="PO-7")
        await world.service.pull()
        await world.push()

        [conflict] = await open_conflicts(world)
        assert [(item.id, item.local, item.remote) for item in before] == [(conflict.id, "ours", "theirs")]
        assert (conflict.base, conflict.local, conflict.remote) == (None, "ours", "theirs")
        assert await notes_in_org(world) == "theirs"


async def push_and_crash(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write arrives, and the process ends before it stores the answer."""

    async def crash(self: SyncRepository, outcomes: Outcomes) -> None:
        raise StoreError("The process ended.", hint="")

    with monkeypatch.context() as patch:
        patch.setattr(SyncRepository, "record", crash)
        with pytest.raises(StoreError):
            await world.push()


async def test_change_in_the_org_while_a_send_had_no_answer_is_kept(
    owned: OwnedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with owned("ask") as world:
        await begin(world)
        await change_notes(world, "ours")
        await push_and_crash(world, monkeypatch)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        monkeypatch.setattr(SalesforceClient, "user_id", "005000000000009AAA")  # somebody else was the last

        await world.push()

        [conflict] = await open_conflicts(world)
        assert (conflict.local, conflict.remote) == ("ours", "theirs")
        assert await notes_in_org(world) == "theirs"


async def test_our_own_value_after_a_send_without_an_answer_is_no_conflict(
    owned: OwnedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with owned("ask") as world:
        await begin(world)
        await change_notes(world, "ours")
        await push_and_crash(world, monkeypatch)
        await change_notes(world, "ours, later")

        await world.push()

        assert await notes_in_org(world) == "ours, later"
        assert not await open_conflicts(world)
        await both_sides_rest(world)


async def test_own_value_of_a_send_without_an_answer_is_ours_though_a_rep_changed_another_field_since(
    owned: OwnedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with owned("ask") as world:
        await begin(world)
        await change_notes(world, "ours")
        await push_and_crash(world, monkeypatch)
        await change_notes(world, "ours, later")
        await world.change_in_org("Order", NUMBER, PoNumber="PO-7")

        await world.push()

        assert (await notes_in_org(world), await open_conflicts(world)) == ("ours, later", [])
        await world.service.pull()
        assert (await order_here(world)).header.po_number == "PO-7"
        await both_sides_rest(world)


async def test_field_that_a_rep_changed_is_kept_though_our_send_without_an_answer_came_later(
    owned: OwnedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with owned("ask") as world:
        await begin(world)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        event = ChangeOrder(details={"po_number": "PO-7"})
        await world.service.orders.execute(OrderCommand(number=NUMBER, event=event), actor="clerk")
        await push_and_crash(world, monkeypatch)
        await change_notes(world, "ours")

        await world.push()

        [conflict] = await open_conflicts(world)
        assert (conflict.local, conflict.remote) == ("ours", "theirs")
        assert await notes_in_org(world) == "theirs"
