"""`jobs/ingest…` and `jobs/query…`: the REST resources of Bulk API 2.0 (Bulk API 2.0 developer guide, v66)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed, parse_json
from connector.localorg.bulk import query_job
from connector.localorg.bulk.csv_format import DELIMITERS, LINE_ENDINGS
from connector.localorg.bulk.job_store import ABORTED, COMPLETE, FINISHED_STATES, OPEN, RUNNING, UPLOADED, Job
from connector.localorg.errors import Refusal, not_found
from connector.localorg.rest.multipart import parse_parts

if TYPE_CHECKING:
    from connector.localorg.org import Org

MAX_UPLOAD_BYTES = 150_000_000
MAX_MULTIPART_CHARACTERS = 100_000
DEFAULT_RECORDS = 50_000
MAX_RECORDS = 250_000
"""Our own bound: the guide says that a set is "subject to the size limits" and names no number of records."""
JOBS_PER_PAGE = 1_000
_OFFSET = re.compile(r"[0-9]{1,9}")
OPERATIONS = {"ingest": ("insert", "update", "upsert", "delete", "hardDelete"), "query": ("query", "queryAll")}
_CSV = "text/csv; charset=UTF-8"


def handle(org: Org, call: ApiCall) -> ApiResponse:
    kind, *rest = [part for part in call.tail[1:] if part] or [""]
    kind = kind.lower()
    if kind not in OPERATIONS:
        raise not_found()
    match [rest[0], *(part.lower() for part in rest[1:])] if rest else []:
        case []:
            return _list_or_create(org, call, kind)
        case [job_id]:
            return _handle_job(org, call, org.jobs.find(kind, job_id, call.version))
        case [job_id, "batches"] if kind == "ingest":
            return _upload(org, call, org.jobs.find(kind, job_id, call.version))
        case [job_id, "results"] if kind == "query":
            return _query_results(org, call, org.jobs.find(kind, job_id, call.version))
        case [job_id, ("successfulresults" | "failedresults" | "unprocessedrecords") as which] if kind == "ingest":
            return _ingest_results(org, call, org.jobs.find(kind, job_id, call.version), which)
    raise not_found()


def _list_or_create(org: Org, call: ApiCall, kind: str) -> ApiResponse:
    if call.method == "POST":
        return _create(org, call, kind)
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET", "POST")
    offset = call.params.get("queryLocator") or "0"
    if not _OFFSET.fullmatch(offset):
        raise _invalid_job(f"invalid queryLocator: {offset[:40]}")
    listed = org.jobs.list_jobs(kind, int(offset), JOBS_PER_PAGE + 1)
    done = len(listed) <= JOBS_PER_PAGE
    rest = None if done else f"{call.base}/jobs/{kind}?queryLocator={int(offset) + JOBS_PER_PAGE}"
    return ApiResponse(
        200, {"done": done, "records": [job.render() for job in listed[:JOBS_PER_PAGE]], "nextRecordsUrl": rest}
    )


def _create(org: Org, call: ApiCall, kind: str) -> ApiResponse:
    content_type = call.headers.get("content-type", "")
    content: str | None = None
    if content_type.lower().startswith("multipart/form-data"):
        call.body, content = _parse_multipart(call.raw, content_type)
    else:
        call.body = parse_json(call.raw)
    body = call.object_body()
    operation = _enum_value(body, "operation", OPERATIONS[kind], None)
    if _enum_value(body, "contentType", ("CSV",), "CSV") != "CSV":
        raise _invalid_job("contentType must be CSV")
    fields: dict[str, Any] = {
        "operation": operation,
        "delimiter": _enum_value(body, "columnDelimiter", tuple(DELIMITERS), "COMMA"),
        "line_ending": _enum_value(body, "lineEnding", tuple(LINE_ENDINGS), "LF"),
    }
    if kind == "query":
        text = body.get("query")
        if not isinstance(text, str) or not text:
            raise _invalid_job("query: a SOQL query is needed")
        sobject = org.schema.get(query_job.check_query(text, org.schema))
        if sobject is None:
            raise Refusal("INVALIDENTITY", "The entity of the query does not exist or cannot be queried")
        fields |= {"query": text, "sobject": sobject.name}
        job = org.jobs.create(kind=kind, version=call.version, user_id=org.dml.user_id, state=UPLOADED, **fields)
        return ApiResponse(200, job.render())
    fields |= _parse_target(org, body, str(operation))
    fields["client"] = call.client
    job = org.jobs.create(kind=kind, version=call.version, user_id=org.dml.user_id, **fields)
    if content is not None:
        org.jobs.put_content(job, content)
        org.jobs.set_state(job, UPLOADED)
    return ApiResponse(200, job.render())


def _parse_target(org: Org, body: dict[str, Any], operation: str) -> dict[str, str]:
    """Return the object of a job, and the key field of an upsert."""
    name = body.get("object")
    plan = org.dml.find_plan(name) if isinstance(name, str) else None
    if plan is None:
        raise Refusal("INVALIDENTITY", f"Entity '{name}' is not supported by the Bulk API or does not exist.")
    if operation == "hardDelete" and "BulkApiHardDelete" in org.dml.missing_permissions:
        raise Refusal("FEATURENOTENABLED", "hardDelete needs the permission Bulk API Hard Delete")
    key = body.get("externalIdFieldName") or ""
    if operation == "upsert":
        entry = plan.inputs.get(str(key).lower())
        if entry is None or not (entry.field.external_id or entry.field.id_lookup or entry.name == "Id"):
            raise Refusal("INVALIDJOB", f"Field name provided, {key} is not an External ID or indexed field")
        key = entry.name
    return {"sobject": plan.name, "key": str(key)}


def _enum_value(body: dict[str, Any], name: str, allowed: tuple[str, ...], default: str | None) -> str:
    value = body.get(name, default)
    if value not in allowed:
        raise _invalid_job(f"{name}: {value!r} is none of {', '.join(allowed)}")
    return str(value)


def _invalid_job(message: str) -> Refusal:
    return Refusal("INVALIDJOB", message)


def _parse_multipart(raw: bytes, content_type: str) -> tuple[Any, str]:
    """Return the job and the content of a multipart request."""
    job, sent = parse_parts(raw, content_type, "job", "content")
    content = _decode_utf8(sent)
    if len(content) > MAX_MULTIPART_CHARACTERS:
        raise Refusal("CLIENTINPUTERROR", "The content of a multipart request has at most 100,000 characters")
    return parse_json(job), content


def _decode_utf8(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal("CLIENTINPUTERROR", "The content is not UTF-8") from None


def _handle_job(org: Org, call: ApiCall, job: Job) -> ApiResponse:
    match call.method:
        case "GET" | "HEAD":
            return ApiResponse(200, job.render() | job.render_progress())
        case "PATCH":
            call.body = parse_json(call.raw)
            return _change_state(org, call.object_body().get("state"), job)
        case "DELETE":
            if job.state not in FINISHED_STATES:
                raise Refusal("INVALIDJOBSTATE", f"Deleting requires a job that is over; this one is {job.state}")
            org.jobs.delete(job)
            return ApiResponse(204)
    raise method_not_allowed(call, "GET", "PATCH", "DELETE")


def _change_state(org: Org, state: Any, job: Job) -> ApiResponse:
    if state == UPLOADED and job.kind == "ingest":
        if job.state != OPEN:
            raise Refusal("INVALIDJOBSTATE", f"Transitioning from {job.state} to {state} is not allowed")
        if not job.uploaded:
            raise Refusal("INVALIDJOBSTATE", "No content was uploaded for this job")
    elif state != ABORTED:
        raise Refusal("INVALIDJOBSTATE", f"Transitioning from {job.state} to {state} is not allowed")
    elif job.state in FINISHED_STATES:
        raise Refusal("INVALIDJOBSTATE", f"Aborting is not allowed: the job is {job.state}")
    org.jobs.set_state(job, str(state))
    return ApiResponse(200, job.render())


def _upload(org: Org, call: ApiCall, job: Job) -> ApiResponse:
    if call.method != "PUT":
        raise method_not_allowed(call, "PUT")
    if not call.headers.get("content-type", "").lower().startswith("text/csv"):
        raise Refusal("UNSUPPORTED_MEDIA_TYPE", "The content of a job is text/csv")
    if job.state != OPEN or job.uploaded:
        raise Refusal("INVALIDJOBSTATE", "A job takes one upload, while it is Open")
    if len(call.raw) > MAX_UPLOAD_BYTES:
        raise Refusal("EXCEEDEDQUOTA", "Maximum content size of 150 MB exceeded", status=413)
    org.jobs.put_content(job, _decode_utf8(call.raw))
    return ApiResponse(201)


def _ingest_results(org: Org, call: ApiCall, job: Job, which: str) -> ApiResponse:
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    if job.state in {OPEN, UPLOADED, RUNNING}:
        raise Refusal("INVALIDJOBSTATE", f"The job is not over yet: {job.state}")
    dialect = job.dialect
    content = dialect.rows(org.jobs.content(job))
    try:
        header = next(content, [])
    except Exception:  # what made the job fail
        return ApiResponse(200, b"", {"Content-Type": _CSV})
    if which == "unprocessedrecords":
        lines = [dialect.line(header)]
        lines += _unprocessed_lines(content, job, dialect)
    elif which == "failedresults":
        lines = [dialect.line(["sf__Id", "sf__Error", *header])]
        lines += [
            dialect.line([row.id, row.error]).rstrip("\r\n") + DELIMITERS[job.delimiter] + row.cells
            for row in org.jobs.results(job, failed=True)
        ]
    else:
        lines = [dialect.line(["sf__Id", "sf__Created", *header])]
        lines += [
            dialect.line([row.id, str(row.created).lower()]).rstrip("\r\n") + DELIMITERS[job.delimiter] + row.cells
            for row in org.jobs.results(job, failed=False)
        ]
    return ApiResponse(200, "".join(lines).encode(), {"Content-Type": _CSV})


def _unprocessed_lines(content: Any, job: Job, dialect: Any) -> list[str]:
    """Return the lines of rows that were not processed. Content that cannot be parsed is left out."""
    lines = []
    try:
        for number, cells in enumerate(content):
            if number >= job.processed:
                lines.append(dialect.line(cells))
    except Exception:  # the fault the job failed with
        return lines
    return lines


def _query_results(org: Org, call: ApiCall, job: Job) -> ApiResponse:
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    if job.state != COMPLETE:
        raise Refusal("INVALIDJOBSTATE", f"The job is not complete yet: {job.state}")
    start = _decode_locator(call.params.get("locator"), job.processed)
    max_records = call.params.get("maxRecords", "")
    is_valid = (
        max_records.isascii()
        and max_records.isdigit()
        and len(max_records) < len(str(MAX_RECORDS)) + 1
        and int(max_records)
    )
    count = min(int(max_records), MAX_RECORDS) if is_valid else DEFAULT_RECORDS
    lines = org.jobs.result_lines(job, start, count)
    end = start + len(lines)
    body = job.dialect.line(parse_json(job.header.encode())) + "".join(lines)
    headers = {
        "Content-Type": _CSV,
        "Sforce-NumberOfRecords": str(len(lines)),
        "Sforce-Locator": base64.b64encode(str(end).encode()).decode().rstrip("=") if end < job.processed else "null",
    }
    return ApiResponse(200, body.encode(), headers)


def _decode_locator(locator: str | None, rows: int) -> int:
    if not locator:
        return 0
    try:
        offset = int(base64.b64decode(locator.rstrip("=") + "=" * (-len(locator.rstrip("=")) % 4), validate=True))
        if not 0 < offset < rows:
            raise ValueError(offset)
        return offset
    except (ValueError, binascii.Error):
        raise Refusal("INVALIDJOB", f"invalid locator: {locator}") from None
