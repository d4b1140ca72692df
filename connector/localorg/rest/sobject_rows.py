"""sObject rows: create, read, update and delete by ID or external ID; lists of updated and deleted records."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from connector.localorg import ids
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.dml import Outcome
from connector.localorg.errors import MultipleMatches, Refusal, not_found
from connector.localorg.field_values import format_timestamp
from connector.localorg.record_json import render_record
from connector.localorg.rest import conditional_requests, relationships
from connector.localorg.write_plan import InputField, WritePlan

if TYPE_CHECKING:
    from connector.localorg.org import Org

_UPSERT_ANSWERS_SINCE = 46.0


def handle(org: Org, call: ApiCall) -> ApiResponse:
    """`sobjects/X…` below the describe resources."""
    _, name, *rest = call.tail
    plan = org.dml.plan(name)
    match rest:
        case []:
            return _create(org, call, plan)
        case [field] if field.lower() == "id" and call.method == "POST":
            return render_created(call, plan, _single_outcome(org.dml.insert(plan, [call.object_body()])), upsert=True)
        case [record_id]:
            return _handle_by_id(org, call, plan, record_id)
        case [field, value]:
            if (response := relationships.read_related(org, call, plan)) is not None:
                return response
            if field.lower() == "id":
                return _handle_by_id(org, call, plan, value, upsert=True)
            return _handle_by_key(org, call, plan, field, value)
    raise not_found()


def render_created(call: ApiCall, plan: WritePlan, outcome: Outcome, *, upsert: bool) -> ApiResponse:
    body: dict[str, Any] = {"id": outcome.id, "success": True, "errors": enqueued_note(outcome)}
    if upsert:
        body["created"] = bool(outcome.created)
    if upsert and not outcome.created:
        return ApiResponse(200, body) if float(call.version) >= _UPSERT_ANSWERS_SINCE else ApiResponse(204)
    return ApiResponse(201, body, {"Location": f"{call.base}/sobjects/{plan.name}/{outcome.id}"})


def enqueued_note(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the note of a published event: a success that carries an error with its UUID."""
    if outcome.uuid is None:
        return []
    return [{"statusCode": "OPERATION_ENQUEUED", "message": outcome.uuid, "fields": []}]


def _single_outcome(outcomes: list[Outcome]) -> Outcome:
    (outcome,) = outcomes
    if outcome.error is not None:
        raise outcome.error
    return outcome


def _create(org: Org, call: ApiCall, plan: WritePlan) -> ApiResponse:
    if call.method != "POST":
        raise method_not_allowed(call, "GET", "POST")
    return render_created(call, plan, _single_outcome(org.dml.insert(plan, [call.object_body()])), upsert=False)


def _handle_by_id(org: Org, call: ApiCall, plan: WritePlan, record_id: str, *, upsert: bool = False) -> ApiResponse:
    full = ids.normalize(record_id)
    if full is None or not full.startswith(plan.sobject.key_prefix) or plan.sobject.event:
        raise not_found(f"Provided external ID field does not exist or is not accessible: {record_id}")
    match call.method:
        case "GET" | "HEAD":
            return _read(org, call, plan, full)
        case "PATCH":
            if (row := org.dml.row(plan, full)) is not None:
                conditional_requests.check_preconditions(plan, row, call.headers)
            outcome = _single_outcome(org.dml.update(plan, [(full, call.object_body())]))
            outcome.created = False
            return render_created(call, plan, outcome, upsert=True) if upsert else ApiResponse(204)
        case "DELETE":
            _single_outcome(org.dml.delete([full]))
            return ApiResponse(204)
    raise method_not_allowed(call, "GET", "PATCH", "DELETE")


def _handle_by_key(org: Org, call: ApiCall, plan: WritePlan, field: str, value: str) -> ApiResponse:
    key = org.dml.key_field(plan, field)
    try:
        match call.method:
            case "GET" | "HEAD":
                return _read(org, call, plan, _require_id(org, plan, key, value))
            case "DELETE":
                _single_outcome(org.dml.delete([_require_id(org, plan, key, value)]))
                return ApiResponse(204)
            case "PATCH" | "POST":
                return _upsert(org, call, plan, key, value)
    except MultipleMatches as several:
        return ApiResponse(300, [f"{call.base}/sobjects/{plan.name}/{record_id}" for record_id in several.ids])
    raise method_not_allowed(call, "GET", "PATCH", "DELETE")


def _require_id(org: Org, plan: WritePlan, key: InputField, value: str) -> str:
    record_id = org.dml.find(plan, key, value)
    if record_id is None:
        raise not_found()
    return record_id


def _upsert(org: Org, call: ApiCall, plan: WritePlan, key: InputField, value: str) -> ApiResponse:
    body = call.object_body()
    if any(name.lower() == key.name.lower() for name in body):
        raise Refusal("INVALID_FIELD", f"The {key.name} field should not be specified in the sobject data.")
    org.dml.find(plan, key, value)  # raises MultipleMatches, which is answered with 300
    update_only = call.params.get("updateOnly", "").lower() == "true"
    with org.storage.transaction(), org.dml.deferred_totals():
        outcome = org.dml.upsert_row(plan, key, value, body, update_only=update_only)
    return render_created(call, plan, outcome, upsert=True)


def _read(org: Org, call: ApiCall, plan: WritePlan, record_id: str) -> ApiResponse:
    row = org.dml.row(plan, record_id)
    if row is None:
        raise not_found()
    if row.get("IsDeleted"):
        raise Refusal("ENTITY_IS_DELETED", "entity is deleted", fields=[])
    conditional_requests.check_preconditions(plan, row, call.headers)
    headers = conditional_requests.validator_headers(plan, row)
    if conditional_requests.is_not_modified(plan, row, call.headers):
        return ApiResponse(304, None, headers)
    requested = call.params.get("fields")
    fields = [name for name in requested.split(",") if name.strip()] if requested else None
    return ApiResponse(200, render_record(plan, row, call.base, fields), headers)


def handle_password(org: Org, call: ApiCall) -> ApiResponse:
    """`sobjects/User/<ID>/password`: whether it has expired, set it, or reset it to a new one."""
    user = org.auth.users.by_id(call.tail[2])
    if user is None:
        raise not_found()
    match call.method:
        case "GET" | "HEAD":
            return ApiResponse(200, {"isExpired": False})
        case "POST":
            password = call.object_body().get("NewPassword")
            try:
                org.auth.users.set_password(user.user_id, password if isinstance(password, str) else "")
            except ValueError as error:
                raise Refusal("INVALID_NEW_PASSWORD", str(error)) from None
            return ApiResponse(204)
        case "DELETE":
            password = secrets.token_urlsafe(12)
            org.auth.users.set_password(user.user_id, password)
            return ApiResponse(200, {"NewPassword": password})
    raise method_not_allowed(call, "GET", "POST", "DELETE")


# -- replication


def list_updated(org: Org, call: ApiCall) -> ApiResponse:
    plan, start, end = _parse_window(org, call)
    changed = "SystemModstamp" if "SystemModstamp" in plan.column_names else "CreatedDate"
    live = f'WHERE "{changed}" >= ? AND "{changed}" < ?' + plan.live_condition
    rows = org.storage.connection.execute(f'SELECT "Id" FROM "{plan.name}" {live}', (start, end))  # noqa: S608
    return ApiResponse(200, {"ids": [row[0] for row in rows], "latestDateCovered": _latest_covered(org, end)})


def list_deleted(org: Org, call: ApiCall) -> ApiResponse:
    plan, start, end = _parse_window(org, call)
    rows = org.storage.connection.execute(
        "SELECT id, deleted_at FROM _deletion WHERE sobject = ? AND deleted_at >= ? AND deleted_at < ?",
        (plan.name, start, end),
    )
    earliest = format_timestamp(org.clock() - timedelta(days=15))
    covered = _latest_covered(org, end)
    deleted_records = [{"id": record_id, "deletedDate": at} for record_id, at in rows]
    return ApiResponse(
        200, {"deletedRecords": deleted_records, "earliestDateAvailable": earliest, "latestDateCovered": covered}
    )


def _latest_covered(org: Org, end: str) -> str:
    """Return until when the lists are complete: the end of the window, or when the oldest open write began."""
    return min([end, *(format_timestamp(moment) for moment in org.open_writes)])


def _parse_window(org: Org, call: ApiCall) -> tuple[WritePlan, str, str]:
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    plan = org.dml.plan(call.tail[1])
    if plan.sobject.event:
        raise Refusal("INVALID_TYPE_FOR_OPERATION", f"entity type {plan.name} is not replicateable")
    moments = []
    for name in ("start", "end"):
        try:
            text = call.params.get(name, "").replace(" ", "+").replace("Z", "+00:00")
            parsed = datetime.fromisoformat(text)
            moment = parsed.astimezone(UTC) if parsed.tzinfo else None
        except (ValueError, OverflowError):
            moment = None
        if moment is None:
            raise Refusal("INVALID_REPLICATION_DATE", f"{name}: a dateTime with time zone is needed")
        moments.append(moment.replace(second=0, microsecond=0))
    start, end = moments
    if start >= end:
        raise Refusal("INVALID_REPLICATION_DATE", "startDate before org replication enabled date or after endDate")
    if start < org.clock() - timedelta(days=30, minutes=1):
        raise Refusal("INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago")
    return plan, format_timestamp(start), format_timestamp(end)


Handler = Callable[["Org", ApiCall], ApiResponse]
