"""Answers that concern the org and not a record: everything stays due, few calls are made, and the push
recovers alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.errors import ConnectorError
from connector.jobs.org_deploy import deploy_metadata
from connector.model.change import EntityKind
from connector.outbound.backoff import LAST_ATTEMPT
from connector.store import outbox, products
from tests.conftest import ManualClock
from tests.flow.conftest import World
from tests.flow.org_faults import (
    ANSWERS,
    CALLS,
    FEW,
    LITE,
    NEW,
    OLD,
    calls,
    changed_lines,
    changed_orders,
    due,
    new_customers,
    new_orders,
    outage,
    push,
)


async def stopped_and_healed(world: World) -> None:
    """The org takes nothing; nothing is lost, little is asked, and all of it arrives once the org is well."""
    waiting = await due(world)
    assert waiting > 0
    for _ in range(2):
        before = calls(world)
        reason = await push(world)
        assert reason is not None
        assert "\n" not in reason
        assert calls(world) - before <= FEW
        assert (await due(world), await world.dead_letters()) == (waiting, [])
    found = await outage(world)
    assert found is not None
    assert (found.attempts, found.message != "", found.fix != "") == (2, True, True)
    world.org.org.faults.clear()
    summary = await world.push()
    assert (summary.in_sync, summary.stats.refused.total()) == (True, 0)
    assert await outage(world) is None


async def recovered(world: World) -> None:
    """Nothing that one answer left behind, as it does where the test fails, reaches the next answer."""
    world.org.org.faults.clear()
    if await due(world):
        await world.replay()
        await world.push()


@LITE
async def test_org_error_leaves_new_orders_due(world: World, subtests: pytest.Subtests) -> None:
    """One world for all answers: it is in sync again after each."""
    await world.save()
    await world.push()
    for turn, (name, answer) in enumerate(ANSWERS.items()):
        await recovered(world)
        with subtests.test(name):
            await new_orders(world, turn)
            world.org.org.faults.configure({"answer": {**answer, "count": 1000}})
            await stopped_and_healed(world)
            assert await world.count("Order") == len(NEW) * (turn + 1)


@LITE
@pytest.mark.parametrize("answer", ["307", "200 page", "transaction security", "400 unknown", "404"])
async def test_org_error_is_recognized_on_every_kind_of_call(world: World, answer: str) -> None:
    await world.save(OLD)
    await world.push()
    for make in CALLS.values():
        await make(world)
        world.org.org.faults.configure({"answer": {**ANSWERS[answer], "count": 1000}})
        await stopped_and_healed(world)


ROWS = {
    "storage": ({"code": "STORAGE_LIMIT_EXCEEDED", "message": "storage limit exceeded"}, "STORAGE_LIMIT_EXCEEDED"),
    "transaction security": ({"code": "TXN_SECURITY_NO_ACCESS"}, "TXN_SECURITY_NO_ACCESS"),
    "API disabled": ({"code": "API_CURRENTLY_DISABLED"}, "API_CURRENTLY_DISABLED"),
    "field": (
        {"code": "INVALID_FIELD_FOR_INSERT_UPDATE", "message": "Unable to create/update", "fields": ["PoNumber"]},
        "INVALID_FIELD_FOR_INSERT_UPDATE",
    ),
    "object": ({"code": "INVALID_TYPE"}, "INVALID_TYPE"),
    "not found": ({"code": "NOT_FOUND", "message": "The requested resource does not exist"}, "NOT_FOUND"),
    "access": ({"code": "INSUFFICIENT_ACCESS_OR_READONLY"}, "INSUFFICIENT_ACCESS_OR_READONLY"),
    "unknown": ({"code": "NEVER_SEEN_BEFORE"}, "NEVER_SEEN_BEFORE"),
    "failed inside": ({"code": "UNKNOWN_EXCEPTION"}, "UNKNOWN_EXCEPTION"),
}


@LITE
@pytest.mark.parametrize("kind", ["graph", "collections", "composite", "upsert"])
async def test_refusal_of_every_row_stops_the_push(world: World, kind: str, subtests: pytest.Subtests) -> None:
    """One world for all refusals: it is in sync again after each."""
    await world.save(OLD)
    await world.push()
    for turn, (name, (refusal, code)) in enumerate(ROWS.items()):
        if (name, kind) == ("not found", "composite"):
            continue  # one record that is not found is looked for
        await recovered(world)
        with subtests.test(name):
            await CALLS[kind](world, turn)
            world.org.org.faults.configure({"rows": {**refusal, "count": 1000}})
            waiting = await due(world)
            reason = await push(world)
            assert reason is not None
            assert code in reason
            assert (await due(world), await world.dead_letters()) == (waiting, [])
            found = await outage(world)
            assert found is not None
            assert found.code == code
            world.org.org.faults.clear()
            assert (await world.push()).in_sync


async def test_revoked_permission_is_reported_and_push_recovers_when_it_is_restored(world: World) -> None:
    await world.save(OLD)
    await world.push()
    [held] = await world.query("SELECT Id, PermissionSetId, AssigneeId FROM PermissionSetAssignment"
                               " WHERE PermissionSet.Name = 'CRM_Connector'")  # fmt: skip
    control = world.service.client.control
    await control.run(lambda org: org.PermissionSetAssignment.delete(held["Id"]))
    await new_orders(world)
    await new_customers(world)
    waiting = await due(world)
    for _ in range(3):
        assert await push(world) is not None
    assert (await due(world), await world.dead_letters()) == (waiting, [])
    values = {name: held[name] for name in ("PermissionSetId", "AssigneeId")}
    await control.run(lambda org: org.PermissionSetAssignment.create(values))
    assert (await world.push()).in_sync


@LITE
@pytest.mark.parametrize("code", ["STRING_TOO_LONG", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "INVALID_CROSS_REFERENCE"])
async def test_same_data_error_on_every_row_becomes_dead_letters(world: World, code: str) -> None:
    code = code if code != "INVALID_CROSS_REFERENCE" else "DUPLICATES_DETECTED"
    await world.save(OLD)
    await world.push()
    await changed_orders(world)
    world.org.org.faults.configure({"rows": {"code": code, "message": "no", "count": 1000}})
    assert await push(world) is None
    assert {letter.key for letter in await world.dead_letters()} == {order.number for order in OLD}
    assert await outage(world) is None


async def test_data_error_of_a_single_order_in_its_call_becomes_a_dead_letter(world: World) -> None:
    await world.save(OLD)
    await world.push()
    await world.save([OLD[0].with_header(notes="changed")])
    world.org.org.faults.configure({"rows": {"code": "STRING_TOO_LONG", "message": "no", "count": 1000}})
    await push(world)
    assert [letter.key for letter in await world.dead_letters()] == ["A-1"]


@LITE
@pytest.mark.parametrize("code", ["INVALID_FIELD_FOR_INSERT_UPDATE", "INSUFFICIENT_ACCESS_OR_READONLY", "NEVER_SEEN"])
@pytest.mark.parametrize("kind", ["collections", "graph"])
async def test_deprioritized_change_among_accepted_rows_becomes_a_dead_letter(
    world: World, code: str, kind: str
) -> None:
    await world.save(OLD)
    await world.push()
    await CALLS[kind](world)
    bad = "changed" if kind == "collections" else "N-2"
    [row] = await world.query("SELECT Id FROM Order WHERE External_Key__c = 'A-2'")
    containing = row["Id"] if kind == "collections" else bad
    world.org.org.faults.configure({"rows": {"code": code, "containing": containing, "count": 1000}})
    assert await push(world) is None
    assert [letter.key for letter in await world.dead_letters()] == ["A-2" if kind == "collections" else "N-2"]
    assert await outage(world) is None


async def test_deprioritized_record_is_held_until_another_of_its_object_is_accepted(world: World) -> None:
    await world.save(OLD)
    await world.push()
    [row] = await world.query("SELECT Id FROM Order WHERE External_Key__c = 'A-1'")
    world.org.org.faults.configure({"rows": {"code": "NEVER_SEEN", "containing": row["Id"], "count": 1000}})
    await world.save([OLD[0].with_header(notes="changed")])
    reason = await push(world)
    assert reason is not None
    assert "NEVER_SEEN" in reason
    assert (await due(world), await world.dead_letters()) == (1, [])
    await world.save([OLD[1].with_header(notes="changed")])
    assert await push(world) is None
    assert [letter.key for letter in await world.dead_letters()] == ["A-1"]
    assert (await world.order("A-2"))["Description"] == "changed"


@LITE
async def test_deprioritized_order_sent_alone_does_not_stop_others(world: World) -> None:
    await world.save(OLD)
    await world.push()
    await changed_lines(world)
    [row] = await world.query("SELECT Id FROM Order WHERE External_Key__c = 'A-1'")
    refused = {"code": "INSUFFICIENT_ACCESS_OR_READONLY", "containing": row["Id"], "count": 1000}
    world.org.org.faults.configure({"rows": refused})
    await push(world)
    for order in OLD[1:]:
        assert set((await world.order(order.number))["lines"]) == {f"{order.number}-1", f"{order.number}-3"}
    await push(world)
    assert [letter.key for letter in await world.dead_letters()] == ["A-1"]


@LITE
async def test_deprioritized_products_do_not_delay_orders_without_them(world: World) -> None:
    await world.save(OLD)
    await world.push()
    await changed_orders(world)
    changed = [replace(item, name="changed") for item in (await _products(world))[:2]]
    await world.save(some_products=[*changed, *(await _products(world))[2:]])
    world.org.org.faults.configure({"rows": {"code": "NEVER_SEEN", "sobject": "Product2", "count": 1000}})
    summary = await world.push()
    assert (summary.stopped, summary.stats.done[EntityKind.ORDER]) == (None, len(OLD))
    assert summary.held is not None
    assert "NEVER_SEEN" in summary.held
    assert (await due(world), await world.dead_letters()) == (2, [])


async def _products(world: World) -> list[Any]:
    async with world.service.store.reader() as connection:
        return list(await products.load(connection, [f"P-{number}" for number in range(1, 5)]))


@LITE
async def test_attempts_during_an_outage_are_not_counted(world: World) -> None:
    await world.save(OLD)
    await world.push()
    await changed_orders(world)
    world.org.org.faults.configure({"answer": {**ANSWERS["503"], "count": 100_000}})
    for _ in range(LAST_ATTEMPT + 2):
        await push(world)
    async with world.service.store.reader() as connection:
        unsent = await outbox.find(connection, EntityKind.ORDER, [order.number for order in OLD])
    assert {(item.attempts, item.unanswered_sends, item.unconfirmed) for item in unsent.values()} == {(0, 0, False)}
    world.org.org.faults.clear()
    assert (await world.push()).in_sync


@LITE
@pytest.mark.parametrize("answer", ["301", "200 page", "503"])
async def test_unreadable_sign_in_response_is_reported_in_one_line(world: World, answer: str) -> None:
    await world.save(NEW)
    world.org.org.faults.configure({"answer": {**ANSWERS[answer], "of": "sign_in", "count": 1000}})
    waiting = await due(world)
    reason = await push(world)
    assert reason is not None
    assert "sign-in" in reason
    assert "\n" not in reason
    assert (await due(world), await world.dead_letters(), calls(world)) == (waiting, [], 0)


@LITE
@pytest.mark.parametrize("answer", ["302 to a page", "200 page", "200 null", "403 unknown", "404 page", "500 page"])
async def test_failed_dry_run_and_deployment_report_one_line_and_store_nothing(world: World, answer: str) -> None:
    await world.save(NEW)
    world.org.org.faults.configure({"answer": {**ANSWERS[answer], "count": 1000}})
    waiting, before = await due(world), calls(world)
    with pytest.raises(ConnectorError) as dry_run:
        await world.push(dry_run=True)
    with pytest.raises(ConnectorError) as deployment:
        await deploy_metadata(
            world.service.client,
            our_metadata(),
            version="66.0",
            clock=ManualClock(),
            on_progress=lambda done, total: None,
        )
    assert "\n" not in f"{dry_run.value}{deployment.value}"
    assert (await due(world), await outage(world)) == (waiting, None)
    assert calls(world) - before <= 2 * FEW
