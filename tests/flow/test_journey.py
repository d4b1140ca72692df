"""A journey tells both directions: change, capture, call, answer, what came back, and how it was merged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector.api.journey import Direction, Journey, JourneyStep, build_journey
from connector.model.change import EntityKind
from connector.settings.retention import KeptValues
from connector.store.queries.journey import load_journey
from tests.flow.conftest import CUSTOMERS, World
from tests.flow.test_pull import NUMBER, OwnedWorld, begin, change_notes, owned  # noqa: F401 - a fixture


async def journey(
    world: World, kind: EntityKind = EntityKind.ORDER, key: str = NUMBER, *, with_personal: bool = True, **more: Any
) -> Journey:
    async with world.service.store.reader() as connection:
        sources = await load_journey(connection, kind, key)
    return build_journey(kind.value, key, sources, with_personal=with_personal, **more)


def values(step: JourneyStep) -> dict[str, Any]:
    return {f"{field.sobject}.{field.field}": field.value for field in step.fields}


async def test_order_tells_both_directions_in_the_order_of_time(world: World) -> None:
    await begin(world)
    await change_notes(world, "Ring twice")
    await world.push()
    await world.change_in_org("Order", NUMBER, Description="Call me", PoNumber="PO-7")
    await world.service.pull()
    await world.push()  # nothing is to be sent: both sides agree

    told = await journey(world)

    assert [step.at for step in told.steps] == sorted(step.at for step in told.steps)
    assert [step.kind for step in told.steps] == [
        "captured", "sent", "sent", "event", "event", "captured", "sent", "event", "received",
    ]  # fmt: skip
    assert (told.waiting, told.after, told.is_cut) == (None, None, False)
    captured, created, activated, _, changed, _, updated, edited, received = told.steps
    assert captured.lane == "new"
    assert created.call is not None
    assert (created.call.method, created.call.path, created.call.status) == ("POST", "composite/graph", 200)
    assert (created.mapping_version, created.call.requests) == (1, 1)
    assert {field.record for field in created.fields} == {NUMBER, f"{NUMBER}-1", f"{NUMBER}-2"}
    assert values(created)["Order.Status"] == "Draft"
    assert values(activated) == {"Order.Status": "Activated"}
    assert (changed.actor, changed.direction) == ("clerk", Direction.HERE)
    assert values(updated) == {"Order.Description": "Ring twice"}
    assert edited.actor is not None
    assert edited.actor.startswith("salesforce Rep")
    assert (received.direction, received.detail is not None and received.detail["source"]) == ("from_org", "poll")
    description = next(field for field in received.fields if field.field == "Description")
    assert (description.base, description.local, description.remote) == ("Ring twice", "Ring twice", "Call me")
    assert (description.effect, description.why) == ("taken", "only the org has changed it")

    account = await journey(world, EntityKind.CUSTOMER, "C-1")
    assert [step.kind for step in account.steps] == ["captured", "sent"]
    assert account.steps[1].call == created.call  # they traveled together
    assert values(account.steps[1])["Account.BillingCity"] == "Münster"


async def test_viewer_reads_no_personal_data(world: World) -> None:
    await begin(world)
    await change_notes(world, "Ring twice")
    await world.push()
    hidden = {field.field for step in (await journey(world, with_personal=False)).steps for field in step.fields
              if field.hidden}  # fmt: skip
    assert hidden >= {"Description", "ShippingStreet", "Delivery_Note__c"}
    assert "Status" not in hidden
    account = await journey(world, EntityKind.CUSTOMER, "C-1", with_personal=False)
    assert "Käufer" not in repr(account)
    assert "Käufer" in repr(await journey(world, EntityKind.CUSTOMER, "C-1"))


async def test_journal_without_values_tells_which_fields_were_sent(world: World) -> None:
    world.service.store.kept_values = KeptValues.NONE
    await begin(world)
    sent = next(step for step in (await journey(world)).steps if step.kind == "sent")
    assert {field.hidden for field in sent.fields} == {True}
    assert {field.value for field in sent.fields} == {None}
    assert "Order.Status" in values(sent)


async def test_refusal_names_the_call_and_a_later_write_ends_it(world: World) -> None:
    """Dead letters are closed by themselves: nobody has to replay what was corrected at its source."""
    wrong, right = replace(CUSTOMERS[0], email="not an address"), replace(CUSTOMERS[0], email="ann@shop.example")
    await world.save(some_customers=[wrong])
    await world.push()
    told = await journey(world, EntityKind.CUSTOMER, "C-1")
    refused = told.steps[-1]
    assert (refused.kind, refused.code) == ("refused", "INVALID_EMAIL_ADDRESS")
    assert refused.call is not None
    assert values(refused)["Account.Contact_Email__c"] == "not an address"
    assert told.waiting is not None
    assert (told.waiting.state, told.waiting.error) == ("refused", "INVALID_EMAIL_ADDRESS")
    hidden = await journey(world, EntityKind.CUSTOMER, "C-1", with_personal=False)
    assert "not an address" not in repr(hidden)

    await world.save(some_customers=[right], some_products=[])
    await world.push()
    assert await world.dead_letters() == []
    told = await journey(world, EntityKind.CUSTOMER, "C-1")
    assert (told.steps[-1].kind, told.waiting) == ("sent", None)


async def test_steps_are_read_page_by_page(world: World) -> None:
    await begin(world)
    await change_notes(world, "Ring twice")
    await world.push()
    everything = (await journey(world)).steps
    first = await journey(world, limit=2)
    assert first.after == 2
    rest = await journey(world, after=2, limit=100)
    assert first.steps + rest.steps == everything
    assert [step.number for step in everything] == list(range(1, len(everything) + 1))


async def test_conflict_is_a_step_with_three_values(owned: OwnedWorld) -> None:  # noqa: F811
    async with owned("ask") as world:
        await begin(world)
        await change_notes(world, "ours")
        await world.change_in_org("Order", NUMBER, Description="theirs")
        await world.service.pull()
        [step] = [step for step in (await journey(world)).steps if step.kind == "conflict"]
        [field] = step.fields
        assert (field.base, field.local, field.remote) == (None, "ours", "theirs")
