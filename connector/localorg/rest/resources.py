"""Resources about the org itself: versions, resources, objects, describe, limits."""

from __future__ import annotations

import json
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from connector.localorg import describe
from connector.localorg.api_call import NEWEST_VERSION, OLDEST_VERSION, ApiCall, ApiResponse, method_not_allowed
from connector.localorg.auth import identity_url
from connector.localorg.errors import not_found
from connector.localorg.events import event_json
from connector.localorg.rest import conditional_requests, sobject_rows, ui_metadata
from connector.localorg.storage import quote
from connector.localorg.usage import MAX_PUBLISHED_PER_HOUR

if TYPE_CHECKING:
    from connector.localorg.org import Org

_SEASONS = ("Summer", "Spring", "Winter")
_RESOURCES = (
    "tooling", "metadata", "folders", "prechatForms", "contact-tracing", "jsonxform", "chatter", "payments", "tabs",
    "appMenu", "quickActions", "queryAll", "commerce", "limits", "sobjects", "query", "search",
    "parameterizedSearch", "composite", "jobs", "recent", "ui-api", "actions", "theme", "event",
)  # fmt: skip
_RENAMED_IN = 49.0  # before, the allowance of Bulk API batches went by the name of requests
_LIMITS = {
    "ConcurrentAsyncGetReportInstances": 200,
    "ConcurrentSyncReportRuns": 20,
    "DailyAsyncApexExecutions": 250_000,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
    "DailyBulkV2QueryJobs": 10_000,
    "DailyDeliveredPlatformEvents": 25_000,
    "DailyStandardVolumePlatformEvents": 25_000,
    "DailyStreamingApiEvents": 200_000,
    "DailyWorkflowEmails": 1_000,
    "DataStorageMB": 10_240,
    "DurableStreamingApiConcurrentClients": 1_000,
    "FileStorageMB": 10_240,
    "HourlyODataCallout": 1_000,
    "HourlyPublishedPlatformEvents": MAX_PUBLISHED_PER_HOUR,
    "HourlyPublishedStandardVolumePlatformEvents": 1_000,
    "MassEmail": 5_000,
    "MonthlyPlatformEvents": 300_000,
    "MonthlyPlatformEventsUsageEntitlement": 25_000,
    "SingleEmail": 5_000,
    "StreamingApiConcurrentClients": 1_000,
}

_DELIVERIES = ("DailyDeliveredPlatformEvents", "MonthlyPlatformEventsUsageEntitlement")


def list_versions() -> list[dict[str, str]]:
    listed = []
    for number in range(OLDEST_VERSION, NEWEST_VERSION + 1):
        age = NEWEST_VERSION - number
        label = f"{_SEASONS[age % 3]} '{26 - age // 3:02d}"
        listed.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return listed


def list_resources(org: Org, call: ApiCall) -> ApiResponse:
    urls = {name: f"{call.base}/{name}" for name in _RESOURCES}
    urls["identity"] = identity_url(org.url, org.acting)
    return ApiResponse(200, urls)


def handle_sobjects(org: Org, call: ApiCall) -> ApiResponse:
    """`sobjects…`: describes are answered here, rows by `sobject_rows`."""
    match [part.lower() for part in call.tail[1:]]:
        case []:
            if call.method not in {"GET", "HEAD"}:
                raise method_not_allowed(call, "GET")
            return _unless_not_modified(org, call, describe.global_describe(org.schema, call.version))
        case [name] if call.method in {"GET", "HEAD"}:
            if org.schema.get(name) is None:
                raise not_found()
            basic = describe.sobject_basic(org.schema, name, call.version)
            return ApiResponse(200, basic | {"recentItems": ui_metadata.recent_records(org, call, name)})
        case [name, "describe"]:
            if call.method not in {"GET", "HEAD"}:
                raise method_not_allowed(call, "GET")
            return _unless_not_modified(org, call, org.describe_sobject(name, call.version))
        case [name, "eventschema"]:
            return event_schema(org, call)
        case ["user", _, "password"]:
            return sobject_rows.handle_password(org, call)
        case [_, "updated"]:
            return sobject_rows.list_updated(org, call)
        case [_, "deleted"]:
            return sobject_rows.list_deleted(org, call)
    screen = ui_metadata.handle_sobject(org, call) if call.tail[2:] else None
    return screen or sobject_rows.handle(org, call)


def event_schema(org: Org, call: ApiCall) -> ApiResponse:
    """`sobjects/<Event>/eventSchema` and `event/eventSchema/<ID>`: the Avro schema, or the schema of the CometD
    message.
    """
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    if call.tail[0].lower() == "sobjects":
        schema = org.hub.schema_for_topic(f"/event/{call.tail[1]}") or org.hub.schema_for_topic(f"/data/{call.tail[1]}")
    elif len(call.tail) == 3 and call.tail[1].lower() == "eventschema":
        schema = org.hub.schema_by_id(call.tail[2])
    else:
        schema = None
    if schema is None:
        raise not_found()
    source = json.loads(schema.json)
    return ApiResponse(
        200, source if call.params.get("payloadFormat") == "COMPACT" else event_json.expanded_schema(source)
    )


def _unless_not_modified(org: Org, call: ApiCall, body: dict[str, Any]) -> ApiResponse:
    changed = org.schema_changed_at.replace(microsecond=0)
    headers = {"Last-Modified": format_datetime(changed, usegmt=True)}
    since = conditional_requests.parse_http_date(call.headers, "if-modified-since")
    if since is not None and changed <= since:
        return ApiResponse(304, None, headers)
    return ApiResponse(200, body, headers)


def limits(org: Org, call: ApiCall) -> ApiResponse:
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    if call.tail[1:] and call.tail[1].lower() == "recordcount":
        return _record_count(org, call)
    if call.tail[1:]:
        raise not_found()
    limit = org.usage.limit
    result: dict[str, Any] = {"DailyApiRequests": {"Max": limit, "Remaining": max(limit - org.usage.used, 0)}}
    result.update({name: {"Max": most, "Remaining": most} for name, most in _LIMITS.items()})
    if org.usage.delivery_limit is not None:
        for name in _DELIVERIES:
            result[name] = dict.fromkeys(("Max", "Remaining"), org.usage.delivery_limit)
    batches, queries = org.jobs.daily_usage()
    spent = {
        "DailyBulkApiBatches": batches,
        "DailyBulkV2QueryJobs": queries,
        **dict.fromkeys(_DELIVERIES, org.usage.delivered.used),
        "HourlyPublishedPlatformEvents": org.usage.published.used,
    }
    for name, used in spent.items():
        result[name]["Remaining"] -= min(used, result[name]["Max"])
    if float(call.version) < _RENAMED_IN:
        result["DailyBulkApiRequests"] = result["DailyBulkApiBatches"]
    result["PermissionSets"] = {"Max": 1500, "Remaining": 1499, "CreateCustom": {"Max": 1000, "Remaining": 999}}
    return ApiResponse(200, dict(sorted(result.items())))


def _record_count(org: Org, call: ApiCall) -> ApiResponse:
    requested = [name.strip() for name in call.params.get("sObjects", "").split(",") if name.strip()]
    names = requested or [sobject.name for sobject in org.schema]
    counts = []
    for name in names:
        sobject = org.schema.get(name)
        if sobject is None or sobject.event:
            continue
        live = ' WHERE "IsDeleted" = 0' if org.dml.plan(name).live_condition else ""
        count = org.dml.scalar(f"SELECT COUNT(*) FROM {quote(sobject.name)}{live}")  # noqa: S608
        if count:
            counts.append({"count": count, "name": sobject.name})
    return ApiResponse(200, {"sObjects": counts})
