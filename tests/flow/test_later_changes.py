"""Both sides changed a field of owner `newest`: the later change stands, whatever gave the record its last time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.model.events import PlaceHold
from connector.model.holds import Hold
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.service import running_service
from tests.chaos.clock import ProcessClock, SharedTime
from tests.flow.conftest import World, settings_for
from tests.flow.test_pull import NUMBER, begin, both_sides_rest, change_notes, customer_here, notes_in_org, order_here
from tests.flow.test_push import an_order


@dataclass
class TimedWorld(World):
    """Both sides have one clock, which the test moves: the org stamps by the second."""

    time: SharedTime

    async def change_here(self, number: str = "C-1", **values: str) -> None:
        await self.save(some_customers=[replace(await customer_here(self, number), **values)], some_products=())
        self.time.advance(5)

    async def change_there(self, sobject: str, key: str, **fields: Any) -> None:
        await self.change_in_org(sobject, key, **fields)
        self.time.advance(5)

    async def hold(self) -> None:
        event = PlaceHold(hold=Hold.MANUAL)
        await self.service.orders.execute(OrderCommand(number=NUMBER, event=event), actor="clerk")
        self.time.advance(5)

    async def account(self, key: str = "C-1") -> dict[str, Any]:
        fields = "Name, Phone, BillingCity"
        [row] = await self.query(f"SELECT {fields} FROM Account WHERE External_Key__c = '{key}'")
        return row

    async def settle(self) -> None:
        self.time.advance(60)
        await self.push()
        await self.service.pull()
        self.time.advance(60)
        await both_sides_rest(self)


@pytest.fixture
async def timed(database_url: str) -> AsyncIterator[TimedWorld]:
    time = SharedTime()
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata(), clock=time.now)) as org,
        running_service(settings_for(org, database_url), clock=ProcessClock(time, Random(1))) as service,
    ):
        world = TimedWorld(org, service, time)
        await begin(world, an_order(NUMBER, stage=Stage.PLACED))
        time.advance(60)
        yield world


async def test_newest_compares_the_time_of_the_field_and_not_of_the_record(timed: TimedWorld) -> None:
    """A later change of another field here does not make the earlier one later than the rep's."""
    await timed.change_here(phone="ours", city="ours")
    await change_notes(timed, "ours, earlier")
    timed.time.advance(5)
    await timed.change_there("Account", "C-1", Phone="theirs, later", BillingCity="theirs, before ours")
    await timed.change_there("Order", NUMBER, Description="theirs, later")
    await timed.change_here(city="ours, last", street="ours alone")
    await timed.hold()
    await timed.service.pull()
    assert (await order_here(timed)).header.notes == "theirs, later"
    customer = await customer_here(timed)
    assert (customer.phone, customer.city, customer.street) == ("theirs, later", "ours, last", "ours alone")
    await timed.push()
    account = await timed.account()
    assert (account["Phone"], account["BillingCity"]) == ("theirs, later", "ours, last")


async def test_push_of_other_fields_makes_no_change_of_a_rep_later(timed: TimedWorld) -> None:
    await timed.change_there("Account", "C-1", Phone="theirs, earlier")
    await timed.change_there("Order", NUMBER, Description="theirs, earlier")
    await timed.change_here("C-1", phone="ours, later", name="Ours alone")
    await timed.change_here("C-2", phone="ours, earlier", name="Ours alone")
    await change_notes(timed, "ours, later")
    await timed.hold()
    await timed.change_there("Account", "C-2", Phone="theirs, later")

    assert (await timed.push()).stats.changed_in_org == 3

    for key, phone in (("C-1", "ours, later"), ("C-2", "theirs, later")):
        account = await timed.account(key)
        assert (account["Name"], account["Phone"], (await customer_here(timed, key)).phone) == (
            "Ours alone", phone, phone
        )  # fmt: skip
    assert (await notes_in_org(timed), (await order_here(timed)).header.notes) == ("ours, later", "ours, later")
    await timed.settle()


async def test_total_of_the_lines_makes_no_change_of_a_rep_later(timed: TimedWorld) -> None:
    """A write of a line raises the SystemModstamp of its order; a user has changed the order when LastModifiedDate
    says."""
    await timed.change_there("Order", NUMBER, Description="theirs, earlier")
    await change_notes(timed, "ours, later")
    timed.time.advance(5)
    await timed.change_there("OrderItem", f"{NUMBER}-1", Quantity=3)
    [order] = await timed.query("SELECT SystemModstamp, LastModifiedDate FROM Order")
    assert order["SystemModstamp"] > order["LastModifiedDate"]
    await timed.service.pull()
    assert (await order_here(timed)).header.notes == "ours, later"
    await timed.settle()
    assert await notes_in_org(timed) == "ours, later"


async def test_write_that_was_in_flight_when_a_change_was_read_makes_it_no_later(
    timed: TimedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll cannot apply the record meanwhile, and reads it again when our write has given it a later time."""
    client = timed.service.client
    update, in_flight = client.collections_update, [True]

    async def slow_update(*rows: Any, **more: Any) -> Any:
        if in_flight:
            in_flight.clear()
            assert (await timed.service.pull()).applied.deferred == 1
            timed.time.advance(5)
            await timed.change_here(phone="ours, later")
        return await update(*rows, **more)

    await timed.change_there("Account", "C-1", Phone="theirs, earlier")
    await timed.change_here(name="Ours alone")
    monkeypatch.setattr(client, "collections_update", slow_update)
    await timed.push()
    await timed.settle()

    account = await timed.account()
    assert (account["Name"], account["Phone"], (await customer_here(timed)).phone) == (
        "Ours alone", "ours, later", "ours, later"
    )  # fmt: skip


async def test_value_that_a_rep_puts_back_before_our_send_is_answered_is_no_echo(
    timed: TimedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what both sides agreed on, until the answer is stored."""
    client = timed.service.client
    update = client.collections_update

    async def slow_update(*rows: Any, **more: Any) -> Any:
        answer = await update(*rows, **more)
        timed.time.advance(5)
        await timed.change_there("Account", "C-1", Phone="agreed")
        assert (await timed.service.pull()).applied.deferred == 1
        timed.time.advance(60)  # longer than the overlap of two polls
        return answer

    await timed.change_here(phone="agreed")
    await timed.settle()
    await timed.change_here(phone="ours, earlier")
    with monkeypatch.context() as patch:
        patch.setattr(client, "collections_update", slow_update)
        await timed.push()
    await timed.settle()
    assert ((await timed.account())["Phone"], (await customer_here(timed)).phone) == ("agreed", "agreed")
