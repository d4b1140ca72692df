"""The check of mappings against an org: what the org would refuse is reported before anything is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.mapping import MappingSet, check
from tests.unit.mapping.conftest import Folder, Org, field, reference

ORDER = "mappings/order.yaml"


def test_shipped_mappings_fit_an_org_with_our_metadata(mappings: MappingSet, org: Org) -> None:
    assert check(mappings, org.describes) == []


def test_field_that_is_not_deployed_is_reported_with_its_fix(folder: Folder, org: Org) -> None:
    org.hide("Order", "Carrier__c")
    assert check(folder.load(), org.describes) == [
        f"{ORDER}:27:3: Carrier__c: is not a field of Order, or this user cannot see it. Correct the name, or add it to"
        " the org and give this user access; `connector org deploy` adds what the packaged mappings use."
    ]


def test_misspelled_standard_field_is_reported_with_the_closest_name(folder: Folder, org: Org) -> None:
    folder.edit("order.yaml", "PoNumber:", "PoNumbr:")
    assert check(folder.load(), org.describes) == [
        f"{ORDER}:13:3: PoNumbr: is not a field of Order, or this user cannot see it. Did you mean `PoNumber`?"
    ]


def test_misspelled_custom_field_is_reported_with_fix_and_closest_name(folder: Folder, org: Org) -> None:
    folder.edit("order.yaml", "Freight__c:", "Frieght__c:")
    (problem,) = check(folder.load(), org.describes)
    assert "cannot see it. Did you mean `Freight__c`? Correct the name, or add it to the org" in problem


def test_field_name_in_another_case_is_reported(folder: Folder, org: Org) -> None:
    folder.edit("order.yaml", "PoNumber:", "PONumber:")
    assert check(folder.load(), org.describes) == [
        f"{ORDER}:13:3: PONumber: is written `PoNumber` in the org: write it the same way."
    ]


def test_unknown_object_is_reported(folder: Folder, org: Org) -> None:
    del org.describes["Order"]
    problems = check(folder.load(), org.describes)
    assert problems == [
        f"{ORDER}:3:10: sobject: `Order` is unknown in this org, or not visible to this user: correct the name, or "
        "give access. Orders must be enabled in Setup."
    ]


def test_object_without_permission_is_reported(folder: Folder, org: Org) -> None:
    org.describes["Account"] = replace(org.describes["Account"], createable=False)
    assert check(folder.load(), org.describes) == [
        "mappings/customer.yaml:3:10: sobject: Account records cannot be created by this user: "
        "give the object permission."
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"external_id": False}, "`External_Key__c` of Account is not an external ID"),
        ({"unique": False}, "`External_Key__c` of Account is not unique"),
    ],
)
def test_external_id_that_is_not_unique_is_reported(
    folder: Folder, org: Org, changes: dict[str, bool], expected: str
) -> None:
    org.change("Account", "External_Key__c", **changes)
    (problem,) = check(folder.load(), org.describes)
    assert problem.startswith(f"mappings/customer.yaml:4:14: external_id: {expected}")


@pytest.mark.parametrize(
    ("createable", "updateable", "expected"),
    [
        (False, False, "is read-only in this org, or for this user"),
        (True, False, "can be set on creation only"),
        (False, True, "cannot be set on creation"),
    ],
)
def test_field_that_cannot_be_written_is_reported(
    folder: Folder, org: Org, createable: bool, updateable: bool, expected: str
) -> None:
    org.change("Order", "PoNumber", createable=createable, updateable=updateable)
    (problem,) = check(folder.load(), org.describes)
    assert problem.startswith(f"{ORDER}:13:3: PoNumber: {expected}")


def test_read_only_field_owned_by_the_org_is_accepted(folder: Folder, org: Org) -> None:
    folder.edit("order.yaml", "owner: newest", "owner: salesforce")
    org.change("Order", "Description", createable=False, updateable=False)
    assert check(folder.load(), org.describes) == []


def test_value_table_is_checked_against_a_restricted_picklist(folder: Folder, org: Org) -> None:
    folder.edit("values/order_status.yaml", "completed: Activated", "completed: Completed")
    assert check(folder.load(), org.describes) == [
        "mappings/values/order_status.yaml:9:1: Status: cannot be `Completed`: the org's picklist has `Activated`, "
        "`Draft`; use one, or add it there."
    ]


def test_constants_defaults_and_stages_are_checked_against_a_restricted_picklist(folder: Folder, org: Org) -> None:
    folder.edit(
        "order.yaml", "Channel__c: channel", "Channel__c: {path: channel, default: Fax}\n  Kind__c: {const: Small}"
    )
    org.put("Order", field("Kind__c", "picklist", restricted_picklist=True, picklist=("Big",)))
    org.put("Order", field("Channel__c", "picklist", restricted_picklist=True, picklist=("Web",)))
    org.change("Order", "Lifecycle_Stage__c", picklist=("placed", "confirmed"))
    problems = check(folder.load(), org.describes)
    assert [problem for problem in problems if "Kind__c: cannot be `Small`" in problem]
    assert [problem for problem in problems if "Channel__c: cannot be `Fax`" in problem]
    assert sum("Lifecycle_Stage__c: cannot be" in problem for problem in problems) == 6


def test_unrestricted_picklist_accepts_any_value(folder: Folder, org: Org) -> None:
    org.change("Order", "Lifecycle_Stage__c", picklist=("placed",), restricted_picklist=False)
    assert check(folder.load(), org.describes) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("Amount__c: notes", "is a currency field and gets a text: add `transform: decimal`."),
        ("Day__c: placed_at", "is a date field and gets a date and time: add `transform: date`."),
        ("Day__c: po_number", "is a date field and gets a text: add `transform: date`."),
        ("Moment__c: promised_on", "is a datetime field and gets a date: add `transform: datetime`."),
        ("Count__c: freight", "is a int field and gets a decimal number: add `transform: integer`."),
        ("Text__c: freight", "is a string field and gets a decimal number: add `transform: text`."),
        ("Flag__c: notes", "is a boolean field and gets a text: map another path, or another field."),
        ("Flag__c: {path: stage, values: order_status}", "is a boolean field and gets a text"),
        ("Text__c: {expr: 'freight > 10'}", "is a string field and gets a true or false: add `transform: text`."),
        ("Amount__c: {const: ten}", "is a currency field and gets a text"),
        ("Short__c: {const: too long}", "holds 5 characters and gets 8: shorten the value."),
        ("OwnerId: number", "is a reference to `User`: write `Owner: {lookup: …, path: …}`."),
    ],
)
def test_value_of_the_wrong_type_is_reported(folder: Folder, org: Org, entry: str, expected: str) -> None:
    fields = {
        "Amount__c": "currency",
        "Day__c": "date",
        "Moment__c": "datetime",
        "Count__c": "int",
        "Flag__c": "boolean",
    }
    org.put("Order", *(field(name, kind) for name, kind in fields.items()))
    org.put("Order", field("Text__c"), field("Short__c", length=5), reference("OwnerId", "User"))
    problems = check(folder.add_field(entry).load(), org.describes)
    assert [problem for problem in problems if problem.startswith(f"{ORDER}:8:3: {entry.split(':')[0]}: {expected}")]


@pytest.mark.parametrize(
    "entry",
    [
        "Amount__c: {expr: 'round(exact_total * 1.19, 2)'}",
        "Amount__c: version",
        "Day__c: {path: placed_at, transform: date}",
        "Day__c: {const: 2026-01-31}",
        "Count__c: {path: freight, transform: integer}",
        'Flag__c: {expr: \'stage in ["shipped", "delivered"]\'}',
        "OwnerId: {const: 005000000000001AAA}",
    ],
)
def test_value_of_the_right_type_is_accepted(folder: Folder, org: Org, entry: str) -> None:
    fields = {"Amount__c": "currency", "Day__c": "date", "Count__c": "int", "Flag__c": "boolean"}
    org.put("Order", *(field(name, kind) for name, kind in fields.items()), reference("OwnerId", "User"))
    assert check(folder.add_field(entry).load(), org.describes) == []


def test_unknown_relationship_is_reported(folder: Folder, org: Org) -> None:
    folder.edit("order.yaml", "  Account:", "  Acount:")
    problems = check(folder.load(), org.describes)
    assert f"{ORDER}:9:3: Acount: is not a relationship of Order. Did you mean `Account`?" in problems


def test_custom_relationship_that_is_not_deployed_is_reported(folder: Folder, org: Org) -> None:
    folder.add_field("Payer__r: {lookup: customer, path: customer.key}")
    (problem,) = check(folder.load(), org.describes)
    assert problem.startswith(f"{ORDER}:8:3: Payer__r: is not a relationship of Order, or this user cannot see")


def test_relationship_to_another_object_is_reported(folder: Folder, org: Org) -> None:
    folder.edit("order.yaml", "{lookup: customer, path: customer.key}", "{lookup: product, path: customer.key}")
    assert check(folder.load(), org.describes) == [
        f"{ORDER}:9:3: Account: points to `Account`, but a product is a `Product2`: look up something else."
    ]


def test_required_field_without_a_mapping_is_reported(folder: Folder, org: Org) -> None:
    org.put("Order", field("Region__c", nillable=False))
    assert check(folder.load(), org.describes) == [
        f"{ORDER}:2:1: Region__c: is required to create a Order, and nothing maps it: add `Region__c: …`."
    ]


def test_field_that_the_org_requires_without_describe_is_reported(folder: Folder, org: Org) -> None:
    folder.edit("order.yaml", "  Account: {lookup: customer, path: customer.key}\n", "")
    folder.edit("order.yaml", "      UnitPrice: net_unit_price\n", "")
    problems = check(folder.load(), org.describes)
    assert [problem.split(": ")[1] for problem in problems] == ["AccountId", "UnitPrice"]
    assert "add `Account: {lookup: …, path: …}`." in problems[0]


def test_all_problems_of_all_files_are_reported_at_once(folder: Folder, org: Org) -> None:
    org.hide("Account", "Contact_Email__c").hide("Product2", "ProductCode").hide("OrderItem", "Line_Number__c")
    org.change("Order", "PoNumber", createable=False, updateable=False)
    problems = check(folder.load(), org.describes)
    assert [problem.split(": ")[1] for problem in problems] == [
        "Contact_Email__c",
        "PoNumber",
        "Line_Number__c",
        "ProductCode",
    ]
