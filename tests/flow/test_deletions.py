"""Records that are deleted, undeleted or merged in the org: what becomes of the entities here, by the policy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.cli.progress import NullProgress
from connector.inbound.deletion_policy import DeletionAction, decide_deletion
from connector.inbound.poll import Poller
from connector.localorg.org import OrgOptions
from connector.localorg.record_merge import merge_records
from connector.localorg.recycle_bin import purge, undelete
from connector.localorg.server import LocalOrg
from connector.model.change import EntityKind
from connector.model.events import ChangeOrder, LineEdit
from connector.model.inbound_change import Source
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.service import running_service
from connector.settings.inbound import InboundSettings
from connector.store import cursors, deleted_records, inbox, orgs
from tests.flow.conftest import World, settings_for
from tests.flow.test_pull import begin, both_sides_rest, change_notes, customer_here, journal_of, order_here
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line

NUMBER = "N-1"
PolicyWorld = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def with_policy(org: LocalOrg, database_url: str) -> PolicyWorld:
    @asynccontextmanager
    async def start(**policies: Any) -> AsyncIterator[World]:
        settings = settings_for(org, database_url).model_copy(update={"inbound": InboundSettings(**policies)})
        async with running_service(settings) as service:
            yield World(org, service)

    return start


async def record_id(world: World, sobject: str, key: str) -> str:
    [row] = await world.query(f"SELECT Id FROM {sobject} WHERE External_Key__c = '{key}'")
    return str(row["Id"])


async def missing_in_org(world: World) -> list[tuple[str, str]]:
    """What `status` names as deleted in the org."""
    async with world.service.store.reader() as connection:
        org = await orgs.get_active(connection)
        assert org is not None
        return await deleted_records.list_missing(connection, org.org_id)


async def delete_in_org(world: World, sobject: str, key: str) -> str:
    record = await record_id(world, sobject, key)
    [outcome] = world.org.org.dml.delete([record])
    assert outcome.error is None
    return record


async def in_org(world: World, work: Callable[..., Any], *arguments: Any) -> None:
    dml = world.org.org.dml
    with dml.storage.transaction():
        work(dml, *arguments)


def draft_order() -> Any:
    return an_order(NUMBER, stage=Stage.PLACED)


@pytest.mark.parametrize("hard", [False, True])
async def test_deleted_order_is_reported_once_and_stays_here(world: World, hard: bool) -> None:
    await begin(world, draft_order())
    record = await delete_in_org(world, "Order", NUMBER)
    if hard:
        await in_org(world, purge, [record])

    summary = await world.service.pull()
    again = await world.service.pull()

    assert summary.applied.deleted == {("order", "reported"): 1}
    assert again.applied.deleted == {}
    assert await missing_in_org(world) == [("order", NUMBER)]
    assert (await order_here(world)).stage is Stage.PLACED
    [detail] = [detail for action, detail in await journal_of(world, "order", NUMBER) if action == "deleted"]
    assert (detail["record"], detail["done"]) == (record, "reported")
    assert (detail["by"] is None) is hard
    pushed = await world.push()
    assert (pushed.writes, pushed.complete, pushed.in_sync) == (0, True, False)
    assert pushed.deleted_in_org == [(EntityKind.ORDER, NUMBER)]


async def test_order_that_only_cannot_be_found_is_reported_whatever_the_policy(with_policy: PolicyWorld) -> None:
    """The connector's user may have lost the right to see it."""
    async with with_policy(deleted_orders="cancel") as world:
        await begin(world, draft_order())
        record = await delete_in_org(world, "Order", NUMBER)
        await in_org(world, purge, [record])
        world.org.org.storage.connection.execute("DELETE FROM _deletion")
        async with world.service.store.transaction() as uow:
            await inbox.put(uow, world.service.client.org_id, [("Order", record)], Source.EVENT)

        summary = await world.service.pull()

        assert summary.applied.deleted == {("order", "reported"): 1}
        assert (await order_here(world)).stage is Stage.PLACED


async def test_deleted_order_is_created_again_by_the_next_push(with_policy: PolicyWorld) -> None:
    async with with_policy(deleted_orders="recreate") as world:
        await begin(world, draft_order())
        record = await delete_in_org(world, "Order", NUMBER)

        summary = await world.service.pull()
        assert (await world.push()).in_sync

        assert summary.applied.deleted == {("order", "recreated"): 1}
        assert await record_id(world, "Order", NUMBER) != record
        assert len((await world.order(NUMBER))["lines"]) == len((await order_here(world)).lines)
        await both_sides_rest(world)


async def test_deleted_order_is_canceled_and_nothing_is_left_to_send(with_policy: PolicyWorld) -> None:
    async with with_policy(deleted_orders="cancel") as world:
        await begin(world, draft_order())
        await delete_in_org(world, "Order", NUMBER)

        summary = await world.service.pull()

        assert summary.applied.deleted == {("order", "canceled"): 1}
        assert await missing_in_org(world) == []
        assert (await order_here(world)).stage is Stage.CANCELED
        assert (await world.push()).in_sync
        assert await world.count("Order") == 0
        await both_sides_rest(world)


async def test_order_that_cannot_be_canceled_any_more_is_reported(with_policy: PolicyWorld) -> None:
    async with with_policy(deleted_orders="cancel") as world:
        await begin(world, an_order(NUMBER, stage=Stage.SHIPPED))
        await world.change_in_org("Order", NUMBER, Status="Draft")
        await delete_in_org(world, "Order", NUMBER)

        summary = await world.service.pull()

        assert (summary.applied.deleted, summary.applied.refused) == ({("order", "reported"): 1}, 1)
        assert (await order_here(world)).stage is Stage.SHIPPED
        [detail] = [detail for action, detail in await journal_of(world, "order", NUMBER) if action == "deleted"]
        assert "cancel" in detail["because"]


async def test_undeleted_order_is_linked_again_and_its_changes_are_merged(world: World) -> None:
    await begin(world, draft_order())
    record = await delete_in_org(world, "Order", NUMBER)
    await world.service.pull()
    await change_notes(world, "while it was deleted")
    assert not (await world.push()).in_sync  # a dead letter says that it is deleted

    await in_org(world, undelete, [record])
    await world.change_in_org("Order", NUMBER, PoNumber="PO-7")
    summary = await world.service.pull()
    assert (await world.push()).in_sync

    assert summary.applied.undeleted == {"order": 1}
    assert (await order_here(world)).header.po_number == "PO-7"
    [row] = await world.query("SELECT Id, Description FROM Order")
    assert (row["Id"], row["Description"]) == (record, "while it was deleted")
    assert len((await world.order(NUMBER))["lines"]) == len((await order_here(world)).lines)
    await both_sides_rest(world)


async def test_order_that_only_a_push_saw_deleted_is_sent_once_it_is_undeleted(world: World) -> None:
    await begin(world, draft_order())
    record = await delete_in_org(world, "Order", NUMBER)
    await change_notes(world, "while it was deleted")
    assert not (await world.service.push(NullProgress())).in_sync
    assert [letter.refusal.code for letter in await world.dead_letters()] == ["ENTITY_IS_DELETED"]

    await in_org(world, undelete, [record])
    summary = await world.service.pull()
    assert (await world.push()).in_sync

    assert summary.applied.undeleted == {"order": 1}
    assert (await world.order(NUMBER))["Description"] == "while it was deleted"
    await both_sides_rest(world)


async def test_order_refused_for_a_deleted_account_is_sent_once_the_account_is_undeleted(world: World) -> None:
    await begin(world, draft_order())
    account = await record_id(world, "Account", "C-1")
    world.org.org.dml.delete([await record_id(world, "Order", NUMBER), account])
    customer = replace(await customer_here(world), phone="1")
    await world.save([an_order("N-2", stage=Stage.PLACED)], some_customers=[customer])
    assert not (await world.service.push(NullProgress())).in_sync
    refused = {letter.key: letter.refusal for letter in await world.dead_letters()}
    assert refused["N-2"].record == "customer C-1"

    await in_org(world, undelete, [account])
    await world.service.pull()
    await world.push()

    assert "N-2" not in {letter.key for letter in await world.dead_letters()}
    assert await record_id(world, "Order", "N-2")


async def test_deleted_line_is_restored_in_the_org(world: World) -> None:
    await begin(world, draft_order())
    await delete_in_org(world, "OrderItem", f"{NUMBER}-1")

    summary = await world.service.pull()
    assert (await world.push()).in_sync

    assert summary.applied.deleted == {("line", "recreated"): 1}
    assert len((await world.order(NUMBER))["lines"]) == len((await order_here(world)).lines)
    await both_sides_rest(world)


async def test_deleted_line_is_removed_from_the_order_by_policy(with_policy: PolicyWorld) -> None:
    async with with_policy(deleted_lines="remove") as world:
        await begin(world, draft_order())
        await delete_in_org(world, "OrderItem", f"{NUMBER}-1")

        summary = await world.service.pull()

        assert summary.applied.deleted == {("line", "removed"): 1}
        assert [line.number for line in (await order_here(world)).lines] == [2]
        assert (await world.push()).in_sync
        assert [*(await world.order(NUMBER))["lines"]] == [f"{NUMBER}-2"]
        await both_sides_rest(world)


@pytest.mark.parametrize("policy", ["restore", "remove", "report"])
async def test_push_that_finds_lines_deleted_decides_by_the_policy(with_policy: PolicyWorld, policy: str) -> None:
    """Before any pull has seen it. What is reported is created again on request."""
    async with with_policy(deleted_lines=policy) as world:
        await begin(world, an_order(NUMBER, stage=Stage.PLACED, lines=tuple(a_line(n, f"P-{n}") for n in (1, 2, 3))))
        for number in (1, 2):
            await delete_in_org(world, "OrderItem", f"{NUMBER}-{number}")
        edit = LineEdit(sku="P-1", quantity=Decimal(3))
        command = OrderCommand(number=NUMBER, event=ChangeOrder(line_edits={1: edit}))
        await world.service.orders.execute(command, actor="clerk")

        summary = await world.push()

        letters = [(letter.refusal.code, letter.refusal.record) for letter in await world.dead_letters()]
        assert letters == ([("ENTITY_IS_DELETED", f"line {NUMBER}-1")] if policy == "report" else [])
        assert summary.in_sync == (policy != "report")
        lines = {key: line["Quantity"] for key, line in (await world.order(NUMBER))["lines"].items()}
        here = {f"{NUMBER}-{line.number}": line.quantity for line in (await order_here(world)).lines}
        left = {"restore": 3, "remove": 1, "report": 3}[policy]
        assert (len(here), lines == here) == (left, policy != "report")
        if policy == "report":
            await world.replay()
            assert not (await world.push()).in_sync
            assert (await world.resync(EntityKind.ORDER, NUMBER, recreate=True)).in_sync
            assert (await world.order(NUMBER))["lines"][f"{NUMBER}-1"]["Quantity"] == 3
        await both_sides_rest(world)


async def test_line_that_we_removed_ourselves_is_nobodys_deletion(world: World) -> None:
    await begin(world, draft_order())
    [first, *_] = (await order_here(world)).lines
    edit = LineEdit(sku=first.product.sku, quantity=first.quantity * 0)
    await world.service.orders.execute(
        OrderCommand(number=NUMBER, event=ChangeOrder(line_edits={1: edit})), actor="clerk"
    )
    assert (await world.push()).in_sync

    summary = await world.service.pull()

    assert summary.applied.deleted == {}
    await both_sides_rest(world)


async def test_merged_account_is_followed_and_its_fields_are_merged(world: World) -> None:
    await begin(world, draft_order())
    loser = await record_id(world, "Account", "C-1")
    [made] = await world.service.client.collections_create("Account", [{"Name": "Survivor", "Phone": "1"}])
    await in_org(world, merge_records, "Account", str(made.id), {}, [loser])

    summary = await world.service.pull()
    assert (await world.push()).in_sync

    assert summary.applied.deleted == {("customer", "merged"): 1}
    assert await missing_in_org(world) == []
    assert await record_id(world, "Account", "C-1") == made.id
    assert (await customer_here(world)).phone == "1"
    await both_sides_rest(world)


async def test_accounts_of_two_customers_merged_keep_their_orders_on_the_shared_account(world: World) -> None:
    await begin(world, an_order(NUMBER), an_order("N-2", customer="C-2"))
    loser, winner = await record_id(world, "Account", "C-1"), await record_id(world, "Account", "C-2")
    await in_org(world, merge_records, "Account", winner, {}, [loser])

    summary = await world.service.pull()

    assert summary.applied.deleted == {("customer", "merged"): 1}
    await both_sides_rest(world)
    await change_notes(world, "an order of the merged customer still reaches the org")
    await world.save([an_order("N-3")])  # a new one goes to the shared account too
    assert (await world.push()).in_sync
    rows = await world.query("SELECT AccountId FROM Order")
    assert {row["AccountId"] for row in rows} == {winner}
    assert len(rows) == 3
    assert (await order_here(world)).customer.number == "C-1"
    await both_sides_rest(world)
    assert "merged" in dict(await journal_of(world, "customer", "C-1"))
    assert "merged" in dict(await journal_of(world, "customer", "C-2"))

    assert (await world.resync(EntityKind.CUSTOMER, "C-1", recreate=True)).in_sync
    assert await record_id(world, "Account", "C-1") not in {loser, winner}


@pytest.mark.parametrize(
    ("policy", "facts", "action"),
    [
        ("report", {}, DeletionAction.REPORTED),
        ("recreate", {}, DeletionAction.RECREATED),
        ("restore", {}, DeletionAction.RECREATED),
        ("cancel", {}, DeletionAction.CANCELED),
        ("remove", {}, DeletionAction.REMOVED),
        ("cancel", {"forbidden": True}, DeletionAction.REPORTED),
        ("recreate", {"is_certain": False}, DeletionAction.REPORTED),
        ("recreate", {"ended_here": True}, DeletionAction.AGREED),
        ("restore", {"with_order": True}, DeletionAction.WITH_ORDER),
        ("restore", {"with_order": True, "ended_here": True}, DeletionAction.WITH_ORDER),
    ],
)
def test_deletion_is_decided_by_policy_and_facts(policy: str, facts: dict[str, bool], action: DeletionAction) -> None:
    assert decide_deletion(policy, **{"ended_here": False, **facts}) is action


@pytest.mark.parametrize("fault", ["crash", "no answer"])
async def test_deletion_during_a_downtime_is_found_after_a_failed_poll(
    database_url: str, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    shift = timedelta(hours=-3)
    options = OrgOptions(metadata_root=our_metadata(), clock=lambda: datetime.now(UTC) + shift)
    async with LocalOrg(options) as org, running_service(settings_for(org, database_url)) as service:
        world = World(org, service)
        await begin(world, an_order(NUMBER, stage=Stage.PLACED))
        three_hours_ago = {"at": (datetime.now(UTC) + shift).isoformat()}
        async with service.store.transaction() as uow:
            poll = {**three_hours_ago, "overlap_seconds": 30.0, "recent": {}}
            await cursors.set_position(uow, service.client.org_id, "poll:OrderItem", poll)
            await cursors.set_position(uow, service.client.org_id, "deleted:OrderItem", three_hours_ago)
        shift = timedelta(hours=-1)
        await delete_in_org(world, "OrderItem", f"{NUMBER}-1")
        shift = timedelta()
        await world.change_in_org("OrderItem", f"{NUMBER}-2", Description="moves the watermark")
        with monkeypatch.context() as patch:
            if fault == "crash":
                patch.setattr(Poller, "note_deleted", _fail)
                with pytest.raises(KeyError):
                    await service.pull()
            else:
                patch.setattr("connector.jobs.inbound_run.read_deleted", lambda outcome: None)
                await service.pull()
        await service.pull()
        await world.push()

        assert len((await order_here(world)).lines) == len((await world.order(NUMBER))["lines"]) == 2


async def _fail(*_: object, **__: object) -> None:
    raise KeyError("the process is gone")
