"""sObject Collections: up to 200 rows a call, with an outcome for each row in request order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from connector.localorg import ids
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.dml import Outcome
from connector.localorg.errors import Refusal, json_parser_error, not_found
from connector.localorg.record_json import render_record
from connector.localorg.rest.sobject_rows import enqueued_note
from connector.localorg.write_plan import WritePlan

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_ROWS = 200
_MAX_READ_ROWS = 2000
_MAX_CHUNKS = 10
_ROLLED_BACK = Refusal(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)


class _RolledBack(Exception):  # noqa: N818 - leaves a savepoint, never seen outside
    pass


def handle(org: Org, call: ApiCall) -> ApiResponse:
    """`composite/sobjects…`"""
    match call.method, call.tail[2:]:
        case "POST", []:
            return _create(org, call)
        case "PATCH", []:
            return _update(org, call)
        case "DELETE", []:
            return _delete(org, call)
        case "PATCH", [name, field]:
            return _upsert(org, call, name, field)
        case (("GET" | "POST"), [name]):
            return _read(org, call, name)
        case _, []:
            raise method_not_allowed(call, "POST", "PATCH", "DELETE")
        case _, [_]:
            raise method_not_allowed(call, "GET", "POST")
        case _, [_, _]:
            raise method_not_allowed(call, "PATCH")
    raise not_found()


def is_read(call: ApiCall) -> bool:
    return call.method in {"GET", "HEAD"} or (call.method == "POST" and len(call.tail) == 3)


def _parse_records(call: ApiCall) -> tuple[list[dict[str, Any]], bool]:
    body = call.object_body()
    listed = body.get("records")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise json_parser_error("records: a list of objects is needed at [line:1, column:1]")
    if not listed:
        raise Refusal("REQUIRED_FIELD_MISSING", "The records parameter can't be empty.")
    _check_size(len(listed))
    return listed, _parse_flag(body.get("allOrNone"))


def _check_size(count: int) -> None:
    if count > _MAX_ROWS:
        raise Refusal(
            "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {_MAX_ROWS} records into this call"
        )


def _parse_flag(value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise json_parser_error("allOrNone: true or false is needed at [line:1, column:1]")
    return value


def _group_by_type(org: Org, records: Sequence[dict[str, Any]]) -> list[tuple[WritePlan, list[dict[str, Any]]]]:
    """Group consecutive records of one type."""
    kinds = []
    for record in records:
        attributes = record.get("attributes")
        kind = attributes.get("type") if isinstance(attributes, dict) else None
        if not isinstance(kind, str) or not kind:
            raise Refusal("INVALID_TYPE", "attributes.type is required for every record")
        if org.schema.get(kind) is None:
            raise Refusal("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
        kinds.append(kind.lower())
    chunks = []
    for kind, run in groupby(zip(kinds, records, strict=True), key=lambda pair: pair[0]):
        chunks.append((org.dml.plan(kind), [record for _, record in run]))
    if len(chunks) > _MAX_CHUNKS:
        raise Refusal(
            "LIMIT_EXCEEDED",
            f"The records change type {len(chunks)} times: at most {_MAX_CHUNKS} chunks of one type are allowed",
        )
    return chunks


def _create(org: Org, call: ApiCall) -> ApiResponse:
    records, all_or_none = _parse_records(call)
    outcomes: list[Outcome] = []
    chunks = _group_by_type(org, records)

    def act() -> None:
        for plan, run in chunks:
            outcomes.extend(org.dml.insert(plan, run))

    return _write_records(org, outcomes, act, all_or_none=all_or_none)


def _update(org: Org, call: ApiCall) -> ApiResponse:
    records, all_or_none = _parse_records(call)
    outcomes: list[Outcome] = []
    chunks = _group_by_type(org, records)

    def act() -> None:
        for plan, run in chunks:
            outcomes.extend(org.dml.update(plan, [_split_id(record) for record in run]))

    return _write_records(org, outcomes, act, all_or_none=all_or_none)


def _split_id(record: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    record_id = next((value for name, value in record.items() if name.lower() == "id"), None)
    return str(record_id or ""), {name: value for name, value in record.items() if name.lower() != "id"}


def _upsert(org: Org, call: ApiCall, name: str, field: str) -> ApiResponse:
    records, all_or_none = _parse_records(call)
    plan = org.dml.plan(name)
    key = org.dml.key_field(plan, field)
    for record in records:
        attributes = record.get("attributes") or {}
        kind = attributes.get("type", plan.name) if isinstance(attributes, dict) else None
        if not isinstance(kind, str) or kind.lower() != plan.name.lower():
            raise Refusal("INVALID_TYPE", f"Every record must be of type {plan.name}")
    outcomes: list[Outcome] = []

    def act() -> None:
        outcomes.extend(org.dml.upsert(plan, key, records))

    return _write_records(org, outcomes, act, all_or_none=all_or_none, upsert=True)


def _delete(org: Org, call: ApiCall) -> ApiResponse:
    listed = [part.strip() for part in call.params.get("ids", "").split(",") if part.strip()]
    if not listed:
        raise Refusal("REQUIRED_FIELD_MISSING", "The ids parameter can't be empty.")
    _check_size(len(listed))
    outcomes: list[Outcome] = []

    def act() -> None:
        outcomes.extend(org.dml.delete(listed))

    return _write_records(org, outcomes, act, all_or_none=_parse_flag(call.params.get("allOrNone")))


def _write_records(
    org: Org, outcomes: list[Outcome], act: Any, *, all_or_none: bool, upsert: bool = False
) -> ApiResponse:
    written = org.dml.rows_written
    rolled_back = False
    try:
        with org.storage.savepoint():
            act()
            if all_or_none and any(outcome.error for outcome in outcomes):
                raise _RolledBack
    except _RolledBack:
        rolled_back = True
        org.dml.rows_written = written
    results: list[dict[str, Any]] = []
    for outcome in outcomes:
        error = outcome.error or (_ROLLED_BACK if rolled_back else None)
        if error is not None:
            results.append({"success": False, "errors": [error.row_error()]})
            continue
        item: dict[str, Any] = {"id": outcome.id, "success": True, "errors": enqueued_note(outcome)}
        if upsert:
            item["created"] = bool(outcome.created)
        results.append(item)
    return ApiResponse(200, results)


def roll_back_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row's outcome after the call around it was rolled back."""
    return {"success": False, "errors": [_ROLLED_BACK.row_error()]} if row.get("success") else row


def _read(org: Org, call: ApiCall, name: str) -> ApiResponse:
    plan = org.dml.plan(name)
    if plan.sobject.event:
        raise Refusal("INVALID_TYPE_FOR_OPERATION", f"entity type {plan.name} does not support retrieve")
    if call.method == "POST":
        body = call.object_body()
        record_ids, fields = body.get("ids"), body.get("fields")
    else:
        record_ids = [part for part in call.params.get("ids", "").split(",") if part]
        fields = [part for part in call.params.get("fields", "").split(",") if part]
    for label, listed in (("ids", record_ids), ("fields", fields)):
        if not isinstance(listed, list) or not listed or not all(isinstance(item, str) for item in listed):
            raise Refusal("REQUIRED_FIELD_MISSING", f"The {label} parameter is required: a list of texts")
    assert record_ids is not None
    if len(record_ids) > _MAX_READ_ROWS:
        raise Refusal(
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {_MAX_READ_ROWS} records into this call",
        )
    records = []
    render_record(plan, {"Id": None}, call.base, fields)
    for record_id in record_ids:
        full = ids.normalize(record_id.strip())
        if full is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}", fields=["Id"])
        row = org.dml.row(plan, full)
        records.append(None if row is None or row.get("IsDeleted") else render_record(plan, row, call.base, fields))
    return ApiResponse(200, records)
