"""`/services/async/<version>/job…`: the HTTP endpoint of Bulk API 1.0, in JSON and XML. Frozen: see README.md."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from connector.localorg.api_call import ApiResponse, client_name
from connector.localorg.bulk.bulk_v1 import BulkV1Batch, BulkV1Job, result_csv
from connector.localorg.bulk.csv_format import CsvDialect
from connector.localorg.dml import Outcome
from connector.localorg.errors import Refusal
from connector.localorg.events.change_events import change_origin
from connector.localorg.metadata.xml import MetadataError, parse_xml
from connector.localorg.soap.envelope import tag

if TYPE_CHECKING:
    from connector.localorg.org import Org

NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"
_VERSION = re.compile(r"\d{1,3}\.0", re.ASCII)
QUEUE_SECONDS = 0.02


async def handle(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    as_json = _wants_json(request)
    session = org.auth.read_session(request.headers.get("X-SFDC-Session", ""))
    if session is None or session.kind != "A":
        return _respond_refusal(Refusal("InvalidSessionId", "Invalid session id"), as_json=as_json)
    if len(segments) < 3 or not _VERSION.fullmatch(segments[2]):
        return _respond_refusal(Refusal("InvalidVersion", "The API version of the URL is none"), as_json=as_json)
    raw = await request.read()
    org.usage.record_call("async/job", write=request.method == "POST")
    try:
        with org.dml.acting_as(session.user_id):
            return _route(org, request, segments, raw, as_json=as_json)
    except Refusal as refusal:
        return _respond_refusal(refusal, as_json=as_json)


def render_refusal(request: web.Request, reply: ApiResponse) -> web.Response:
    """Render the refusal of a data call in the shape of this API."""
    code, text = reply.body[0]["errorCode"], reply.body[0]["message"]
    names = {"INVALID_SESSION_ID": "InvalidSessionId", "REQUEST_LIMIT_EXCEEDED": "ExceededQuota"}
    return _respond_refusal(Refusal(names.get(code, code), text), as_json=_wants_json(request))


def _wants_json(request: web.Request) -> bool:
    return "json" in (request.content_type or "") or "json" in request.headers.get("Accept", "")


def _route(org: Org, request: web.Request, segments: list[str], raw: bytes, *, as_json: bool) -> web.Response:
    jobs = org.bulk_v1
    post = request.method == "POST"
    match segments[3:]:
        case ["job"] if post:
            job = jobs.create(_parse_job(raw, as_json=as_json), segments[2])
            return _respond("jobInfo", _render_job(org, job), as_json=as_json, status=201)
        case ["job", job_id]:
            job = jobs.find(job_id)
            if post:
                jobs.set_state(job, _parse_job(raw, as_json=as_json).get("state"))
            return _respond("jobInfo", _render_job(org, job), as_json=as_json)
        case ["job", job_id, "batch"]:
            client = client_name(request.headers.get("Sforce-Call-Options", ""))
            return _list_or_add_batches(org, jobs.find(job_id), raw if post else None, client)
        case ["job", job_id, "batch", batch_id]:
            job = jobs.find(job_id)
            return _respond(
                "batchInfo", _render_batch(jobs.find_batch(job, batch_id)), as_json=job.content_type == "JSON"
            )
        case ["job", job_id, "batch", batch_id, "request"]:
            return web.Response(body=jobs.find_batch(jobs.find(job_id), batch_id).content)
        case ["job", job_id, "batch", batch_id, "result"]:
            job = jobs.find(job_id)
            return _render_result(job, _require_finished(jobs.find_batch(job, batch_id)))
        case ["job", job_id, "batch", batch_id, "result", result_id]:
            job = jobs.find(job_id)
            batch = _require_finished(jobs.find_batch(job, batch_id))
            if batch.result_id != result_id:
                raise Refusal("InvalidBatch", f"Unable to find result: {result_id[:40]}")
            return _render_records(org, job, batch)
    raise Refusal("InvalidUrl", "Destination URL not reset. The URL returned from login must be set")


async def apex_not_found(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    """`/services/apexrest/…`: this org has no Apex classes."""
    if org.auth.bearer_session(request.headers.get("Authorization")) is None:
        raise Refusal("INVALID_SESSION_ID", "Session expired or invalid")
    raise Refusal("NOT_FOUND", "Could not find a match for URL")


def _parse_job(raw: bytes, *, as_json: bool) -> dict[str, Any]:
    try:
        if not as_json:
            return {child.name: child.text.strip() for child in parse_xml(raw, "jobInfo").children}
        info = json.loads(raw)
    except (MetadataError, ValueError, RecursionError) as problem:
        raise Refusal("InvalidJob", f"The request cannot be read: {problem}") from None
    if not isinstance(info, dict):
        raise Refusal("InvalidJob", "An object is needed")
    return info


def _require_finished(batch: BulkV1Batch) -> BulkV1Batch:
    if batch.state == "Failed":
        raise Refusal("InvalidBatch", batch.message or "The batch failed")
    if not batch.finished:
        raise Refusal("InvalidBatch", f"Batch not completed: it is {batch.state}")
    return batch


def _list_or_add_batches(org: Org, job: BulkV1Job, raw: bytes | None, client: str) -> web.Response:
    as_json = job.content_type == "JSON"
    if raw is not None:
        batch = org.bulk_v1.add_batch(job, raw)
        asyncio.get_running_loop().call_later(QUEUE_SECONDS, _run_batch, org, job, batch, client)
        return _respond("batchInfo", _render_batch(batch), as_json=as_json, status=201)
    listed = {"batchInfo": [_render_batch(batch) for batch in job.batches.values()]}
    return _respond("batchInfoList", listed, as_json=as_json)


def _run_batch(org: Org, job: BulkV1Job, batch: BulkV1Batch, client: str) -> None:
    org.hub.origin = change_origin("bulkapi", job.version, client)
    with org.dml.acting_as(job.created_by):
        org.bulk_v1.run_batch(job, batch)


def _render_result(job: BulkV1Job, batch: BulkV1Batch) -> web.Response:
    if job.is_query:
        if job.content_type == "JSON":
            return _respond("", [batch.result_id], as_json=True)
        return _respond("result-list", {"result": [batch.result_id]}, as_json=False)
    outcomes = [_render_outcome(outcome) for outcome in batch.outcomes]
    if job.content_type == "CSV":
        dialect = CsvDialect()
        rows = [(item["id"], item["success"], item["created"], _error_text(item["errors"])) for item in outcomes]
        lines = [dialect.line(("Id", "Success", "Created", "Error"))]
        lines += [dialect.line([str(cell).lower() if isinstance(cell, bool) else cell for cell in row]) for row in rows]
        return _respond_csv("".join(lines))
    return _respond(
        "results", outcomes if job.content_type == "JSON" else {"result": outcomes}, as_json=job.content_type == "JSON"
    )


def _respond_csv(text: str) -> web.Response:
    """Respond with CSV. The header has no charset, because salesforce-bulk compares it literally."""
    return web.Response(body=text.encode(), content_type="text/csv")


def _render_records(org: Org, job: BulkV1Job, batch: BulkV1Batch) -> web.Response:
    if job.content_type == "JSON":
        return _respond("", [_with_epoch_dates(org, row) for row in batch.records], as_json=True)
    if job.content_type == "CSV":
        return _respond_csv(result_csv(batch))
    records = [
        {"type": job.sobject, **{name: value for name, value in row.items() if name != "attributes"}}
        for row in batch.records
    ]
    return _respond("queryResult", {"records": records}, as_json=False)


def _with_epoch_dates(org: Org, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as this API writes it in JSON: dates and times are milliseconds since 1970."""
    sobject = org.schema.get(str(row.get("attributes", {}).get("type", "")))
    shown = {}
    for name, value in row.items():
        field = None if sobject is None else sobject.get(name)
        if isinstance(value, dict) and "attributes" in value:
            value = _with_epoch_dates(org, value)
        elif field is not None and field.type in {"date", "datetime"} and isinstance(value, str):
            moment = datetime.fromisoformat(value)
            value = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        shown[name] = value
    return shown


def _render_job(org: Org, job: BulkV1Job) -> dict[str, Any]:
    states = [batch.state for batch in job.batches.values()]
    return {
        "id": job.id,
        "operation": job.operation,
        "object": job.sobject,
        "createdById": job.created_by,
        "createdDate": job.created,
        "systemModstamp": job.created,
        "state": job.state,
        "externalIdFieldName": job.key,
        "concurrencyMode": job.concurrency,
        "contentType": job.content_type,
        "numberBatchesQueued": states.count("Queued"),
        "numberBatchesInProgress": states.count("InProgress"),
        "numberBatchesCompleted": states.count("Completed"),
        "numberBatchesFailed": states.count("Failed"),
        "numberBatchesTotal": len(states),
        "numberRecordsProcessed": sum(batch.processed for batch in job.batches.values()),
        "numberRetries": 0,
        "apiVersion": float(job.version),
        "numberRecordsFailed": sum(batch.failed for batch in job.batches.values()),
        "totalProcessingTime": 0,
        "apiActiveProcessingTime": 0,
        "apexProcessingTime": 0,
    }


def _render_batch(batch: BulkV1Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "jobId": batch.job_id,
        "state": batch.state,
        "stateMessage": batch.message,
        "createdDate": batch.created,
        "systemModstamp": batch.created,
        "numberRecordsProcessed": batch.processed,
        "numberRecordsFailed": batch.failed,
        "totalProcessingTime": 0,
        "apiActiveProcessingTime": 0,
        "apexProcessingTime": 0,
    }


def _render_outcome(outcome: Outcome) -> dict[str, Any]:
    if outcome.error is None:
        return {"success": True, "created": bool(outcome.created), "id": outcome.id, "errors": []}
    row = outcome.error.row_error()
    error = {"fields": row["fields"], "message": row["message"], "statusCode": row["statusCode"]}
    return {"success": False, "created": False, "id": None, "errors": [{**error, "extendedErrorDetails": None}]}


def _error_text(errors: list[dict[str, Any]]) -> str:
    return ";".join(f"{item['statusCode']}:{item['message']}:{','.join(item['fields'])} --" for item in errors)


def _respond(name: str, value: Any, *, as_json: bool, status: int = 200) -> web.Response:
    if as_json:
        return web.Response(status=status, body=orjson.dumps(value, default=str), content_type="application/json")
    text = f'<?xml version="1.0" encoding="UTF-8"?>{tag(name, value)}'.replace(
        f"<{name}", f'<{name} xmlns="{NAMESPACE}"', 1
    )
    return web.Response(status=status, body=text.encode(), content_type="application/xml")


def _respond_refusal(refusal: Refusal, *, as_json: bool) -> web.Response:
    body = {"exceptionCode": refusal.code, "exceptionMessage": refusal.message}
    return _respond("error", body, as_json=as_json, status=400)
