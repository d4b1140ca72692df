"""The drift watcher: what an admin changes in the org is told with the lines that it breaks, until it is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector.jobs.mappings.drift import watch_drift
from connector.jobs.mappings.org_profiles import refresh_orgs
from connector.localorg.schema import Field, PicklistValue, SObject
from tests.flow.mapping_sides import Side
from tests.flow.test_push import an_order


def field_of(side: Side, name: str) -> Field:
    return order_of(side).fields[name.lower()]


def order_of(side: Side) -> SObject:
    found = side.org.org.schema.get("Order")
    assert found is not None
    return found


def admin_changes(side: Side, name: str, **changes: Any) -> dict[str, Any]:
    """An admin changes a field of orders; what it was like before."""
    schema_field = field_of(side, name)
    before = {key: getattr(schema_field, key) for key in changes}
    order_of(side).add(replace(schema_field, **changes))  # orgs share their fields: another field in its place
    side.org.org._describes.clear()
    return before


async def look(side: Side, *, ask: bool = True) -> list[tuple[str, str, str]]:
    """What the watcher says; with `ask`, after the org was asked what it is like."""
    store, settings = side.service.store, side.service.settings
    if ask:
        await refresh_orgs(store, settings)
    await watch_drift(store, settings)
    return [(item.level, item.kind, item.field) for item in await side.admin.list_drift()]


async def test_change_of_an_admin_is_told_until_it_is_taken_back(sides: Any) -> None:
    side = await sides()
    assert await look(side) == []  # no version is active yet
    await side.save([an_order("A-1")])
    await side.push()
    assert await look(side) == []

    calls = side.org.org.usage.calls
    before = admin_changes(side, "Carrier__c", length=20)
    assert await look(side, ask=False) == []
    assert side.org.org.usage.calls == calls
    assert await look(side) == [("warning", "length", "Carrier__c")]
    [shorter] = await side.admin.list_drift()
    assert shorter.text.startswith(f"Order.Carrier__c holds 20 characters now, and held {before['length']}:")
    assert shorter.places == ["mappings/order.yaml:41", "mappings/return.yaml:18"]
    admin_changes(side, "Freight__c", createable=False, updateable=False)
    admin_changes(side, "Delivery_Note__c", type="boolean")
    assert await look(side) == [
        ("error", "type", "Delivery_Note__c"),
        ("error", "permission", "Freight__c"),
        ("warning", "length", "Carrier__c"),
    ]
    first = (await side.admin.list_drift())[0]
    assert "is a boolean field and gets a text" in first.text

    admin_changes(side, "Freight__c", createable=True, updateable=True)
    admin_changes(side, "Delivery_Note__c", type="textarea")
    assert await look(side) == [("warning", "length", "Carrier__c")]
    assert [item.id for item in await side.admin.list_drift()] == [shorter.id]  # the same since then
    history = await side.admin.list_drift(healed=True)
    assert [(item.field, item.healed_at is None) for item in history] == [
        ("Carrier__c", True),
        ("Freight__c", False),
        ("Delivery_Note__c", False),
    ]
    await side.apply(lambda text: text + "# another version\n")
    assert await look(side) == [("warning", "length", "Carrier__c")]  # a new version accepts nothing by itself
    await side.admin.accept_drift(actor="ann")
    assert await look(side) == []
    admin_changes(side, "Carrier__c", **before)
    assert await look(side) == []


async def test_required_field_and_picklist_value_are_told_with_their_lines_and_a_new_version_heals_them(
    sides: Any,
) -> None:
    side = await sides()
    await side.save([an_order("A-1")])
    await side.push()
    assert await look(side) == []
    stages = field_of(side, "Lifecycle_Stage__c")
    assert stages.restricted_picklist
    kept = tuple(value for value in stages.picklist if value.value != "completed")
    gone = PicklistValue(value="completed", label="completed", active=False)
    before = admin_changes(side, "Lifecycle_Stage__c", picklist=(*kept, gone))
    admin_changes(side, "Type", nillable=False)
    found = {item.field: item for item in await _list(side) if item.level == "error"}
    assert found.keys() == {"Lifecycle_Stage__c", "Type"}
    assert "cannot be `completed`, which is inactive in the org's picklist" in found["Lifecycle_Stage__c"].text
    assert (found["Type"].level, found["Type"].kind) == ("error", "field_required")
    assert "is required to create a Order, and nothing maps it" in found["Type"].text

    await side.apply(
        lambda text: text.replace("  Carrier__c:", "  Type: {const: Sale}\n  Carrier__c:").replace(
            "Lifecycle_Stage__c: stage", "Lifecycle_Stage__c: {const: placed}"
        ),
        file="order.yaml",
    )
    assert await look(side) == [("warning", "field_required", "Type")]  # return.yaml does not map it yet
    await side.admin.accept_drift(actor="ann")
    assert await look(side) == []
    admin_changes(side, "Lifecycle_Stage__c", **before)
    admin_changes(side, "Type", nillable=True)


async def _list(side: Side) -> list[Any]:
    await look(side)
    return await side.admin.list_drift()
