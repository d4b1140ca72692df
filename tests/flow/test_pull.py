"""What people change in the org comes back by the rule of its field, and what is ours stays ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from connector.jobs.pull import PullSummary
from connector.localorg.server import LocalOrg
from connector.mapping.loader import shipped_mappings
from connector.model.conflict import Conflict, ConflictState
from connector.model.customer import Customer
from connector.model.events import ChangeOrder
from connector.model.order import Order, OrderInput
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.service import running_service
from connector.store import conflicts, customers, journal, orders
from tests.flow.conftest import CUSTOMERS, World, settings_for
from tests.flow.test_push import an_order

NUMBER = "N-1"
OwnedWorld = Callable[[str], AbstractAsyncContextManager[World]]


@pytest.fixture
def owned(org: LocalOrg, database_url: str, tmp_path: Path) -> OwnedWorld:
    """A world whose order notes, and phones of customers, have a given owner."""

    @asynccontextmanager
    async def start(owner: str) -> AsyncIterator[World]:
        folder = tmp_path / owner
        copytree(str(shipped_mappings()), folder)
        for file, old, new in (
            (
                "order.yaml",
                "Description: {path: notes, owner: newest}",
                f"Description: {{path: notes, owner: {owner}}}",
            ),
            ("customer.yaml", "Phone: {path: phone, owner: newest}", f"Phone: {{path: phone, owner: {owner}}}"),
        ):
            text = (folder / file).read_text(encoding="utf-8")
            assert old in text
            (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        settings = settings_for(org, database_url).model_copy(update={"mappings_dir": folder})
        async with running_service(settings) as service:
            yield World(org, service)

    return start


async def begin(world: World, *some_orders: OrderInput) -> None:
    """Both sides agree, and the first poll is behind us."""
    await world.save(some_orders or [an_order(NUMBER)])
    await world.push()
    await world.service.pull()


async def order_here(world: World, number: str = NUMBER) -> Order:
    async with world.service.store.reader() as connection:
        [order] = await orders.load(connection, [number])
    return order


async def customer_here(world: World, number: str = "C-1") -> Customer:
    async with world.service.store.reader() as connection:
        [customer] = await customers.load(connection, [number])
    return customer


async def change_notes(world: World, notes: str | None) -> None:
    event = ChangeOrder(details={"notes": notes})
    await world.service.orders.execute(OrderCommand(number=NUMBER, event=event), actor="clerk")


async def notes_in_org(world: World) -> Any:
    return (await world.order(NUMBER))["Description"]


async def open_conflicts(world: World) -> list[Conflict]:
    async with world.service.store.reader() as connection:
        return await conflicts.list_page(connection, limit=10)


async def journal_of(world: World, entity: str, key: str) -> list[tuple[str, Any]]:
    async with world.service.store.reader() as connection:
        return [(entry.action, entry.detail) for entry in reversed(await journal.read(connection, entity, key))]


async def both_sides_rest(world: World) -> None:
    """Nothing more goes either way."""
    assert (await world.push()).writes == 0
    summary = await world.service.pull()
    assert (summary.applied.taken, summary.applied.restored, summary.waiting) == ({}, {}, 0)
    assert (await world.push()).writes == 0


async def test_change_in_the_org_arrives_here_and_is_not_sent_back(world: World) -> None:
    await begin(world)
    await world.change_in_org("Order", NUMBER, Description="call before delivery")

    summary = await world.service.pull()

    assert summary.applied.taken == {"Order.Description": 1}
    assert (await order_here(world)).header.notes == "call before delivery"
    await both_sides_rest(world)
    actions = dict(await journal_of(world, "order", NUMBER))
    assert actions["received"]["fields"] == ["Description"]
    assert "call before delivery" not in str(actions)


async def test_header_edited_in_the_org_does_not_make_an_imported_order_wait_for_stock(world: World) -> None:
    await begin(world, an_order(NUMBER, stage=Stage.FULFILLING))
    before = [(line.state, line.backordered) for line in (await order_here(world)).lines]
    await world.change_in_org("Order", NUMBER, PoNumber="PO-7")

    await world.service.pull()

    order = await order_here(world)
    assert order.header.po_number == "PO-7"
    assert [(line.state, line.backordered) for line in order.lines] == before
    await both_sides_rest(world)


async def test_change_of_a_customer_in_the_org_arrives_here(world: World) -> None:
    await begin(world)
    await world.change_in_org("Account", "C-1", Phone="+49 251 1", BillingCity="Kiel")

    await world.service.pull()

    customer = await customer_here(world)
    assert (customer.phone, customer.city) == ("+49 251 1", "Kiel")
    await both_sides_rest(world)


async def test_value_cleared_in_the_org_is_cleared_here(world: World) -> None:
    await begin(world, an_order(NUMBER, notes="call first"))
    await world.change_in_org("Order", NUMBER, Description=None)

    await world.service.pull()

    assert (await order_here(world)).header.notes is None
    await both_sides_rest(world)


async def test_field_of_ours_that_was_changed_in_the_org_is_restored(world: World) -> None:
    await begin(world)
    await world.change_in_org("Order", NUMBER, Tracking_Number__c="LOST", Description="rep")

    summary = await world.service.pull()
    await world.push()

    assert summary.applied.restored == {"Order.Tracking_Number__c": 1}
    [row] = await world.query("SELECT Tracking_Number__c, Description FROM Order")
    assert row == {"Tracking_Number__c": None, "Description": "rep"}
    await both_sides_rest(world)


async def test_field_owned_by_salesforce_takes_the_org_over_a_change_here(owned: OwnedWorld) -> None:
    async with owned("salesforce") as world:
        await begin(world)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")

        await world.push()  # a field that Salesforce owns is never sent
        assert await notes_in_org(world) == "theirs"
        await world.service.pull()

        assert (await order_here(world)).header.notes == "theirs"
        await both_sides_rest(world)


async def test_newest_change_stands_on_both_sides(world: World) -> None:
    await begin(world)
    await change_notes(world, "ours")
    await world.change_in_org("Order", NUMBER, Description="theirs, later")

    await world.service.pull()
    await world.push()

    assert ((await order_here(world)).header.notes, await notes_in_org(world)) == ("theirs, later", "theirs, later")
    await both_sides_rest(world)


async def test_both_sides_change_a_field_to_ask_about_and_a_conflict_holds_both(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        await begin(world)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")

        summary = await world.service.pull()
        await world.push()

        [conflict] = await open_conflicts(world)
        assert summary.applied.conflicts == summary.open_conflicts == 1
        assert (conflict.field, conflict.base, conflict.local, conflict.remote) == (
            "Description",
            None,
            "ours",
            "theirs",
        )
        assert re.fullmatch(r"Rep \(005\w{15}\)", conflict.remote_changed_by or "")
        assert ((await order_here(world)).header.notes, await notes_in_org(world)) == ("ours", "theirs")
        await change_notes(world, "ours again")  # still nobody has decided
        await world.push()
        assert await notes_in_org(world) == "theirs"


@pytest.mark.parametrize(("choice", "value"), [(ConflictState.LOCAL, "ours"), (ConflictState.SALESFORCE, "theirs")])
async def test_resolved_conflict_makes_both_sides_equal_at_once(
    owned: OwnedWorld, choice: ConflictState, value: str
) -> None:
    async with owned("ask") as world:
        await begin(world)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")
        await world.service.pull()
        [conflict] = await open_conflicts(world)

        await world.service.conflict_resolver().resolve(conflict.id, choice, actor="chief")
        await world.push()

        assert ((await order_here(world)).header.notes, await notes_in_org(world)) == (value, value)
        assert not await open_conflicts(world)
        await both_sides_rest(world)


async def test_answer_kept_as_a_rule_is_not_asked_for_again(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        await begin(world)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")
        await world.service.pull()
        [conflict] = await open_conflicts(world)
        resolver = world.service.conflict_resolver()
        await resolver.resolve(conflict.id, ConflictState.LOCAL, actor="chief", always=True)
        await world.push()

        await world.change_in_org("Order", NUMBER, Description="theirs again")
        await change_notes(world, "ours again")
        await world.push()

        assert not await open_conflicts(world)
        assert await notes_in_org(world) == "ours again"
        await both_sides_rest(world)


async def test_conflict_closes_when_both_sides_come_to_the_same_value(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        await begin(world)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")
        await world.service.pull()
        await change_notes(world, "theirs")
        await world.change_in_org("Order", NUMBER, PoNumber="PO-7")

        await world.service.pull()

        assert not await open_conflicts(world)
        await both_sides_rest(world)


async def test_conflict_that_the_org_gives_up_lets_our_value_be_sent(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        await begin(world)
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await change_notes(world, "ours")
        await world.service.pull()
        await world.push()
        await world.change_in_org("Order", NUMBER, Description=None)

        await world.service.pull()
        await world.push()

        assert not await open_conflicts(world)
        assert await notes_in_org(world) == "ours"
        await both_sides_rest(world)


async def test_what_the_order_forbids_is_restored_and_the_rest_is_taken(world: World) -> None:
    """The order has shipped: its promised date is fixed, its notes are not."""
    await begin(world)
    await world.change_in_org("Order", NUMBER, Promised_Date__c="2026-09-09", Description="fine")

    summary = await world.service.pull()
    await world.push()

    assert (summary.applied.refused, summary.applied.taken) == (1, {"Order.Description": 1})
    assert (await order_here(world)).header.notes == "fine"
    [row] = await world.query("SELECT Promised_Date__c, Description FROM Order")
    assert row == {"Promised_Date__c": None, "Description": "fine"}
    [restored] = [detail for action, detail in await journal_of(world, "order", NUMBER) if action == "restored"]
    assert "it cannot change promised_on now" in restored["because"]["Promised_Date__c"]
    await both_sides_rest(world)


async def test_record_read_before_our_latest_write_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The poll reads, then our push writes and records, then the poll applies what it had read."""
    await begin(world)
    composite = world.service.client.composite
    pushed = False

    async def read_then_push(requests: Any, **options: Any) -> Any:
        nonlocal pushed
        outcomes = await composite(requests, **options)
        if not pushed and any("SystemModstamp" in request.path for request in requests):
            pushed = True
            await change_notes(world, "newer than what was read")
            await world.push()
        return outcomes

    await world.change_in_org("Order", NUMBER, PoNumber="PO-7")
    monkeypatch.setattr(world.service.client, "composite", read_then_push)
    summary = await world.service.pull()

    assert summary.applied.deferred == 1
    order = await order_here(world)
    assert (order.header.notes, order.header.po_number) == ("newer than what was read", "PO-7")
    assert await notes_in_org(world) == "newer than what was read"
    await both_sides_rest(world)


async def test_value_that_a_trigger_changes_is_not_sent_for_ever(world: World) -> None:
    """A trigger in the org writes its own tracking number whenever we send ours."""
    await begin(world, an_order(NUMBER, tracking_number="1Z-1"))
    for _ in range(5):
        await world.change_in_org("Order", NUMBER, Tracking_Number__c="TRIGGER")
        summary = await world.service.pull()
        await world.push()

    assert summary.applied.overruled == {"Order.Tracking_Number__c": 1}
    [row] = await world.query("SELECT Tracking_Number__c FROM Order")
    assert row["Tracking_Number__c"] == "TRIGGER"
    before = world.writes
    await world.service.pull()
    await world.push()
    assert world.writes == before


async def test_pull_of_all_objects_costs_one_call(world: World) -> None:
    await begin(world)
    summary: PullSummary = await world.service.pull()
    assert summary.reads == 1
    assert summary.applied.taken == {}
    assert len(CUSTOMERS) <= summary.applied.records


async def test_rows_with_equal_stamps_are_read_across_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.inbound.poll.PAGE", 3)
    await begin(world)
    rows = await world.query("SELECT Id FROM Account")
    await world.service.client.collections_update([("Account", row["Id"], {"Phone": row["Id"]}) for row in rows])
    stamps = {row["SystemModstamp"] for row in await world.query("SELECT SystemModstamp FROM Account")}
    assert len(stamps) == 1

    summary = await world.service.pull()

    assert summary.applied.taken == {"Account.Phone": len(CUSTOMERS)}


async def test_row_that_is_committed_late_is_not_lost(world: World) -> None:
    """Its stamp is older than what was read already: a strict "greater than" would never see it."""
    await begin(world)
    await configure(world, late_commit_ms=1500)
    late = asyncio.create_task(world.change_in_org("Account", "C-1", Phone="late"))
    await asyncio.sleep(0.5)
    await configure(world, late_commit_ms=0)
    await world.change_in_org("Account", "C-2", Phone="early")
    assert (await world.service.pull()).applied.taken == {"Account.Phone": 1}
    await late

    assert (await world.service.pull()).applied.taken == {"Account.Phone": 1}
    assert ((await customer_here(world)).phone, (await customer_here(world, "C-2")).phone) == ("late", "early")


async def configure(world: World, **faults: Any) -> None:
    world.org.org.faults.configure(faults)
