"""Chapter I: the connector's metadata as source (I1), and checks of fields (I2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.metadata.sfdx_source import load_into_schema
from connector.localorg.metadata.xml import MetadataError
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
