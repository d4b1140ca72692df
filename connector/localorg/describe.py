"""Describe responses, with every key that the platform sends, built from the schema alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from connector.localorg.record_merge import MERGEABLE
from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.write_plan import Row

MASTER_RECORD_TYPE = "012000000000000AAA"
_SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "currency": "xsd:double",
    "double": "xsd:double",
    "percent": "xsd:double",
    "int": "xsd:int",
    "long": "xsd:long",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "address": "urn:address",
    "location": "urn:location",
    "base64": "xsd:base64Binary",
}
_FEED_ENABLED = {
    "Account",
    "Contact",
    "Case",
    "Contract",
    "Order",
    "OrderItem",
    "Product2",
    "ReturnOrder",
    "Task",
    "User",
}
_TEXT_TYPES = {
    "string",
    "textarea",
    "phone",
    "url",
    "email",
    "picklist",
    "multipicklist",
    "combobox",
    "id",
    "reference",
}


def global_describe(schema: Schema, version: str) -> dict[str, Any]:
    """`GET /sobjects/`."""
    return {
        "encoding": "UTF-8",
        "maxBatchSize": 200,
        "sobjects": [_summary(item, version) for item in sorted(schema, key=lambda item: item.name)],
    }


def sobject_basic(schema: Schema, sobject: str, version: str) -> dict[str, Any]:
    """`GET /sobjects/X/`. KeyError for an unknown object."""
    return {"objectDescribe": _summary(_require_sobject(schema, sobject), version), "recentItems": []}


def describe(
    schema: Schema,
    sobject: str,
    version: str,
    *,
    record_types: Sequence[Row] = (),
    default_record_type: str | None = None,
    unavailable: Collection[str] = (),
) -> dict[str, Any]:
    """`GET /sobjects/X/describe`. KeyError for an unknown object.

    `default_record_type` is the name of the object's default record type; the user may not assign the `unavailable`
    ones.
    """
    item = _require_sobject(schema, sobject)
    result = _summary(item, version)
    base = f"/services/data/v{version}/sobjects/{item.name}"
    result["urls"] |= {
        "uiDetailTemplate": f"/{item.key_prefix}/{{ID}}",
        "uiEditTemplate": f"/{item.key_prefix}/{{ID}}/e",
        "uiNewRecord": f"/{item.key_prefix}/e",
        "defaultValues": f"{base}/defaultValues?recordTypeId&fields",
    }
    return result | {
        "actionOverrides": [],
        "childRelationships": [
            {
                "cascadeDelete": child.cascade_delete,
                "childSObject": child.child,
                "deprecatedAndHidden": False,
                "field": child.field,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": child.name,
                "restrictedDelete": child.restricted_delete,
            }
            for child in schema.children_of(item.name)
        ],
        "compactLayoutable": not item.event,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [_field(item.name, field) for field in item.fields.values()],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": _record_types(base, record_types, default_record_type, unavailable)
        if not item.event
        else [],
        "searchLayoutable": not item.event,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": f"All {item.label_plural}", "name": "everything"}],
    }


def _require_sobject(schema: Schema, sobject: str) -> SObject:
    item = schema.get(sobject)
    if item is None:
        raise KeyError(sobject)
    return item


def _record_types(
    base: str, rows: Sequence[Row], default: str | None, unavailable: Collection[str]
) -> list[dict[str, Any]]:
    """Render the object's own record types and the master type that every object has."""
    record_types = [
        (str(row["Id"]), str(row["DeveloperName"]), str(row["Name"]), bool(row["IsActive"])) for row in rows
    ]
    return [
        {
            "active": active,
            "available": active and developer_name not in unavailable,
            "defaultRecordTypeMapping": developer_name == (default or "Master"),
            "developerName": developer_name,
            "master": record_id == MASTER_RECORD_TYPE,
            "name": name,
            "recordTypeId": record_id,
            "urls": {"layout": f"{base}/describe/layouts/{record_id}"},
        }
        for record_id, developer_name, name, active in [*record_types, (MASTER_RECORD_TYPE, "Master", "Master", True)]
    ]


def _summary(item: SObject, version: str) -> dict[str, Any]:
    base = f"/services/data/v{version}/sobjects/{item.name}"
    row = not item.event
    return {
        "activateable": False,
        "associateEntityType": None,
        "associateParentEntity": None,
        "createable": item.createable,
        "custom": item.custom,
        "customSetting": False,
        "deepCloneable": False,
        "deletable": item.deletable and row,
        "deprecatedAndHidden": False,
        "feedEnabled": item.name in _FEED_ENABLED,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": item.key_prefix,
        "label": item.label,
        "labelPlural": item.label_plural,
        "layoutable": row,
        "mergeable": item.name in MERGEABLE,
        "mruEnabled": row,
        "name": item.name,
        "queryable": item.queryable,
        "replicateable": row,
        "retrieveable": row,
        "searchable": row,
        "triggerable": True,
        "undeletable": item.deletable and row and item.name != "OrderItem",
        "updateable": item.updateable and row,
        "urls": {
            "sobject": base,
            "describe": f"{base}/describe",
            "rowTemplate": f"{base}/{{ID}}",
            **(_row_urls(base) if row else {"eventSchema": f"{base}/eventSchema"}),
        },
    }


def _row_urls(base: str) -> dict[str, str]:
    return {
        "layouts": f"{base}/describe/layouts",
        "quickActions": f"{base}/quickActions",
        "listviews": f"{base}/listviews",
        "compactLayouts": f"{base}/describe/compactLayouts",
        "approvalLayouts": f"{base}/describe/approvalLayouts",
    }


@lru_cache(maxsize=2048)
def _field(sobject: str, item: Field) -> dict[str, Any]:
    text = item.type in _TEXT_TYPES
    chosen = next((value.value for value in item.picklist if value.default), None)
    return {
        "aggregatable": item.aggregatable,
        "aiPredictionField": False,
        "autoNumber": item.auto_number,
        "byteLength": item.length * (1 if item.type in {"id", "reference"} else 3) if text else 0,
        "calculated": item.calculated,
        "calculatedFormula": None,
        "cascadeDelete": item.cascade_delete and not item.nillable,
        "caseSensitive": item.case_sensitive,
        "compoundFieldName": "Name" if (sobject, item.name) == ("Account", "Name") else item.compound_field_name,
        "controllerName": None,
        "createable": item.createable,
        "custom": item.custom,
        "defaultValue": item.default_value if item.default_value is not None else chosen,
        "defaultValueFormula": None,
        "defaultedOnCreate": item.defaulted_on_create,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": item.digits,
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": item.external_id,
        "extraTypeInfo": _extra_type_info(sobject, item),
        "filterable": item.filterable,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": item.groupable,
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": item.id_lookup or item.external_id or item.type == "id",
        "inlineHelpText": item.help_text,
        "label": item.label,
        "length": item.length if text else 0,
        "mask": None,
        "maskType": None,
        "name": item.name,
        "nameField": item.name_field,
        "namePointing": len(item.reference_to) > 1,
        "nillable": item.nillable,
        "permissionable": item.type == "address" or _permissionable(item),
        "picklistValues": [
            {
                "active": value.active,
                "defaultValue": value.default,
                "label": value.label,
                "validFor": None,
                "value": value.value,
            }
            for value in item.picklist
        ],
        "polymorphicForeignKey": len(item.reference_to) > 1,
        "precision": item.precision,
        "queryByDistance": item.type in {"address", "location"},
        "referenceTargetField": None,
        "referenceTo": list(item.reference_to),
        "relationshipName": item.relationship_name,
        "relationshipOrder": None,
        "restrictedDelete": item.restricted_delete,
        "restrictedPicklist": item.restricted_picklist,
        "scale": item.scale,
        "searchPrefilterable": item.type == "reference"
        and item.name != "MasterRecordId"
        and "User" not in item.reference_to,
        "soapType": _SOAP_TYPES.get(item.type, "xsd:string"),
        "sortable": item.sortable,
        "type": item.type,
        "unique": item.unique,
        "updateable": item.updateable,
        "writeRequiresMasterRead": False,
    }


def _extra_type_info(sobject: str, item: Field) -> str | None:
    if item.type == "textarea":
        return "plaintextarea"
    if item.name == "PhotoUrl":
        return "imageurl"
    if "Name" in {item.name, item.compound_field_name}:
        return {"Account": "switchablepersonname", "Contact": "personname"}.get(sobject)
    return None


def _permissionable(item: Field) -> bool:
    """Whether a permission set may grant the field. It may not grant required fields and parts of a name."""
    return item.createable and item.nillable and item.compound_field_name != "Name"
