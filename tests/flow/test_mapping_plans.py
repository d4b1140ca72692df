"""Plans of mappings: what files would change on real orders, both ways, and that only a valid plan is applied."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from connector.errors import CommandError, MappingError
from connector.jobs.mappings import lint_cache, planning
from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.planning import PlanRequest
from connector.jobs.mappings.views import MappingPlan
from connector.mapping.lint import lint as real_lint
from connector.mapping.version import load_version
from connector.model.change import EntityKind
from connector.model.events import RequestReturn
from connector.model.shipments import Resolution, ReturnReason
from connector.model.stage import Stage
from connector.store import mapping_plans, mapping_tables, mapping_versions, resyncs
from connector.store.queries import resync_selection
from tests.flow.mapping_sides import Side
from tests.flow.test_push import an_order
from tests.flow.test_returns import act, delivered
from tests.order_builders import changed

LEVELS = "standard: Standard\nexpress: Express\nsame_day: Same Day\n'*': null\n"
LEVEL = "Service_Level__c: {path: service_level, owner: newest"


async def begin(side: Side, number: int = 6) -> None:
    """Orders of which each third is express, all in the org."""
    many = [
        an_order(
            f"A-{i:02}",
            customer=f"C-{i % 8 + 1}",
            service_level="express" if i % 3 == 0 else "standard",
            stage=Stage.CONFIRMED if i == 1 else Stage.PLACED,
            notes="n" * (300 if i == 2 else 20),
        )
        for i in range(number)
    ]
    await side.save(many)
    assert (await side.push()).in_sync


async def plan(side: Side, *edits: tuple[str, str], file: str = "order.yaml", **request: Any) -> MappingPlan:
    texts = dict(await side.texts())
    for before, after in edits:
        assert before in texts[file]
        texts[file] = texts[file].replace(before, after, 1)
    if "values: level" in texts[file]:
        texts["values/level.yaml"] = LEVELS
    return await side.admin.plan(texts, actor="ann", request=PlanRequest(**request))


async def test_plan_says_what_the_org_would_get_and_applying_it_sends_just_that(sides: Any) -> None:
    side = await sides()
    await begin(side)
    writes = side.writes
    found = await plan(side, (LEVEL, f"{LEVEL}, values: level"), ("  Freight__c: freight\n", ""))
    assert (found.base, found.state, side.writes) == (1, "open", writes)
    [count] = found.numbers.entities
    assert (count.entity, count.total, count.examined, count.changed, count.estimated) == ("order", 6, 6, 6, False)
    shown = {(item.key, item.field, item.before, item.after) for item in found.numbers.effects}
    assert ("A-00", "Service_Level__c", "express", "Express") in shown
    assert ("A-01", "Service_Level__c", "standard", "Standard") in shown
    assert {item.source for item in found.numbers.effects} == {"mappings/order.yaml:28"}
    assert [(item.sobject, item.field, item.count) for item in found.numbers.fields] == [
        ("Order", "Service_Level__c", 6)
    ]
    assert [(item.kind, item.field) for item in found.changes] == [
        ("source", "Service_Level__c"),
        ("removed", "Freight__c"),
    ]
    assert found.numbers.risk == "high"
    assert "6 of 6 orders change (100 %)." in found.numbers.reasons
    assert "Order.Freight__c is no longer mapped: it keeps the value that the org has." in found.numbers.reasons
    assert [item.path for item in found.files] == ["order.yaml", "values/level.yaml"]
    named = await plan(side, (LEVEL, f"{LEVEL}, values: level"), limit=1, orders=("A-03",))
    assert {item.key for item in named.numbers.effects} == {"A-03"}

    before = side.org.org.usage.by_resource.total()
    applied = await side.admin.apply_plan(found.id, Request(actor="bob", note="levels in words"))
    assert (applied.version.number, applied.version.author, applied.version.note) == (2, "bob", "levels in words")
    assert side.org.org.usage.by_resource.total() == before  # it is sent by a worker
    with pytest.raises(CommandError, match=f"Plan {found.id} is applied"):
        await side.admin.apply_plan(found.id, Request(actor="bob"))
    with pytest.raises(CommandError, match="version 2 is active, from bob, not version 1"):
        await side.admin.apply_plan(named.id, Request(actor="bob"))
    assert [item.state for item in await side.admin.list_plans()] == ["outdated", "applied"]
    await side.resync()
    rows = await side.query("SELECT Service_Level__c FROM Order")
    assert {row["Service_Level__c"] for row in rows} == {"Express", "Standard"}

    back = await side.admin.plan_rollback(1, actor="ann")
    assert (back.rollback_to, back.numbers.entities[0].changed) == (1, 6)
    rolled = await side.admin.apply_plan(back.id, Request(actor="ann"))
    assert (rolled.version.number, rolled.version.origin) == (3, "rollback")


async def test_plan_names_what_would_be_refused_left_out_or_reopened(sides: Any) -> None:
    side = await sides()
    await begin(side)
    too_long = await plan(side, ("Carrier__c: carrier", "Carrier__c: notes"))
    [count] = too_long.numbers.entities
    [refused] = [item for item in too_long.numbers.effects if item.effect == "refused"]
    assert (count.refused, refused.key, refused.source) == (1, "A-02", "mappings/order.yaml:41")
    assert "data value too large" in str(refused.after)
    assert refused.personal  # it may quote the value
    assert too_long.numbers.risk == "high"
    assert "1 order would be refused, which is accepted now." in too_long.numbers.reasons
    assert {item.personal for item in too_long.numbers.effects if item.field == "Carrier__c"} == {True}

    excluded = await plan(side, ("# when: ", "when: stage != 'confirmed'\n# when: "))
    [count] = excluded.numbers.entities
    assert (count.left_out, count.changed, excluded.numbers.risk) == (1, 0, "medium")

    reopened = await plan(side, ("{path: placed_at, transform: date}", "{const: '2026-01-01'}"))
    [count] = reopened.numbers.entities
    assert (count.changed, count.rewrites) == (6, 1)

    owner = await plan(side, ("{path: po_number, owner: newest}", "po_number"))
    assert owner.numbers.risk == "high"
    assert owner.numbers.reasons == ["Order.PoNumber: the owner changes from newest to local."]
    assert owner.numbers.entities[0].changed == 0
    with pytest.raises(MappingError, match="Nope__c"):
        await plan(side, ("Carrier__c: carrier", "Nope__c: carrier"))
    with pytest.raises(CommandError, match="are the active version already"):
        await plan(side)


async def test_value_of_the_org_that_would_mean_something_else_is_planned_as_well(sides: Any) -> None:
    """What is due anyway is left out, and a value that our own replaces is no change from the org."""
    side = await sides()
    await begin(side, 3)
    await side.save(
        [changed(an_order("A-01", customer="C-2", service_level="standard", stage=Stage.CONFIRMED), notes="due")]
    )
    found = await plan(
        side,
        ("Description: {path: notes", "Description: {path: po_number"),
        ("  PoNumber: {path: po_number, owner: newest}\n", ""),
    )
    to_org = [item for item in found.numbers.effects if item.direction == "to_org"]
    assert {(item.key, item.field, item.after) for item in to_org} == {
        (key, "Description", None) for key in ("A-00", "A-01", "A-02")
    }
    owned = await plan(
        side,
        ("Rep_Comment__c: {path: rep_comment, owner: salesforce}", "Rep_Comment__c: {path: notes, owner: salesforce}"),
        ("Description: {path: notes, owner: newest}", "Description: {const: fixed}"),
    )
    assert [item.field for item in owned.changes] == ["Description", "Description", "Rep_Comment__c"]


async def test_plan_of_very_many_is_estimated_and_an_expired_one_is_not_applied(
    sides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = await sides()
    await begin(side, 12)
    monkeypatch.setattr(planning, "MOST_EXAMINED", 6)
    monkeypatch.setattr(planning, "BLOCK", 3)
    found = await plan(side, ("Lifecycle_Stage__c: stage", "Lifecycle_Stage__c: {const: placed}"))
    [count] = found.numbers.entities
    assert (count.total, count.examined, count.estimated) == (12, 6, True)
    assert "about 2 of 12 orders change (17 %)." in found.numbers.reasons
    monkeypatch.setattr(planning, "MOST_SECONDS", 0)
    [count] = (await plan(side, ("Lifecycle_Stage__c: stage", "Lifecycle_Stage__c: {const: placed}"))).numbers.entities
    assert (count.examined, count.estimated) == (1, True)  # the time is over after the first order
    async with side.service.store.transaction() as uow:
        stored = await mapping_plans.get(uow.connection, found.id)
        assert stored is not None
        old = replace(stored, id="old", expires_at=stored.created_at - timedelta(days=1))
        await mapping_plans.put(uow, old, await side.texts())
    with pytest.raises(CommandError, match="Plan old is expired"):
        await side.admin.apply_plan("old", Request(actor="ann"))
    with pytest.raises(CommandError, match=r"There is no plan no\.such"):
        await side.admin.apply_plan("no.such", Request(actor="ann"))


async def test_mapping_of_returns_is_planned_and_has_its_resync_with_its_version(sides: Any) -> None:
    """Whoever activates it may die at once: nothing remains to be done."""
    side = await sides()
    await delivered(side)
    for _ in range(2):
        await act(side, RequestReturn(lines={1: Decimal(1)}, reason=ReturnReason.DAMAGED, resolution=Resolution.REFUND))
    assert (await side.push()).in_sync
    found = await plan(side, ("Return_Reason__c: reason", "Return_Reason__c: status"), file="return.yaml")
    [count] = found.numbers.entities
    assert (count.entity, count.total, count.examined, count.estimated) == ("return", 2, 0, True)
    assert (found.numbers.risk, found.numbers.cost.calls > 0) == ("medium", True)
    assert found.numbers.reasons == [
        "every return is sent again where it differs, 2 in all: what changes in them is not computed."
    ]

    applied = await side.admin.apply_plan(found.id, Request(actor="ann"))
    assert await side.due() == {}
    async with side.service.store.reader() as connection:
        [made] = [item for item in await resyncs.list_page(connection, limit=9) if item.id in applied.resyncs]
        first = await resync_selection.list_keys(connection, made.entity, made.filter, after=None, limit=1)
        rest = await resync_selection.list_keys(connection, made.entity, made.filter, after=first[0], limit=9)
    assert (made.entity, made.total, first, rest) == (EntityKind.RETURN, 2, ["R-1-RMA1"], ["R-1-RMA2"])


async def test_plan_before_a_version_is_active_compares_with_the_files_in_use(sides: Any) -> None:
    side = await sides()
    texts = dict(load_version(side.folder).texts)
    texts["order.yaml"] = texts["order.yaml"].replace("  Freight__c: freight\n", "")
    found = await side.admin.plan(texts, actor="ann")
    assert (found.base, [item.path for item in found.files]) == (None, ["order.yaml"])
    assert [(item.kind, item.field) for item in found.changes] == [("removed", "Freight__c")]


async def test_files_of_a_version_that_is_being_activated_are_not_deleted_with_old_plans(sides: Any) -> None:
    side = await sides()
    await side.touch("1")
    await side.tick()
    texts = dict(await side.texts())
    found = await side.admin.plan({**texts, "order.yaml": f"{texts['order.yaml']}# changed\n"}, actor="ann")
    store = side.service.store
    async with store.transaction() as uow:
        stored = await mapping_plans.get(uow.connection, found.id)
        assert stored is not None
        old = uow.now - timedelta(days=9)
        await uow.connection.execute(update(mapping_tables.mapping_plans).values(expires_at=old))
        await uow.connection.execute(update(mapping_tables.mapping_contents).values(stored_at=old))
        files = await mapping_versions.get_texts(uow.connection, stored.digest)
    assert files is not None

    async def clean() -> None:
        async with store.transaction() as uow:
            other = replace(stored, id="other", digest="other", expires_at=uow.now)
            await mapping_plans.put(uow, other, {"x.yaml": "y"})

    async with store.transaction() as uow:
        assert await mapping_versions.activate(uow, stored.digest, "x", base=1, texts=files) == 2
        cleaning = asyncio.create_task(clean())  # in PostgreSQL it waits for the row, in SQLite for the transaction
        await asyncio.sleep(0.1)
    await cleaning
    assert await side.texts() == files


async def test_files_are_linted_once_and_in_a_thread(sides: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    side = await sides()
    await side.touch("1")
    await side.push()
    linted: list[bool] = []

    def lint(*arguments: Any) -> Any:
        linted.append(threading.current_thread() is threading.main_thread())
        return real_lint(*arguments)

    monkeypatch.setattr(lint_cache, "lint", lint)
    admin, texts = side.admin, await side.texts()
    first = await admin.lint(texts)
    assert linted == [False, False]  # by itself, and with the org
    assert (await admin.lint(texts)).problems == first.problems
    assert await admin.read(texts) is not None
    assert len(linted) == 2
    await admin.lint(texts, refresh=True)  # the org may be another one by now
    assert len(linted) == 3
