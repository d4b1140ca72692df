"""Values that are held since an undo: listed, released by a person, and over once ours is another one."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import CommandError
from connector.jobs.held_values import list_held, parse_place, release
from connector.jobs.undo import carry_out
from connector.model.change import EntityKind
from connector.store import journal
from connector.store.journal import AuditFilter
from connector.store.queries import held_links
from tests.flow.conftest import World
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
        assert await held_links.count_fields(connection) == len(WRONG)

    chosen, kept = NUMBERS[:2], NUMBERS[2:4]
    with pytest.raises(CommandError, match="Nothing is held of order N-01"):
        await release(store, EntityKind.ORDER, chosen, fields=["Description"], actor="ann")
    assert await release(store, EntityKind.ORDER, chosen, fields=["Channel__c"], actor="ann") == 2
    await side.push()
    assert await values(side, "Channel__c") == {number: number for number in chosen} | dict.fromkeys(kept, "web")
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
    assert await values(side, "Channel__c") == WRONG


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
