"""Values that are held since an undo: listed, released by a person, and over once ours is another one."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import CommandError
from connector.jobs.held_values import list_held, parse_place, release
from connector.jobs.reconcile import ReconcileOptions
from connector.jobs.undo import carry_out
from connector.model.change import EntityKind
from connector.model.reconciliation import RecordState
from connector.store import journal, reconcile_runs
from connector.store.journal import AuditFilter
from connector.store.queries import held_links
from connector.store.queries.held_links import HeldCount
from tests.flow.conftest import Silent, World
from tests.flow.mapping_sides import Side
from tests.flow.test_push import an_order
from tests.flow.test_undo import DIFFERS, NUMBERS, begin, map_field, plan, undo, values

WRONG = {number: number for number in NUMBERS[:4]}


async def begin_with_holds(sides: Any) -> Side:
    """The undo of a wrong mapping that is still used."""
    side = await begin(sides, [*WRONG])
    map_field(side, "Channel__c", "number")
    await undo(side, "resync-1", included=DIFFERS)
    assert await values(side, "Channel__c") == dict.fromkeys(WRONG, "web")
    return side


async def held(world: World) -> dict[str, list[tuple[str, Any, Any]]]:
    page = await list_held(world.service.store, limit=100)
    return {item.key: [(field.name, field.ours, field.theirs) for field in item.fields] for item in page.records}


async def test_held_values_are_listed_and_released(sides: Any) -> None:
    side = await begin_with_holds(sides)
    store = side.service.store
    assert await held(side) == {number: [("Channel__c", number, "web")] for number in WRONG}
    first = await list_held(store, limit=3)
    rest = await list_held(store, limit=3, after=parse_place(first.after or ""))
    assert [item.key for item in (*first.records, *rest.records)] == [*WRONG]
    assert (rest.after, parse_place("x")) == (None, None)
    async with store.reader() as connection:
        assert await held_links.count(connection) == HeldCount(number=len(WRONG))

    chosen, kept = NUMBERS[:2], NUMBERS[2:4]
    await side.save([an_order("N-90", po_number="x" * 300), an_order("N-91")])
    await side.push()
    await side.save([an_order("N-91", po_number="7")])
    selection = {EntityKind.ORDER: [NUMBERS[0], "N-90", "N-91"]}
    compared = (await side.service.reconcile(ReconcileOptions(selection=selection), Silent())).result
    opened = {(item.key, item.state): item for item in compared.open if item.entity == "order"}
    assert {name: item.detail.partition(":")[0] for name, item in opened.items()} == {
        (NUMBERS[0], RecordState.HELD): "it was undone, and ours is another value",
        ("N-90", RecordState.REFUSED): "the change was refused",
        ("N-91", RecordState.PENDING): "a change waits to be sent",
    }
    [field] = opened[NUMBERS[0], RecordState.HELD].fields
    assert ((field.field, field.local, field.remote), compared.in_sync) == (("Channel__c", NUMBERS[0], "web"), False)
    async with store.reader() as connection:
        run = await reconcile_runs.latest(connection, side.service.client.org_id, full=False)
        assert run is not None
        listed = await reconcile_runs.list_records(connection, run.id, states=[RecordState.HELD], limit=9)
        differences = await reconcile_runs.list_findings(connection, run.id, limit=9)
    assert ([item.key for item in listed], differences) == ([NUMBERS[0]], [])
    with pytest.raises(CommandError, match="Nothing is held of order N-01"):
        await release(store, EntityKind.ORDER, chosen, fields=["Description"], actor="ann")
    assert await release(store, EntityKind.ORDER, chosen, fields=["Channel__c"], actor="ann") == 2
    await side.push()
    after = await values(side, "Channel__c")
    assert {number: after[number] for number in WRONG} == {number: number for number in chosen} | dict.fromkeys(
        kept, "web"
    )
    assert [*await held(side)] == kept
    async with store.reader() as connection:
        audited = await journal.list_actions(connection, AuditFilter(action="released"), limit=5)
    assert {(item.actor, item.key, *item.detail["fields"]) for item in audited} == {
        ("ann", number, "Channel__c") for number in chosen
    }
    await side.resync(EntityKind.ORDER)
    assert [*await held(side)] == kept

    map_field(side, "Channel__c", "channel")  # ours is what the org has: the hold is over
    await side.resync(EntityKind.ORDER)
    assert await held(side) == {}
    map_field(side, "Channel__c", "number")
    await side.resync(EntityKind.ORDER)
    assert await values(side, "Channel__c") == WRONG | {"N-91": "N-91"}


async def test_release_before_the_undo_was_sent_cancels_it_for_that_field(sides: Any) -> None:
    side = await begin(sides, [*WRONG])
    map_field(side, "Channel__c", "number")
    planned = await plan(side, "resync-1", included=DIFFERS)
    await carry_out(side.service.inbound_context, planned, actor="ann")
    assert await release(side.service.store, EntityKind.ORDER, NUMBERS[:1], actor="ann") == 1
    await side.push()
    assert await values(side, "Channel__c") == dict.fromkeys(WRONG, "web") | {NUMBERS[0]: NUMBERS[0]}


async def test_hold_ends_once_another_value_is_sent(sides: Any) -> None:
    side = await begin_with_holds(sides)
    map_field(side, "Channel__c", "channel")
    await side.save([an_order(NUMBERS[0], channel="phone", tracking_number=None)])
    await side.push()
    assert (await values(side, "Channel__c"))[NUMBERS[0]] == "phone"
    assert [*await held(side)] == NUMBERS[1:4]
