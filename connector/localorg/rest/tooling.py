"""`/tooling`: queries and describes of the schema; components created and changed one by one. Frozen: see README.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from connector.localorg import describe, ids, soql
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.errors import Refusal, not_found
from connector.localorg.metadata.archive import Removal
from connector.localorg.metadata.component import Component, parse_file
from connector.localorg.metadata.definition import xml_from_dict
from connector.localorg.metadata.xml import MetadataError
from connector.localorg.rest import query
from connector.localorg.tooling import objects
from connector.localorg.tooling.row_builder import stable_id

if TYPE_CHECKING:
    from connector.localorg.org import Org

_RESOURCES = ("completions", "executeAnonymous", "query", "queryAll", "runTestsAsynchronous", "runTestsSynchronous",
          "search", "sobjects")  # fmt: skip
_APEX = {"executeanonymous", "runtestsasynchronous", "runtestssynchronous", "runtests"}
_FILES = {
    "CustomField": ("00N", "objects/{owner}/fields/{name}.field-meta.xml"),
    "PlatformEventChannel": ("0YL", "platformEventChannels/{name}.platformEventChannel"),
    "PlatformEventChannelMember": ("0v8", "platformEventChannelMembers/{name}.platformEventChannelMember"),
    "ManagedEventSubscription": ("18x", "managedEventSubscriptions/{name}.managedEventSubscription"),
}


def handle(org: Org, call: ApiCall) -> ApiResponse:
    match [part.lower() for part in call.tail[1:]]:
        case []:
            return ApiResponse(200, {name: f"{call.base}/tooling/{name}" for name in _RESOURCES})
        case ["query" | "queryall", *_]:
            inner = ApiCall(method=call.method, version=call.version, tail=call.tail[1:], params=call.params,
                         headers=call.headers)  # fmt: skip
            return query.handle(org, inner, tooling=True)
        case ["sobjects", *rest]:
            return _handle_sobjects(org, call, rest)
        case [name, *_] if name in _APEX:
            raise apex_disabled()
    raise not_found()


def apex_disabled() -> Refusal:
    message = "This feature is not currently enabled for this user type or org: [Apex]"
    return Refusal("FUNCTIONALITY_NOT_ENABLED", message, status=403)


def _handle_sobjects(org: Org, call: ApiCall, rest: list[str]) -> ApiResponse:
    schema = org.tooling.schema
    match rest:
        case []:
            return _render_read_only(call, describe.global_describe(schema, call.version))
        case [name, *_] if schema.get(name) is None:
            raise not_found()
        case [name] if call.method in {"GET", "HEAD"}:
            return _render_read_only(call, describe.sobject_basic(schema, name, call.version))
        case [name, "describe"]:
            return _render_read_only(call, _without_owner_key(describe.describe(schema, name, call.version)))
        case [name]:
            return _create(
                org, call, _require_writable(next(item.name for item in schema if item.name.lower() == name), call)
            )
        case [_, _]:
            return _handle_record(org, call)
    raise not_found()


def _render_read_only(call: ApiCall, body: dict[str, Any]) -> ApiResponse:
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    own = f"/services/data/v{call.version}"
    return ApiResponse(200, json.loads(json.dumps(body).replace(f"{own}/sobjects", f"{own}/tooling/sobjects")))


def _without_owner_key(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"fields": [field for field in body["fields"] if field["name"] != objects.OWNER]}


def _require_writable(name: str, call: ApiCall) -> str:
    if name not in _FILES:
        raise method_not_allowed(call, "GET")
    return name


def _handle_record(org: Org, call: ApiCall) -> ApiResponse:
    """`sobjects/X/<ID>`"""
    sobject = org.tooling.schema.get(call.tail[2])
    assert sobject is not None
    record_id = ids.normalize(call.tail[3]) or call.tail[3]
    if call.method in {"GET", "HEAD"}:
        return ApiResponse(200, _require_record(org, call, sobject.name, record_id))
    if call.method not in {"PATCH", "DELETE"}:
        raise method_not_allowed(call, "GET", "PATCH", "DELETE")
    record = _require_record(org, call, _require_writable(sobject.name, call), record_id)
    if call.method == "DELETE":
        (message,) = org.deployments.deploy_components(removals=[Removal(sobject.name, record["FullName"], "")])
        if not message.deleted:
            raise Refusal("DEPENDENCY_EXISTS", message.problem or "", fields=[])
        return ApiResponse(204)
    metadata = call.object_body().get("Metadata")
    if not isinstance(metadata, dict):
        raise Refusal("REQUIRED_FIELD_MISSING", "Required fields are missing: [Metadata]", fields=["Metadata"])
    _save_component(org, _build_component(sobject.name, record["FullName"], metadata))
    return ApiResponse(204)


def _require_record(org: Org, call: ApiCall, name: str, record_id: str) -> dict[str, Any]:
    column = "DurableId" if name in {objects.ENTITY, objects.FIELD, objects.PARTICLE} else "Id"
    quoted = record_id.replace("\\", "\\\\").replace("'", "\\'")
    text = f"SELECT FIELDS(ALL) FROM {name} WHERE {column} = '{quoted}' LIMIT 1"  # noqa: S608
    try:
        result = org.tooling.open_query(text, version=call.version, now=org.clock(), user_id=org.dml.user_id)
    except soql.SoqlError as error:
        raise Refusal(error.code, error.message) from error
    records = result.page(0, 1)
    if not records:
        raise not_found()
    return records[0]


def _create(org: Org, call: ApiCall, kind: str) -> ApiResponse:
    if call.method != "POST":
        raise method_not_allowed(call, "GET", "POST")
    body = {name.lower(): value for name, value in call.object_body().items()}
    unknown = sorted(body.keys() - {"fullname", "metadata", "developername", "masterlabel", "attributes"})
    if unknown:
        raise Refusal("INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type {kind}")
    full, metadata = body.get("fullname"), body.get("metadata")
    missing = [name for name, value in (("FullName", full), ("Metadata", metadata)) if not value]
    if missing:
        raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", fields=missing)
    if not isinstance(full, str) or not isinstance(metadata, dict):
        raise Refusal("JSON_PARSER_ERROR", "FullName is text, Metadata an object")
    component = _build_component(kind, full, metadata)
    if org.deployed.has(kind, component.name):
        owner, _, name = full.rpartition(".")
        message = (
            f"There is already a field named {name} on {owner}."
            if kind == "CustomField"
            else "The developer name you provided is already in use. Choose a different developer name."
        )
        raise Refusal("DUPLICATE_DEVELOPER_NAME", message, fields=["DeveloperName"])
    _save_component(org, component)
    body_created = {"id": stable_id(_FILES[kind][0], component.name), "success": True, "errors": [], "warnings": [],
            "infos": []}  # fmt: skip
    return ApiResponse(201, body_created, {"Location": f"{call.base}/tooling/sobjects/{kind}/{body_created['id']}"})


def _build_component(kind: str, full: str, metadata: dict[str, Any]) -> Component:
    owner, _, name = full.rpartition(".")
    if kind == "CustomField" and (not owner or "." in owner):
        raise Refusal("FIELD_INTEGRITY_EXCEPTION", "FullName is Object.Field__c", fields=["FullName"])
    path = _FILES[kind][1].format(owner=owner, name=name)
    definition = {"fullName": name, **metadata} if kind == "CustomField" else metadata
    try:
        (component,) = parse_file(path, xml_from_dict(kind, definition))
    except (MetadataError, ValueError) as error:
        raise Refusal("JSON_PARSER_ERROR", f"Metadata cannot be read: {error}") from None
    return component


def _save_component(org: Org, component: Component) -> None:
    for message in org.deployments.deploy_components([component]):
        if not message.success:
            raise Refusal("FIELD_INTEGRITY_EXCEPTION", message.problem or "", fields=[])
