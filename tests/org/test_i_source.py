"""Chapter I: the connector's metadata as source (I1), and checks of fields (I2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.metadata.sfdx_source import load_into_schema
from connector.localorg.metadata.xml import MetadataError
from connector.localorg.org import Org, OrgOptions
from connector.localorg.standard_objects import standard_schema


def test_every_connector_field_is_in_the_permission_set() -> None:
    """I2, I4."""
    added = load_into_schema(standard_schema(), our_metadata())
    permission_set = (
        our_metadata() / "force-app/main/default/permissionsets/CRM_Connector.permissionset-meta.xml"
    ).read_text()
    ours = [name for name in added if name.endswith("__c") and "__e" not in name]
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
def test_invalid_field_is_reported_with_its_line(tmp_path: Path, body: str, problem: str) -> None:
    """I2."""
    folder = tmp_path / "objects" / "Order" / "fields"
    folder.mkdir(parents=True)
    text = f'<?xml version="1.0"?>\n<CustomField xmlns="{NAMESPACE}">\n{body}\n</CustomField>'
    (folder / "A__c.field-meta.xml").write_text(text)
    with pytest.raises(MetadataError, match=problem) as caught:
        load_into_schema(standard_schema(), tmp_path)
    assert caught.value.line >= 2


def test_changed_project_is_read_again(tmp_path: Path) -> None:
    """Ours: an org reads the project as it is when the org starts, also beside an org that started before."""
    folder = tmp_path / "objects" / "Order" / "fields"
    folder.mkdir(parents=True)
    file = folder / "A__c.field-meta.xml"
    text = (
        f'<CustomField xmlns="{NAMESPACE}"><fullName>A__c</fullName><label>One</label><type>Date</type></CustomField>'
    )
    file.write_text(text)
    first = Org(OrgOptions(metadata_root=tmp_path))
    file.write_text(text.replace("<label>One", "<label>Another"))
    second = Org(OrgOptions(metadata_root=tmp_path))
    assert [org.deployed.schema.get("Order").all_fields["a__c"].label for org in (first, second)] == ["One", "Another"]
    first.close()
    second.close()


def test_orgs_of_one_process_share_nothing_that_changes() -> None:
    """Ours: what orgs of one process share is only what none of them changes."""
    first, second = Org(OrgOptions()), Org(OrgOptions())
    load_into_schema(first.schema, our_metadata())
    first.refresh()
    first.dml.platform_insert("Product2", Name="Only here")
    third = Org(OrgOptions())
    for other in (second, third):
        assert other.schema.get("Order").all_fields.keys() < first.schema.get("Order").all_fields.keys()
        assert other.dml.scalar('SELECT count(*) FROM "Product2"') == 0
        assert other.dml.scalar('SELECT "Id" FROM "Organization"') != first.dml.scalar(
            'SELECT "Id" FROM "Organization"'
        )
    for org in (first, second, third):
        org.close()
