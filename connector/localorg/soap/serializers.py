"""Render results of the REST API as SOAP elements.

Within a type, elements are in order of their names, as in the WSDL. An empty value is left out, or nil if the WSDL
requires the element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from connector.localorg.soap.envelope import nil, tag

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})\+0000\Z")
_REQUIRED_ELEMENTS = {
    "associateEntityType", "associateParentEntity", "defaultImplementation", "implementedBy", "implementsInterfaces",
    "keyPrefix", "networkScopeFieldName", "urlDetail", "urlEdit", "urlNew", "recordTypeId",
}  # fmt: skip
_NOT_IN_WSDL = {
    "urls", "extendedBy", "extendsInterfaces", "listviewable", "lookupLayoutable", "sobjectDescribeOption",
    "filteredLookupInfo", "actionOverrides",
}  # fmt: skip


def serialize_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _STAMP.sub(r"\1Z", value) if isinstance(value, str) else str(value)


def serialize_record(name: str, row: Mapping[str, Any], *, typed: bool) -> str:
    """Render a row. A `typed` row (enterprise) has its type as xsi:type, others have it in an element."""
    kind = row["attributes"]["type"] if "attributes" in row else "AggregateResult"
    opening = f'<{name} xsi:type="sf:{kind if typed else "sObject"}">'
    head = "" if typed else f"<sf:type>{kind}</sf:type>"
    identity = row.get("Id")
    if not typed or identity is not None:
        head += tag("sf:Id", identity) if identity is not None else nil("sf:Id")
    body = "".join(
        _serialize_field(key, value, typed=typed)
        for key, value in row.items()
        if key != "attributes" and not (typed and key == "Id")
    )
    return f"{opening}{head}{body}</{name}>"


def _serialize_field(name: str, value: Any, *, typed: bool) -> str:
    mark = f"sf:{name}"
    if value is None:
        return nil(mark)
    if isinstance(value, Mapping):
        if "records" in value:
            return serialize_query_result(mark, value, typed=typed)
        if "attributes" in value:
            return serialize_record(mark, value, typed=typed)
        parts = "".join(tag(key, value[key]) for key in sorted(value) if value[key] is not None)
        return f'<{mark} xsi:type="address">{parts}</{mark}>'
    return f"<{mark}>{escape(serialize_text(value))}</{mark}>"


def serialize_query_result(name: str, result: Mapping[str, Any], *, typed: bool) -> str:
    following = result.get("nextRecordsUrl")
    locator = tag("queryLocator", following.rpartition("/")[2]) if following else nil("queryLocator")
    rows = "".join(serialize_record("records", row, typed=typed) for row in result["records"])
    return (
        f'<{name} xsi:type="QueryResult">{tag("done", result["done"])}{locator}{rows}'
        f"{tag('size', result['totalSize'])}</{name}>"
    )


def serialize_outcomes(rows: Iterable[Mapping[str, Any]], *, upsert: bool = False) -> str:
    return "".join(_serialize_outcome(row, upsert=upsert) for row in rows)


def _serialize_outcome(row: Mapping[str, Any], *, upsert: bool) -> str:
    good = bool(row["success"])
    errors = "" if good else "".join(_serialize_error(item) for item in row["errors"])
    created = tag("created", bool(row.get("created"))) if upsert else ""
    identity = tag("id", row["id"]) if good else nil("id")
    return f"<result>{created}{errors}{identity}{tag('success', good)}</result>"


def serialize_merge_result(row: Mapping[str, Any]) -> str:
    """A MergeResult."""
    good = bool(row["success"])
    errors = "".join(_serialize_error(item) for item in row["errors"])
    identity = tag("id", row["id"]) if good else nil("id")
    lists = tag("mergedRecordIds", list(row["merged"])), tag("updatedRelatedIds", list(row["related"]))
    return f"<result>{errors}{identity}{lists[0]}{tag('success', good)}{lists[1]}</result>"


def _serialize_error(item: Mapping[str, Any]) -> str:
    body = tag("fields", list(item.get("fields") or [])) + tag("message", item["message"])
    return f"<errors>{body}{tag('statusCode', item['statusCode'])}</errors>"


def serialize_global_describe(result: Mapping[str, Any]) -> str:
    body = tag("encoding", result["encoding"]) + tag("maxBatchSize", result["maxBatchSize"])
    rows = "".join(_serialize_members("sobjects", {**item, "idEnabled": True}) for item in result["sobjects"])
    return f"<result>{body}{rows}</result>"


def serialize_describe(result: Mapping[str, Any]) -> str:
    """A DescribeSObjectResult."""
    urls = result["urls"]
    more = {
        "idEnabled": True,
        "urlDetail": urls.get("uiDetailTemplate"),
        "urlEdit": urls.get("uiEditTemplate"),
        "urlNew": urls.get("uiNewRecord"),
    }
    return _serialize_members("result", {**result, **more})


def _serialize_members(name: str, members: Mapping[str, Any]) -> str:
    body = "".join(_serialize_member(key, members[key]) for key in sorted(members) if key not in _NOT_IN_WSDL)
    return f"<{name}>{body}</{name}>"


def _serialize_member(name: str, value: Any) -> str:
    if value is None:
        return nil(name) if name in _REQUIRED_ELEMENTS else ""
    if isinstance(value, Mapping):
        return _serialize_members(name, value)
    if isinstance(value, list):
        return "".join(_serialize_member(name, item) for item in value)
    return tag(name, serialize_text(value))
