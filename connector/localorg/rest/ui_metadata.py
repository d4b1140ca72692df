"""Layouts, list views, tabs, actions and the like, as an org without any answers. Frozen: see README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.localorg import soql
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.describe import MASTER_RECORD_TYPE
from connector.localorg.errors import Refusal, not_found
from connector.localorg.schema import Field, SObject

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_RECENT = 200
_EMPTY_BODIES = {
    "tabs": [],
    "quickactions": [],
    "theme": {"themeItems": []},
    "appmenu": {"appMenuItems": []},
}


def handle(org: Org, call: ApiCall) -> ApiResponse:
    """`/tabs`, `/quickActions`, `/theme`, `/appMenu/…`, `/actions…`, `/recent`, `/chatter`"""
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    match [part.lower() for part in call.tail]:
        case ["tabs" | "quickactions" | "theme" as name] | ["appmenu" as name, *_]:
            return ApiResponse(200, _EMPTY_BODIES[name])
        case ["actions"]:
            return ApiResponse(200, {kind: f"{call.base}/actions/{kind}" for kind in ("standard", "custom")})
        case ["actions", "standard"]:
            return ApiResponse(200, {"actions": []})
        case ["actions", "custom"]:
            return ApiResponse(200, {})
        case ["recent"]:
            return ApiResponse(200, recent_records(org, call))
        case ["chatter", *_]:
            message = "This feature is not currently enabled for this user type or org: [Chatter]"
            raise Refusal("FUNCTIONALITY_NOT_ENABLED", message, status=403)
    raise not_found()


def recent_records(org: Org, call: ApiCall, sobject: str = "") -> list[dict[str, Any]]:
    """Return the records that were last written, newest first. Views of records are not tracked."""
    requested = call.params.get("limit", str(_MAX_RECENT))
    limit = min(int(requested) if requested.isdigit() else _MAX_RECENT, _MAX_RECENT)
    records = []
    listed = [org.schema.get(sobject)] if sobject else [item for item in org.schema if item.deletable]
    for item in listed:
        if item is None or not item.queryable or not item.createable or item.get("LastModifiedDate") is None:
            continue
        field = name_field(item)
        names = ["Id", *([field.name] if field else []), "LastModifiedDate"]
        text = f"SELECT {', '.join(names)} FROM {item.name} ORDER BY LastModifiedDate DESC LIMIT {limit}"  # noqa: S608
        records += soql.run_query(
            org.storage.connection, org.schema, text, version=call.version, all_rows=False, now=org.clock()
        ).records
    records.sort(key=lambda row: row["LastModifiedDate"], reverse=True)
    return [{name: value for name, value in row.items() if name != "LastModifiedDate"} for row in records[:limit]]


def name_field(item: SObject) -> Field | None:
    return next((field for field in item.fields.values() if field.name_field and field.stored), None)


def handle_sobject(org: Org, call: ApiCall) -> ApiResponse | None:
    """`sobjects/X/describe/…`, `…/listviews`, `…/quickActions`; None for any other address."""
    sobject = org.schema.get(call.tail[1])
    rest = [part.lower() for part in call.tail[2:]]
    if sobject is None or sobject.event or call.method not in {"GET", "HEAD"}:
        return None
    base = f"{call.base}/sobjects/{sobject.name}"
    match rest:
        case ["describe", "layouts"]:
            more = {"recordTypeMappings": [_record_type_mapping(base)], "recordTypeSelectorRequired": [False]}
            return ApiResponse(200, _layout(sobject) | more)
        case ["describe", "layouts", record_type] if record_type == MASTER_RECORD_TYPE.lower():
            return ApiResponse(200, _layout(sobject)["layouts"][0])
        case ["describe", "compactlayouts"]:
            return ApiResponse(200, _compact_layout(sobject, base))
        case ["describe", "approvallayouts"]:
            return ApiResponse(200, {"approvalLayouts": []})
        case ["describe", "namedlayouts", *_] | ["describe", "layouts", *_]:
            raise not_found()
        case ["listviews"]:
            none = {"done": True, "listviews": [], "nextRecordsUrl": None, "size": 0}
            return ApiResponse(200, none | {"sobjectType": sobject.name})
        case ["listviews", *_]:
            raise not_found()
        case ["quickactions"]:
            return ApiResponse(200, [])
        case ["quickactions", *_]:
            raise not_found()
        case ["defaultvalues"]:
            return ApiResponse(200, {"attributes": {"type": sobject.name}})
    return None


def _record_type_mapping(base: str) -> dict[str, Any]:
    return {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": True,
        "developerName": "Master",
        "layoutId": None,
        "master": True,
        "name": "Master",
        "picklistsForRecordType": None,
        "recordTypeId": MASTER_RECORD_TYPE,
        "urls": {"layout": f"{base}/describe/layouts/{MASTER_RECORD_TYPE}"},
    }


def _layout(sobject: SObject) -> dict[str, Any]:
    """Render one layout with one section of all fields."""
    fields = [field for field in sobject.fields.values() if field.stored and field.name != "Id"]
    rows = [{"layoutItems": [_layout_item(field)], "numItems": 1} for field in fields]
    section = {
        "collapsed": False,
        "columns": 1,
        "heading": "Information",
        "layoutRows": rows,
        "layoutSectionId": None,
        "parentLayoutId": None,
        "rows": len(rows),
        "tabOrder": "TopToBottom",
        "useCollapsibleSection": False,
        "useHeading": True,
    }
    layout: dict[str, Any] = {
        "buttonLayoutSection": {"detailButtons": []},
        "detailLayoutSections": [section],
        "editLayoutSections": [section],
        "feedView": None,
        "highlightsPanelLayoutSection": None,
        "id": None,
        "multirowEditLayoutSections": [],
        "offlineLinks": [],
        "quickActionList": {"quickActionListItems": []},
        "relatedContent": None,
        "relatedLists": [],
        "saveOptions": [],
    }
    return {"layouts": [layout]}


def _layout_item(field: Field) -> dict[str, Any]:
    return {
        "editableForNew": field.createable,
        "editableForUpdate": field.updateable,
        "label": field.label,
        "layoutComponents": [{"details": None, "displayLines": 1, "tabOrder": 1, "type": "Field", "value": field.name}],
        "placeholder": False,
        "required": field.createable and not field.nillable and not field.defaulted_on_create,
    }


def _compact_layout(sobject: SObject, base: str) -> dict[str, Any]:
    field = name_field(sobject)
    system = {
        "actions": [],
        "fieldItems": [_layout_item(field)] if field else [],
        "id": None,
        "imageItems": [],
        "label": "System Default",
        "name": "SYSTEM",
        "objectType": sobject.name,
    }
    mapping = {
        "available": True,
        "compactLayoutId": None,
        "compactLayoutName": "SYSTEM",
        "recordTypeId": MASTER_RECORD_TYPE,
        "recordTypeName": "Master",
        "urls": {"compactLayout": f"{base}/describe/compactLayouts/{MASTER_RECORD_TYPE}"},
    }
    return {
        "compactLayouts": [system],
        "defaultCompactLayoutId": None,
        "recordTypeCompactLayoutMappings": [mapping],
        "urls": {"primary": f"{base}/describe/compactLayouts/primary"},
    }
