"""Reads describe responses, reduced to what mapping and planning need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.model.describe import FieldDescribe, RecordTypeDescribe, SObjectDescribe
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse


def describe_path(sobject: str) -> str:
    return f"sobjects/{sobject}/describe"


def read_describe(body: Any) -> SObjectDescribe:
    """The describe of one object. Fields that the user may not see are absent, because describe respects field-level
    security.

    Raises UnreadableResponseError for a body of another shape.
    """
    if not isinstance(body, Mapping) or "name" not in body or not isinstance(body.get("fields"), list):
        raise UnreadableResponseError(NoResponse.UNREADABLE)
    return SObjectDescribe(
        name=body["name"],
        label=body.get("label") or body["name"],
        createable=bool(body.get("createable")),
        updateable=bool(body.get("updateable")),
        fields={item["name"]: _field(item) for item in body["fields"]},
        record_types=tuple(_record_type(item) for item in body.get("recordTypeInfos") or ()),
    )


def _record_type(item: Mapping[str, Any]) -> RecordTypeDescribe:
    return RecordTypeDescribe(
        id=item["recordTypeId"],
        name=item.get("developerName") or item.get("name") or "",
        active=bool(item.get("active", True)),
        available=bool(item.get("available")),
        default=bool(item.get("defaultRecordTypeMapping")),
        master=bool(item.get("master")),
    )


def _field(item: Mapping[str, Any]) -> FieldDescribe:
    return FieldDescribe(
        name=item["name"],
        label=item.get("label") or item["name"],
        type=item["type"],
        length=int(item.get("length") or 0),
        precision=int(item.get("precision") or 0),
        scale=int(item.get("scale") or 0),
        nillable=bool(item.get("nillable")),
        createable=bool(item.get("createable")),
        updateable=bool(item.get("updateable")),
        defaulted_on_create=bool(item.get("defaultedOnCreate")),
        external_id=bool(item.get("externalId")),
        unique=bool(item.get("unique")),
        restricted_picklist=bool(item.get("restrictedPicklist")),
        picklist=_values(item, active=True),
        inactive=_values(item, active=False),
        reference_to=tuple(item.get("referenceTo") or ()),
        relationship_name=item.get("relationshipName"),
        case_sensitive=bool(item.get("caseSensitive")),
    )


def _values(item: Mapping[str, Any], *, active: bool) -> tuple[str, ...]:
    values = item.get("picklistValues") or ()
    return tuple(str(value["value"]) for value in values if bool(value.get("active")) is active)
