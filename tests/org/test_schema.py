"""Chapters B4, H and I: describe, the standard objects against recorded facts, and what metadata adds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from connector.cli.org import our_metadata
from connector.localorg.catalog import OBJECTS, standard_schema
from connector.localorg.describe import describe, global_describe
from connector.localorg.metadata import MetadataError, load_source

FACTS = Path(os.environ.get("LOCALORG_FACTS", Path(__file__).parents[3] / "shared/data/org/describe/core_fields.json"))
NOT_OURS = {"User", "Organization"}  # of these we keep what clients ask for


def test_standard_objects_agree_with_recorded_orgs_where_the_record_is_at_hand() -> None:
    facts = json.loads(FACTS.read_text()) if FACTS.is_file() else {}
    schema = standard_schema()
    for name in facts.keys() & {item[0] for item in OBJECTS} - NOT_OURS:
        sobject = schema.get(name)
        assert sobject is not None
        for fact in facts[name]["core"]:
            if not fact["referenceTo"]:
                fact["relationshipName"] = (
                    None  # some orgs name one for a text (JigsawCompanyId); queries cannot use it
                )
            field = sobject.get(fact["name"])
            assert field is not None, f"{name}.{fact['name']}"
            way = field.relationship_name if field.reference_to else fact["relationshipName"]
            ours = (field.type, field.nillable, set(field.reference_to), way, field.filterable)
            theirs = (
                fact["type"], fact["nillable"], set(fact["referenceTo"]), fact["relationshipName"], fact["filterable"]
            )  # fmt: skip
            assert ours == theirs, f"{name}.{fact['name']}"


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
        ("Order", "Exact_Total__c", {"type": "currency", "precision": 18, "scale": 4}),
    ],
)
def test_what_describe_says(sobject: str, field: str, facts: dict[str, object]) -> None:
    schema = standard_schema()
    load_source(schema, our_metadata())
    answer = describe(schema, sobject, "66.0")
    [found] = [item for item in answer["fields"] if item["name"] == field]
    assert {name: found[name] for name in facts} == facts
    assert len(found) == 57


def test_children_are_named_as_queries_name_them() -> None:
    schema = standard_schema()
    children = {child["relationshipName"] for child in describe(schema, "Account", "66.0")["childRelationships"]}
    assert {"Orders", "Contacts", "Contracts", "ChildAccounts"} <= children
    assert {item["name"] for item in global_describe(schema, "66.0")["sobjects"]} == {item[0] for item in OBJECTS}


def test_our_metadata_loads_and_every_field_is_in_the_permission_set() -> None:
    added = load_source(standard_schema(), our_metadata())
    permission_set = (
        our_metadata() / "force-app/main/default/permissionsets/CRM_Connector.permissionset-meta.xml"
    ).read_text()
    ours = [name for name in added if "__c" in name and "__e" not in name]
    assert len(ours) > 20
    assert [name for name in ours if f"<field>{name}</field>" not in permission_set] == []


NAMESPACE = "http://soap.sforce.com/2006/04/metadata"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<fullName>A__c</fullName><label>A</label>", "type"),
        ("<fullName>A__c</fullName><label>A</label><type>Text</type>", "length"),
        ("<fullName>A__c</fullName><label>A</label><type>Text</type><length>300</length>", "length"),
        ("<fullName>A__c</fullName><label>A</label><type>Magic</type>", "Magic"),
        ("<fullName>A</fullName><label>A</label><type>Date</type>", "__c"),
        ("<fullName>A__c</fullName><label>A</label><type>Picklist</type>", "valueSet"),
        ("<fullName>A__c</fullName><label>A</label><type>Checkbox</type>", "defaultValue"),
        (
            "<fullName>A__c</fullName><label>A</label><type>Currency</type><precision>2</precision><scale>4</scale>",
            "scale",
        ),
        ("<fullName>A__c</fullName><type>Date</type>", "label"),
        ("<fullName>A__c", "not well-formed"),
    ],
)
def test_an_invalid_field_is_refused_with_its_line(tmp_path: Path, body: str, problem: str) -> None:
    folder = tmp_path / "objects" / "Order" / "fields"
    folder.mkdir(parents=True)
    text = f'<?xml version="1.0"?>\n<CustomField xmlns="{NAMESPACE}">\n{body}\n</CustomField>'
    (folder / "A__c.field-meta.xml").write_text(text)
    with pytest.raises(MetadataError, match=problem) as caught:
        load_source(standard_schema(), tmp_path)
    assert caught.value.line >= 2
