"""Chapter B: describe (B4), and the standard objects of chapter H compared with recorded facts."""

from __future__ import annotations

import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.describe import describe, global_describe
from connector.localorg.metadata.sfdx_source import load_into_schema
from connector.localorg.standard_objects import HISTORIES, OBJECTS, standard_schema
from tests.org.compare import differences

RECORDED = [  # facts of recorded orgs; `python -m tests.org.compare FILE` compares all of a record
    ("Account", "Name", "string", False, []),
    ("Account", "ParentId", "reference", True, ["Account"]),
    ("Contact", "AccountId", "reference", True, ["Account"]),
    ("Contract", "AccountId", "reference", False, ["Account"]),
    ("Order", "AccountId", "reference", True, ["Account"]),
    ("Order", "EffectiveDate", "date", False, []),
    ("Order", "OriginalOrderId", "reference", True, ["Order"]),
    ("OrderItem", "OrderId", "reference", False, ["Order"]),
    ("OrderItem", "PricebookEntryId", "reference", False, ["PricebookEntry"]),
    ("OrderItem", "Quantity", "double", False, []),
    ("PricebookEntry", "UnitPrice", "currency", False, []),
    ("Product2", "Family", "picklist", True, []),
    ("OrderHistory", "Field", "picklist", False, []),
    ("ReturnOrder", "Status", "picklist", True, []),
    ("ReturnOrder", "OwnerId", "reference", False, ["Group", "User"]),
    ("ReturnOrderLineItem", "ReturnOrderId", "reference", False, ["ReturnOrder"]),
    ("ReturnOrderLineItem", "QuantityReturned", "double", False, []),
]


def recorded(name: str, kind: str, nillable: bool, refers: list[str]) -> dict[str, object]:
    return {
        "name": name, "type": kind, "nillable": nillable, "referenceTo": refers, "filterable": True,
        "sortable": True, "groupable": kind not in {"currency", "double"}, "aggregatable": True,
        "relationshipName": name.removesuffix("Id") if refers else None,
    }  # fmt: skip


@pytest.mark.parametrize(("sobject", "name", "kind", "nillable", "refers"), RECORDED)
def test_standard_fields_match_the_recorded_describes(
    sobject: str, name: str, kind: str, nillable: bool, refers: list[str]
) -> None:
    """B4, H."""
    assert list(differences({sobject: {"core": [recorded(name, kind, nillable, refers)]}})) == []


def test_comparison_reports_a_difference() -> None:
    """Ours: the comparison can fail."""
    facts = {"Order": {"core": [recorded("EffectiveDate", "date", True, []), recorded("Nothing", "date", True, [])]}}
    assert list(differences(facts)) == [
        "Order.EffectiveDate: nillable is False, recorded True", "Order.Nothing: missing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sobject", "field", "facts"),
    [
        ("Order", "AccountId", {"type": "reference", "nillable": True, "createable": True, "updateable": True}),
        ("Order", "Status", {"type": "picklist", "restrictedPicklist": True, "nillable": False}),
        ("Order", "TotalAmount", {"type": "currency", "createable": False, "updateable": False}),
        ("Order", "OrderNumber", {"autoNumber": True, "createable": False, "idLookup": True}),
        ("OrderItem", "OrderId", {"createable": True, "updateable": False, "relationshipName": "Order"}),
        ("OrderItem", "PricebookEntryId", {"createable": True, "updateable": False, "nillable": False}),
        ("OrderItem", "UnitPrice", {"precision": 18, "scale": 2, "nillable": True}),
        ("Account", "Name", {"length": 255, "byteLength": 765, "nameField": True, "nillable": False}),
        ("Order", "External_Key__c", {"externalId": True, "unique": True, "caseSensitive": True, "custom": True}),
        ("Order", "Exact_Total__c", {"type": "currency", "precision": 18, "scale": 6}),
    ],
)
def test_describe_shows_the_properties_of_fields(sobject: str, field: str, facts: dict[str, object]) -> None:
    """B4, H1, H2."""
    schema = standard_schema()
    load_into_schema(schema, our_metadata())
    answer = describe(schema, sobject, "66.0")
    [result] = [item for item in answer["fields"] if item["name"] == field]
    assert {name: result[name] for name in facts} == facts
    assert len(result) == 57


def test_describe_names_child_relationships_as_queries_do() -> None:
    """B4, H1."""
    schema = standard_schema()
    children = {child["relationshipName"] for child in describe(schema, "Account", "66.0")["childRelationships"]}
    assert {"Orders", "Contacts", "Contracts", "ChildAccounts"} <= children
    expected = {item["name"] for item in global_describe(schema, "66.0")["sobjects"]}
    assert expected == {item[0] for item in OBJECTS} | {f"{name}History" for name in HISTORIES}
