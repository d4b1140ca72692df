"""An undo puts back what its run was asked to change, and not what happened to be sent with it."""

from __future__ import annotations

from typing import Any

from connector.jobs.resync import make_due
from connector.log import current_run
from connector.model.change import EntityKind
from connector.model.resync import ResyncMode
from connector.model.stage import Stage
from connector.model.undo import Included, UndoPlan, UndoState
from tests.flow.mapping_sides import Side
from tests.flow.test_push import an_order
from tests.flow.test_resyncs import ask
from tests.flow.test_undo import NUMBERS, map_field, plan, undo, values

OLD, NEW = NUMBERS[:24], NUMBERS[24:]


def order(number: str, stage: Stage = Stage.CONFIRMED, **values: Any) -> Any:
    return an_order(number, stage=stage, channel="web", tracking_number=None, **values)


def fields_of(planned: UndoPlan, state: UndoState) -> dict[str, set[str]]:
    """The orders of each field in this state; of a created record, the field is empty."""
    found: dict[str, set[str]] = {}
    for row in planned.rows:
        if row.state is state:
            found.setdefault(row.field, set()).add(row.key)
    return found


async def begin_resync(side: Side, *keys: str) -> None:
    asked = await ask(side, ResyncMode.PUSH, EntityKind.ORDER)
    token = current_run.set(asked.run_name)
    await make_due(side.service.store, EntityKind.ORDER, keys)
    current_run.reset(token)


async def test_undo_begins_with_what_the_run_was_asked_to_change(sides: Any) -> None:
    side: Side = await sides()
    await side.save([order(number) for number in OLD])
    await side.tick()
    map_field(side, "Channel__c", "number")
    await side.save([order(number) for number in NEW])  # placed, shipped and changed while the resync begins
    await side.save([order(number, Stage.SHIPPED) for number in OLD[:4]])
    await begin_resync(side)
    await side.save([order(number, po_number="4711") for number in OLD[4:8]])
    await side.push()
    assert await values(side, "Channel__c") == {number: number for number in NUMBERS}

    still_wrong = await plan(side, "resync-1")
    assert (still_wrong.to_restore, still_wrong.calls_at_most) == ([], 0)
    assert fields_of(still_wrong, UndoState.DIFFERS) == {"Channel__c": {*OLD}}

    map_field(side, "Channel__c", "channel")
    planned = await plan(side, "resync-1")
    assert fields_of(planned, UndoState.RESTORE) == {"Channel__c": {*OLD}}
    sent_with = fields_of(planned, UndoState.SENT_WITH)
    assert {name: sent_with[name] for name in ("Lifecycle_Stage__c", "PoNumber", "")} == {
        "Lifecycle_Stage__c": {*OLD[:4]}, "PoNumber": {*OLD[4:8]}, "": {*NEW},
    }  # fmt: skip
    everything = await plan(side, "resync-1", included=frozenset({Included.SENT_WITH}))
    assert fields_of(everything, UndoState.DIFFERS)["PoNumber"] == {*OLD[4:8]}
    assert fields_of(everything, UndoState.CREATED)[""] == {*NEW}

    await undo(side, "resync-1")
    await side.push()
    assert await values(side, "Channel__c") == dict.fromkeys(OLD, "web") | {number: number for number in NEW}
    stages, purchases = await values(side, "Lifecycle_Stage__c"), await values(side, "PoNumber")
    assert ({stages[number] for number in OLD[:4]}, {purchases[number] for number in OLD[4:8]}) == (
        {"shipped"}, {"4711"},
    )  # fmt: skip

    both = frozenset(Included)
    chosen = {"keys": (OLD[4],), "fields": ("Order.PoNumber",)}
    assert len((await undo(side, "resync-1", included=both, **chosen)).to_restore) == 1
    assert (await values(side, "PoNumber"))[OLD[4]] is None
    await begin_resync(side)
    await side.push()
    assert (await values(side, "PoNumber"))[OLD[4]] is None  # held
    undone = await plan(side, "undo-2")
    assert fields_of(undone, UndoState.RESTORE) == {"PoNumber": {OLD[4]}}


async def test_plain_resync_has_what_differed_and_not_what_was_changed_meanwhile(sides: Any) -> None:
    side: Side = await sides()
    await side.save([order(number, notes="ours") for number in OLD[:3]])
    await side.tick()
    await side.change_in_org("Order", OLD[0], Carrier__c="by a rep")
    await side.save([order(OLD[1], Stage.SHIPPED, notes="ours")])
    await begin_resync(side, *OLD[:2])
    await side.push()
    planned = await plan(side, "resync-1")
    assert fields_of(planned, UndoState.DIFFERS) == {"Carrier__c": {OLD[0]}}
    assert planned.to_restore == []
    assert {OLD[1]} == fields_of(planned, UndoState.SENT_WITH)["Lifecycle_Stage__c"]
