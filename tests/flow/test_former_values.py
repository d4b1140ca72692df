"""A field that a mapping gets: what reps had in it is read once before it is replaced, so that an undo puts it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.planning import PlanRequest
from connector.jobs.undo import undo_by_plan
from connector.jobs.undo_plan import UndoChoice
from connector.model.change import EntityKind
from connector.model.resync import Resync
from connector.model.undo import UndoState
from connector.settings.salesforce import SalesforceSettings
from tests.flow.mapping_sides import Side, make_old
from tests.flow.test_push import an_order
from tests.flow.test_resyncs import until, working
from tests.flow.test_undo import plan, push, values
from tests.order_builders import changed

FIELD = "OrderReferenceNumber"
BY_REPS = {"A-1": None, "A-2": "typed, too", "A-3": "7", "A-4": "typed"}
OURS = {"A-1": "8", "A-2": None, "A-3": "7", "A-4": "5"}


async def begin(side: Side) -> None:
    """Orders in the org, where reps have filled a field that nothing here knows."""
    await side.save([an_order(number, po_number=ours) for number, ours in OURS.items()])
    assert (await side.push()).in_sync
    for number, value in BY_REPS.items():
        if value is not None:
            await side.change_in_org("Order", number, **{FIELD: value})


async def until_done(side: Side, numbers: Sequence[int]) -> list[Resync]:
    return [await until(side, number, lambda item: item.ended) for number in numbers]


async def test_former_values_are_read_before_the_first_write_and_can_be_put_back(sides: Any) -> None:
    side = await sides()
    await begin(side)
    await side.apply(
        lambda text: text.replace("  Freight__c: freight\n", f"  Freight__c: freight\n  {FIELD}: po_number\n"),
        file="order.yaml",
        resync=False,
    )
    summary = await side.resync(EntityKind.ORDER)
    assert (summary.reads, summary.writes) == (1, 1)
    assert await values(side, FIELD) == OURS
    again = await side.resync(EntityKind.ORDER)
    assert (again.reads, again.writes) == (0, 0)  # also what the org had already is known now

    await side.admin.rollback(1, Request(actor="ann", resync=False))
    planned = await plan(side, "resync-1")
    assert planned.counts == {UndoState.RESTORE: 3}
    await undo_by_plan(side.service.inbound_context, "resync-1", planned.id, UndoChoice(), actor="ann")
    await push(side, planned)
    assert await values(side, FIELD) == BY_REPS


async def test_plan_reads_what_would_be_lost_and_a_return_that_changes_nothing_makes_no_call(sides: Any) -> None:
    side = await sides()
    await begin(side)
    texts = dict(await side.texts())
    texts["order.yaml"] = texts["order.yaml"].replace(
        "  Freight__c: freight\n", f"  Freight__c: freight\n  {FIELD}: po_number\n"
    )
    found = await side.admin.plan(texts, actor="ann")
    [former] = found.numbers.former
    assert (former.asked, former.same, former.overwritten, former.emptied, former.unasked) == (4, 1, 1, 1, 0)
    assert (found.numbers.reads, found.numbers.unread, found.numbers.risk) == (1, "", "high")
    assert (
        "Order.OrderReferenceNumber holds values of its own in Salesforce: of 4 records that were read, 1 would be"
        " overwritten and 1 would be emptied. Each is kept before it is replaced: going back and"
        " undoing the resync put it back."
    ) in found.numbers.reasons
    assert {(item.key, item.before, item.after) for item in found.numbers.effects} == {
        ("A-4", "typed", "5"), ("A-2", "typed, too", None), ("A-1", None, "8"),
    }  # fmt: skip
    few = await side.admin.plan(texts, actor="ann", request=PlanRequest(limit=2))
    assert [item.key for item in few.numbers.effects] == ["A-4", "A-2"]  # what is lost, and not the first by key
    assert found.numbers.entities[0].changed == 3

    applied = await side.admin.apply_plan(found.id, Request(actor="ann"))
    async with working(side):
        sent = await until_done(side, applied.resyncs)
    assert [(item.total, item.done) for item in sent] == [(4, 4)]
    assert await values(side, FIELD) == OURS

    back = await side.admin.plan_rollback(1, actor="ann")
    assert (back.numbers.entities[0].changed, back.numbers.cost.calls) == (0, 0)
    await make_old(side)  # what was changed a minute before a plan might have been stored behind it
    rolled = await side.admin.apply_plan(back.id, Request(actor="ann"))
    assert rolled.version.number == 3
    await side.save([changed(an_order("A-4", po_number="5"), carrier="after the plan")])
    before = side.org.org.usage.by_resource.copy()
    async with working(side):
        sent = await until_done(side, rolled.resyncs)
    assert [(item.total, item.done) for item in sent] == [(0, 1)]  # the order that was changed since
    made = side.org.org.usage.by_resource - before
    assert made == {"composite/sobjects": 1}


async def test_plan_says_so_when_the_org_cannot_be_asked(sides: Any) -> None:
    side = await sides()
    await begin(side)
    texts = dict(await side.texts())
    texts["order.yaml"] = texts["order.yaml"].replace("Carrier__c: carrier", f"Carrier__c: carrier\n  {FIELD}: number")
    settings = side.service.settings.model_copy(update={"salesforce": SalesforceSettings()})
    found = await replace(side.admin, settings=settings).plan(texts, actor="ann")
    [former] = found.numbers.former
    assert (former.asked, former.unasked, found.numbers.unread) == (0, 4, "This process has no sign-in for the org")
    assert "what 4 records hold there now is not known, because the org could not be asked" in found.numbers.reasons[1]
