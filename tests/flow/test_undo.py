"""A run is undone: what nobody changed since gets its former value back, and the rest is listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from connector.errors import CommandError, StoreError
from connector.jobs import undo as undo_job
from connector.jobs import undo_plan
from connector.jobs.reconcile import ReconcileOptions
from connector.jobs.resync import make_due
from connector.jobs.runs import list_runs
from connector.jobs.undo import carry_out, selection, undo_by_plan
from connector.jobs.undo_plan import UndoChoice, plan_undo
from connector.log import current_run
from connector.model.change import EntityKind
from connector.model.events import ChangeOrder
from connector.model.reconciliation import RecordState
from connector.model.resync import ResyncMode
from connector.model.role import Role
from connector.model.undo import Included, Side, UndoPlan, UndoRow, UndoState
from connector.orders.command import OrderCommand
from connector.outbound.repository import SyncRepository
from connector.store import customers, journal, links, orders, tokens, undos
from connector.store.journal import AuditFilter
from tests.flow.conftest import Silent, World
from tests.flow.mapping_sides import Side as MappingSide
from tests.flow.test_push import an_order
from tests.flow.test_resyncs import ask, until, working

DIFFERS = frozenset({Included.DIFFERS})
NUMBERS = [f"N-{number:02}" for number in range(1, 31)]


async def plan(world: World, run: str, **chosen: Any) -> UndoPlan:
    return await plan_undo(world.service.inbound_context, run, UndoChoice(**chosen))


async def undo(world: World, run: str, **chosen: Any) -> UndoPlan:
    """Plan, and do it: with the push that follows."""
    planned = await plan(world, run, **chosen)
    await carry_out(world.service.inbound_context, planned, actor="ann")
    await push(world, planned)
    return planned


async def push(world: World, planned: UndoPlan) -> None:
    async def chosen(store: object) -> Any:
        return selection(planned)

    summary = await world.service.push(Silent(), prepare=chosen)
    assert summary.complete


async def values(world: World, field: str) -> dict[str, str | None]:
    rows = await world.query(f"SELECT External_Key__c, {field} FROM Order")
    return {row["External_Key__c"]: row[field] for row in rows}


def map_field(side: MappingSide, field: str, path: str) -> None:
    """Another value fills the field of orders from now on."""
    lines = (side.folder / "order.yaml").read_text(encoding="utf-8").splitlines()
    changed = [f"  {field}: {path}" if line.startswith(f"  {field}: ") else line for line in lines]
    (side.folder / "order.yaml").write_text("\n".join(changed), encoding="utf-8")


async def begin(sides: Any, numbers: Sequence[str]) -> MappingSide:
    """Orders that a resync by a wrong mapping has spoiled; the mapping is right again."""
    side: MappingSide = await sides()
    await side.save([an_order(number, channel="web", tracking_number=None) for number in numbers])
    await side.tick()
    map_field(side, "Channel__c", "number")
    await side.resync(EntityKind.ORDER)
    assert await values(side, "Channel__c") == {number: number for number in numbers}
    map_field(side, "Channel__c", "channel")
    return side


async def test_resync_by_a_wrong_mapping_is_undone_where_nobody_changed_it(sides: Any) -> None:
    side = await begin(sides, NUMBERS)
    by_reps = dict.fromkeys(NUMBERS[:3], "by a rep")
    for number in by_reps:
        await side.change_in_org("Order", number, Channel__c="by a rep")

    planned = await plan(side, "resync-1")
    assert (len(planned.to_restore), planned.counts) == (27, {"restore": 27, "changed": 3})
    changed = [row for row in planned.rows if row.state is UndoState.CHANGED]
    assert {(row.key, row.now, str(row.who).partition(" ")[0]) for row in changed} == {
        (number, "by a rep", "Rep") for number in by_reps
    }
    assert planned.reads <= 3
    writes = side.writes
    _, made = await undo_by_plan(side.service.inbound_context, "resync-1", planned.id, actor="ann")
    await push(side, planned)
    assert made is not None
    assert side.writes - writes <= planned.calls_at_most
    expected = dict.fromkeys(NUMBERS, "web") | by_reps
    assert await values(side, "Channel__c") == expected
    async with side.service.store.reader() as connection:
        [stored] = await undos.list_of_run(connection, "resync-1")
        [audited] = await journal.list_actions(connection, AuditFilter(action="undone"), limit=5)
    assert (stored.run_name, stored.total, stored.actor) == ("undo-1", 27, "ann")
    assert {item["key"] for item in stored.left_alone} == {*by_reps}
    assert (audited.actor, audited.key, audited.detail["fields"]) == ("ann", "resync-1", 27)

    again = await undo(side, "resync-1")  # there is nothing left to do
    assert (again.counts, again.calls_at_most) == ({"changed": 3, "restored": 27}, 0)
    with pytest.raises(CommandError, match="undo-1, asked for by ann, does what this plan says already"):
        await undo_by_plan(side.service.inbound_context, "resync-1", planned.id, actor="ann")

    of_undo = await undo(side, "undo-1", included=DIFFERS)  # and what it put back was a mistake
    assert of_undo.counts == {"restore": 27}
    assert all(row.holds for row in of_undo.rows)
    spoiled = {number: number for number in NUMBERS} | by_reps
    assert await values(side, "Channel__c") == spoiled
    await side.save([an_order(NUMBERS[9], channel="web", po_number="7"), an_order(NUMBERS[10], channel="phone")])
    await side.push()
    assert await values(side, "Channel__c") == spoiled | {NUMBERS[10]: "phone"}  # held until our value is another one
    assert (await side.order(NUMBERS[9]))["PoNumber"] == "7"


async def test_undo_that_is_killed_at_any_point_is_finished_by_the_next(
    sides: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = NUMBERS[:6]
    side = await begin(sides, numbers)
    monkeypatch.setattr(undo_job, "AT_ONCE", 2)
    planned, parts = await plan(side, "resync-1"), 0
    make_due = undo_job._make_due

    async def killed(*values: Any, **named: Any) -> None:
        nonlocal parts
        parts += 1
        if parts == 2:
            raise StoreError("The process ended.", hint="")
        await make_due(*values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(undo_job, "_make_due", killed)
        with pytest.raises(StoreError):
            await carry_out(side.service.inbound_context, planned, actor="ann")

    async def crash(*_: Any) -> None:
        raise StoreError("The process ended.", hint="")

    with monkeypatch.context() as patch:  # the org has it, and nothing here says so
        patch.setattr(SyncRepository, "record", crash)
        with pytest.raises(StoreError):
            await side.push()
    await side.change_in_org("Order", numbers[5], Channel__c="by a rep")
    await side.push()
    expected = dict.fromkeys(numbers[:2], "web") | {number: number for number in numbers[2:5]}
    assert await values(side, "Channel__c") == expected | {numbers[5]: "by a rep"}
    assert (await undo(side, "resync-1")).counts == {"restore": 3, "changed": 1, "restored": 2}
    assert await values(side, "Channel__c") == dict.fromkeys(numbers, "web") | {numbers[5]: "by a rep"}


async def test_change_between_the_plan_and_the_write_stays(sides: Any) -> None:
    numbers = NUMBERS[:3]
    side = await begin(sides, numbers)
    map_field(side, "Channel__c", "number")  # the mistake is still there: what is put back differs from our value
    assert (await plan(side, "resync-1")).counts == {"differs": 3}  # it stays, unless that is chosen
    planned = await plan(side, "resync-1", included=DIFFERS)
    assert [row.holds for row in planned.to_restore] == [True] * 3
    await carry_out(side.service.inbound_context, planned, actor="ann")
    await side.change_in_org("Order", numbers[0], Channel__c="by a rep")
    await push(side, planned)
    expected = {numbers[0]: "by a rep", numbers[1]: "web", numbers[2]: "web"}
    assert await values(side, "Channel__c") == expected
    reconciled = await side.service.reconcile(ReconcileOptions(selection={EntityKind.ORDER: [numbers[1]]}), Silent())
    assert reconciled.result.total([RecordState.HELD]) == 1
    await side.resync(EntityKind.ORDER)
    assert await values(side, "Channel__c") == expected


async def test_what_a_resync_took_over_from_the_org_is_put_back_here(world: World) -> None:
    numbers = NUMBERS[:3]
    await world.save([an_order(number, po_number="ours") for number in numbers])
    await world.push()
    for number in numbers:
        await world.change_in_org("Order", number, PoNumber="theirs", Rep_Comment__c="call first")
    await world.change_in_org("Account", "C-1", Phone="+49 1")
    for kind in (EntityKind.ORDER, EntityKind.CUSTOMER):
        asked = await ask(world, ResyncMode.PULL, kind)
        async with working(world):
            await until(world, asked.id, lambda item: item.ended)
    assert await values_here(world) == dict.fromkeys(numbers, ("theirs", "call first"))
    await world.service.orders.execute(
        OrderCommand(number=numbers[0], event=ChangeOrder(details={"po_number": "later"})), actor="ben"
    )

    undone = await undo(world, "resync-1")
    assert undone.counts == {"restore": 5, "changed": 1}
    assert await values_here(world) == {
        numbers[0]: ("later", None), numbers[1]: ("ours", None), numbers[2]: ("ours", None),
    }  # fmt: skip
    assert await values(world, "PoNumber") == {numbers[0]: "later", numbers[1]: "ours", numbers[2]: "ours"}
    assert (await undo(world, "resync-2")).counts == {"restore": 1}
    async with world.service.store.reader() as connection:
        [customer] = await customers.load(connection, ["C-1"])
    assert customer.phone is None
    assert await world.query("SELECT Phone FROM Account WHERE External_Key__c = 'C-1'") == [{"Phone": None}]
    assert (await plan(world, "resync-1")).counts == {"restored": 5, "changed": 1}

    again = await undo(world, "undo-1", keys=(numbers[1],), fields=("Order.PoNumber",))
    assert [(row.before, row.now, row.side) for row in again.rows if row.side is Side.HERE] == [
        ("theirs", "ours", Side.HERE)
    ]
    assert (await values_here(world))[numbers[1]] == ("theirs", None)
    assert (await values(world, "PoNumber"))[numbers[1]] == "theirs"


async def values_here(world: World) -> dict[str, tuple[str | None, str | None]]:
    """The purchase order number and the rep's comment of each order here."""
    async with world.service.store.reader() as connection:
        found = await orders.load(connection, NUMBERS)
    return {order.number: (order.header.po_number, order.header.rep_comment) for order in found}


async def test_lines_accounts_and_products_are_undone_over_http(sides: Any) -> None:
    side: MappingSide = await sides()
    await side.save([an_order("N-01")])
    await side.tick()
    wrong = {
        "order.yaml": ("      Line_Number__c: number", "      Line_Number__c: quantity"),
        "customer.yaml": ("  BillingCity: ", "  BillingCity: number #"),
        "product.yaml": ("  Name: name", "  Name: sku"),
    }
    right = {file: (side.folder / file).read_text(encoding="utf-8") for file in wrong}
    for file, (line, changed) in wrong.items():
        assert line in right[file]
        (side.folder / file).write_text(right[file].replace(line, changed, 1), encoding="utf-8")
    for kind in (EntityKind.ORDER, EntityKind.CUSTOMER, EntityKind.PRODUCT):
        await side.resync(kind)
    assert await records(side) == ({12, 3}, {"C-1"}, {"P-1"})
    for file, text in right.items():
        (side.folder / file).write_text(text, encoding="utf-8")
    async with side.service.store.transaction() as uow:
        secret = await tokens.create(uow, "Kim", Role.OPS)
    headers = {"Authorization": f"Bearer {secret}"}
    async with TestClient(TestServer(side.service.web_app()), headers=headers) as client:
        for run in ("resync-1", "resync-2", "resync-3"):
            path = f"/api/v1/runs/{run}/undo"
            planned = (await (await client.post(path, json={"dry_run": True})).json())["plan"]
            assert {*planned["counts"]} == {"restore"}
            answer = await client.post(path, json={"plan": planned["id"]})
            assert (answer.status, (await answer.json())["undo"]["undoes"]) == (202, run)
            assert (await client.post(path, json={"plan": "0"})).status == 409
        assert (await client.post(path, json={"dry_run": True, "org": "emea"})).status == 422
    await side.push()
    assert await records(side) == ({1, 2}, {"Münster"}, {"Product 1"})


async def records(side: World) -> tuple[set[Any], set[Any], set[Any]]:
    """The numbers of the lines, the city of an account, and the name of a product."""
    lines = await side.query("SELECT Line_Number__c FROM OrderItem")
    accounts = await side.query("SELECT BillingCity FROM Account WHERE External_Key__c = 'C-1'")
    named = await side.query("SELECT Name FROM Product2 WHERE External_Key__c = 'P-1'")
    return (
        {int(row["Line_Number__c"]) for row in lines},
        {row["BillingCity"] for row in accounts},
        {row["Name"] for row in named},
    )


async def test_healing_is_undone_and_neither_pulls_nor_comparisons_bring_it_back(world: World) -> None:
    await world.save([an_order("N-01", po_number="1")])
    await world.push()
    await world.change_in_org("Order", "N-01", Carrier__c="by a rep", PoNumber="2")
    heal = ReconcileOptions(selection={EntityKind.ORDER: ["N-01"]}, heal=True)
    await world.service.reconcile(heal, Silent())
    assert (await values(world, "Carrier__c"), await values(world, "PoNumber")) == ({"N-01": None}, {"N-01": "2"})
    [run] = await list_runs(world.service.store, limit=5)
    assert (run.run, run.kind, run.counts["healed"]) == ("reconcile-1", "reconcile", 1)

    undone = await undo(world, run.run, included=DIFFERS)
    assert {(row.field, row.side, row.before, row.holds) for row in undone.to_restore} == {
        ("Carrier__c", Side.ORG, "by a rep", True), ("PoNumber", Side.HERE, "1", False),
    }  # fmt: skip
    assert (await values(world, "Carrier__c"), await values(world, "PoNumber")) == ({"N-01": "by a rep"}, {"N-01": "1"})
    for _ in range(2):
        await world.service.pull()
        await world.push()
        await world.service.reconcile(heal, Silent())
        assert (await values(world, "Carrier__c"))["N-01"] in {"by a rep", "again by a rep"}
        await world.change_in_org("Order", "N-01", Carrier__c="again by a rep")
    assert await values(world, "Carrier__c") == {"N-01": "again by a rep"}


async def test_change_made_here_that_waits_is_neither_replaced_nor_held(sides: Any) -> None:
    side = await begin(sides, NUMBERS[:3])
    earlier = await plan(side, "resync-1")
    await side.change_in_org("Order", NUMBERS[1], Channel__c="by a rep")
    for number in NUMBERS[:2]:
        await side.save([an_order(number, channel="phone")])  # both are corrected here, and wait to be sent
    context = side.service.inbound_context
    with pytest.raises(CommandError, match="The plan has changed"):
        await undo_by_plan(context, "resync-1", earlier.id, actor="ann")

    planned = await undo(side, "resync-1")
    left = [(row.key, row.who, row.ours, row.holds) for row in planned.rows if row.state is UndoState.CHANGED]
    assert left == [(NUMBERS[0], "connector", "phone", False), (NUMBERS[1], "connector", "phone", False)]
    await side.push()
    after = await values(side, "Channel__c")
    assert (after[NUMBERS[0]], after[NUMBERS[2]]) == ("phone", "web")
    async with side.service.store.reader() as connection:
        found = await links.get(connection, planned.org_id, "order", NUMBERS[:3])
    assert all(not link.held for link in found.values())


async def test_change_that_joined_an_unsent_one_of_the_run_is_left_and_listed(sides: Any) -> None:
    side: MappingSide = await sides()
    await side.save([an_order("N-01", channel="web", po_number="old", tracking_number=None)])
    await side.tick()
    map_field(side, "Channel__c", "number")
    asked = await ask(side, ResyncMode.PUSH, EntityKind.ORDER)
    token = current_run.set(f"resync-{asked.id}")
    await make_due(side.service.store, EntityKind.ORDER, [])
    current_run.reset(token)
    await side.save([an_order("N-01", channel="web", po_number="by a person", tracking_number=None)])
    await side.push()
    map_field(side, "Channel__c", "channel")
    planned = await undo(side, "resync-1")
    found = {row.field: (row.state, row.who) for row in planned.rows}
    assert found == {"Channel__c": (UndoState.RESTORE, None), "PoNumber": (UndoState.SENT_WITH, None)}
    await side.push()
    assert await values(side, "PoNumber") == {"N-01": "by a person"}
    assert await values(side, "Channel__c") == {"N-01": "web"}


def test_plan_is_named_by_all_that_it_does() -> None:
    row = UndoRow(
        state=UndoState.RESTORE, side=Side.ORG, entity="order", key="N-01", sobject="Order", record="N-01",
        record_id="801", field="Channel__c", before="web", written="fax", now="fax", ours="web", is_ours=True,
    )  # fmt: skip
    changed = replace(row, state=UndoState.CHANGED)
    of_rows = [
        [row], [replace(row, ours="phone")], [replace(row, holds=True)], [replace(row, key="N-02")],
        [row, replace(changed, holds=True)], [row, replace(changed, holds=True, ours="phone")],
    ]  # fmt: skip
    plans = [UndoPlan(run="resync-1", org_id="00D1", rows=rows) for rows in of_rows]
    assert len({item.id for item in [*plans, replace(plans[0], org_id="00D2")]}) == len(of_rows) + 1
    assert replace(plans[0], rows=[row, changed]).id == plans[0].id  # what is left alone does not count


async def test_undo_of_too_many_fields_asks_for_a_choice(sides: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    side = await begin(sides, NUMBERS[:2])
    everything = await plan(side, "resync-1")
    monkeypatch.setattr(undo_plan, "MAX_FIELDS", 1)
    monkeypatch.setattr(undo_plan, "_PAGE", 1)
    with pytest.raises(CommandError, match="wrote more than 1 fields") as raised:
        await plan(side, "resync-1")
    assert (raised.value.field, "Choose keys" in str(raised.value.hint)) == ("keys", True)
    chosen = {"keys": (NUMBERS[0],), "fields": ("Order.Channel__c",)}
    assert (len(everything.to_restore), len((await plan(side, "resync-1", **chosen)).to_restore)) == (2, 1)
