"""What the org says about itself: versions, resources, objects, describe, limits."""

from __future__ import annotations

import json
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from connector.localorg import describe
from connector.localorg.api_call import NEWEST, OLDEST, Call, Reply, wrong_method
from connector.localorg.errors import not_found
from connector.localorg.events import event_json
from connector.localorg.rest import conditional_requests, sobject_rows, ui_metadata
from connector.localorg.storage import quote
from connector.localorg.usage import PUBLISHED_AN_HOUR

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
    "HourlyPublishedPlatformEvents": PUBLISHED_AN_HOUR,
    "HourlyPublishedStandardVolumePlatformEvents": 1_000,
    "MassEmail": 5_000,
    "MonthlyPlatformEvents": 300_000,
    "MonthlyPlatformEventsUsageEntitlement": 25_000,
    "SingleEmail": 5_000,
    "StreamingApiConcurrentClients": 1_000,
}


def versions() -> list[dict[str, str]]:
    told = []
    for number in range(OLDEST, NEWEST + 1):
        age = NEWEST - number
        label = f"{_SEASONS[age % 3]} '{26 - age // 3:02d}"
        told.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return told


def resources(org: Org, call: Call) -> Reply:
    told = {name: f"{call.base}/{name}" for name in _RESOURCES}
    told["identity"] = org.auth.identity_url(org.url)
    return Reply(200, told)


def sobjects(org: Org, call: Call) -> Reply:
    """`sobjects…`: the describes here, rows elsewhere."""
    match [part.lower() for part in call.tail[1:]]:
        case []:
            if call.method not in {"GET", "HEAD"}:
                raise wrong_method(call, "GET")
            return _unless_known(org, call, describe.global_describe(org.schema, call.version))
        case [name] if call.method in {"GET", "HEAD"}:
            if org.schema.get(name) is None:
                raise not_found()
            basic = describe.sobject_basic(org.schema, name, call.version)
            return Reply(200, basic | {"recentItems": ui_metadata.recent(org, call, name)})
        case [name, "describe"]:
            if call.method not in {"GET", "HEAD"}:
                raise wrong_method(call, "GET")
            return _unless_known(org, call, org.described(name, call.version))
        case [name, "eventschema"]:
            return event_schema(org, call)
        case [_, "updated"]:
            return sobject_rows.updated(org, call)
        case [_, "deleted"]:
            return sobject_rows.deleted(org, call)
    screen = ui_metadata.of_object(org, call) if call.tail[2:] else None
    return screen or sobject_rows.rows(org, call)


def event_schema(org: Org, call: Call) -> Reply:
    """`sobjects/<Event>/eventSchema` and `event/eventSchema/<ID>`: the Avro schema, or that of the CometD message."""
    if call.method not in {"GET", "HEAD"}:
        raise wrong_method(call, "GET")
    if call.tail[0].lower() == "sobjects":
        schema = org.hub.current(f"/event/{call.tail[1]}") or org.hub.current(f"/data/{call.tail[1]}")
    elif len(call.tail) == 3 and call.tail[1].lower() == "eventschema":
        schema = org.hub.schema_by_id(call.tail[2])
    else:
        schema = None
    if schema is None:
        raise not_found()
    source = json.loads(schema.json)
    return Reply(200, source if call.params.get("payloadFormat") == "COMPACT" else event_json.expanded(source))


def _unless_known(org: Org, call: Call, body: dict[str, Any]) -> Reply:
    changed = org.schema_changed_at.replace(microsecond=0)
    told = {"Last-Modified": format_datetime(changed, usegmt=True)}
    since = conditional_requests.date(call.headers, "if-modified-since")
    if since is not None and changed <= since:
        return Reply(304, None, told)
    return Reply(200, body, told)


def limits(org: Org, call: Call) -> Reply:
    if call.method not in {"GET", "HEAD"}:
        raise wrong_method(call, "GET")
    if call.tail[1:] and call.tail[1].lower() == "recordcount":
        return _record_count(org, call)
    if call.tail[1:]:
        raise not_found()
    limit = org.settings.api_limit
    told: dict[str, Any] = {"DailyApiRequests": {"Max": limit, "Remaining": max(limit - org.usage.used, 0)}}
    told.update({name: {"Max": most, "Remaining": most} for name, most in _LIMITS.items()})
    batches, queries = org.jobs.spent()
    spent = {
        "DailyBulkApiBatches": batches,
        "DailyBulkV2QueryJobs": queries,
        "DailyDeliveredPlatformEvents": org.usage.delivered.used,
        "HourlyPublishedPlatformEvents": org.usage.published.used,
    }
    for name, used in spent.items():
        told[name]["Remaining"] -= min(used, told[name]["Max"])
    if float(call.version) < _RENAMED_IN:
        told["DailyBulkApiRequests"] = told["DailyBulkApiBatches"]
    told["PermissionSets"] = {"Max": 1500, "Remaining": 1499, "CreateCustom": {"Max": 1000, "Remaining": 999}}
    return Reply(200, dict(sorted(told.items())))


def _record_count(org: Org, call: Call) -> Reply:
    wanted = [name.strip() for name in call.params.get("sObjects", "").split(",") if name.strip()]
    names = wanted or [sobject.name for sobject in org.schema]
    told = []
    for name in names:
        sobject = org.schema.get(name)
        if sobject is None or sobject.event:
            continue
        live = ' WHERE "IsDeleted" = 0' if org.dml.plan(name).live else ""
        count = org.dml.one(f"SELECT COUNT(*) FROM {quote(sobject.name)}{live}")  # noqa: S608
        if count:
            told.append({"count": count, "name": sobject.name})
    return Reply(200, {"sObjects": told})
