"""Bulk API 1.0: jobs of batches in CSV, JSON or XML (Bulk API developer guide). Frozen: see README.md.

Jobs last as long as the org runs. A batch is processed soon after it was added, 200 rows to a transaction.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from connector.localorg import ids, soql
from connector.localorg.bulk.csv_format import BadContentError, CsvDialect, parse_header, row_to_body
from connector.localorg.bulk.query_job import render_cell, result_header, unsupported_feature
from connector.localorg.dml import Dml, Outcome
from connector.localorg.errors import Refusal
from connector.localorg.metadata.xml import Element, MetadataError, parse_xml
from connector.localorg.soql.parser import parse

_log = logging.getLogger(__name__)
ROWS_PER_TRANSACTION = 200
ROWS_PER_PAGE = 2_000
MAX_ROWS = 10_000
MAX_BATCH_BYTES = 10_000_000
MAX_JOBS = 200
OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete", "query", "queryAll")
CONTENT_TYPES = ("CSV", "JSON", "XML")
QUEUED, RUNNING, COMPLETED, FAILED, NOT_PROCESSED = "Queued", "InProgress", "Completed", "Failed", "Not Processed"


@dataclass(kw_only=True)
class BulkV1Batch:
    id: str
    job_id: str
    content: bytes
    created: str
    state: str = QUEUED
    message: str | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    result_id: str = ""
    header: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def processed(self) -> int:
        return len(self.outcomes) or len(self.records)

    @property
    def failed(self) -> int:
        return sum(outcome.error is not None for outcome in self.outcomes)

    @property
    def finished(self) -> bool:
        return self.state in {COMPLETED, FAILED, NOT_PROCESSED}


@dataclass(kw_only=True)
class BulkV1Job:
    id: str
    operation: str
    sobject: str
    content_type: str
    concurrency: str
    key: str | None
    version: str
    created: str
    created_by: str
    state: str = "Open"
    batches: dict[str, BulkV1Batch] = field(default_factory=dict)

    @property
    def is_query(self) -> bool:
        return self.operation in {"query", "queryAll"}


class BulkV1Jobs:
    def __init__(self, dml: Dml, now: Callable[[], str]) -> None:
        self._dml = dml
        self._now = now
        self._jobs: dict[str, BulkV1Job] = {}

    def create(self, info: dict[str, Any], version: str) -> BulkV1Job:
        operation, sobject = info.get("operation"), str(info.get("object") or "")
        content_type = str(info.get("contentType") or "XML").upper()
        plan = self._dml.find_plan(sobject)
        key = info.get("externalIdFieldName")
        if operation not in OPERATIONS:
            raise Refusal("InvalidJob", f"Unable to find value for operation: {operation}")
        if plan is None:
            raise Refusal("InvalidJob", f"Unable to find object: {sobject}")
        if content_type not in CONTENT_TYPES:
            raise Refusal("InvalidJob", f"Unsupported content type: {content_type}")
        if operation == "upsert":
            if not key:
                raise Refusal("InvalidJob", "External ID was blank for an upsert operation")
            self._dml.key_field(plan, str(key))
        number = self._dml.storage.next_number("AsyncApiJob")
        job = BulkV1Job(
            id=ids.make("750", number), operation=operation, sobject=plan.name, content_type=content_type,
            concurrency=str(info.get("concurrencyMode") or "Parallel"), key=key, version=version, created=self._now(),
            created_by=self._dml.user_id,
        )  # fmt: skip
        self._jobs[job.id] = job
        while len(self._jobs) > MAX_JOBS:
            del self._jobs[next(iter(self._jobs))]
        return job

    def find(self, job_id: str) -> BulkV1Job:
        full = ids.normalize(job_id)
        job = self._jobs.get(full) if full else None
        if job is None:
            raise Refusal("InvalidJob", f"Unable to find job: {job_id[:40]}")
        return job

    def set_state(self, job: BulkV1Job, state: object) -> None:
        if state not in {"Closed", "Aborted"}:
            raise Refusal("InvalidJobState", f"A job can be Closed or Aborted, not {state}")
        if job.state != "Open" and state != job.state:
            raise Refusal("InvalidJobState", f"The job is {job.state}")
        job.state = str(state)
        if state == "Aborted":
            for batch in job.batches.values():
                batch.state = batch.state if batch.finished else NOT_PROCESSED

    def add_batch(self, job: BulkV1Job, content: bytes) -> BulkV1Batch:
        if job.state != "Open":
            raise Refusal("InvalidJobState", f"Job {job.id} is {job.state}: no batch can be added")
        if len(content) > MAX_BATCH_BYTES:
            raise Refusal("ClientInputError", "Failed to read request. Exceeded max size limit of 10000000")
        number = self._dml.storage.next_number("AsyncApiBatch")
        batch = BulkV1Batch(id=ids.make("751", number), job_id=job.id, content=content, created=self._now())
        job.batches[batch.id] = batch
        return batch

    def find_batch(self, job: BulkV1Job, batch_id: str) -> BulkV1Batch:
        batch = job.batches.get(ids.normalize(batch_id) or "")
        if batch is None:
            raise Refusal("InvalidBatch", f"Unable to find batch: {batch_id[:40]}")
        return batch

    def run_batch(self, job: BulkV1Job, batch: BulkV1Batch) -> None:
        """Process a batch. A fault of the batch becomes its state, a fault of a row becomes the row's outcome."""
        if batch.state != QUEUED:
            return
        batch.state = RUNNING
        try:
            if job.is_query:
                self._run_query(job, batch)
            else:
                self._run_write(job, batch)
        except (BadContentError, MetadataError, ValueError, ArithmeticError, RecursionError) as problem:
            batch.state, batch.message = FAILED, str(problem)
        except soql.SoqlError as error:
            batch.state, batch.message = (
                FAILED,
                f"InvalidBatch : Failed to process query: {error.code}: {error.message}",
            )
        except Refusal as refusal:
            batch.state, batch.message = FAILED, f"InvalidBatch : {refusal.code}: {refusal.message}"
        except Exception as error:  # an internal error must not leave the batch in progress
            _log.exception("batch %s failed", batch.id)
            batch.state, batch.message = FAILED, f"InternalServerError : {type(error).__name__}"
        else:
            batch.state = COMPLETED

    def _run_query(self, job: BulkV1Job, batch: BulkV1Batch) -> None:
        text = batch.content.decode()
        problem = unsupported_feature(parse(text), self._dml.schema)
        if problem:
            raise BadContentError(f"InvalidBatch : Failed to process query: FUNCTIONALITY_NOT_ENABLED: {problem}")
        storage = self._dml.storage
        result = soql.open_query(
            storage.connection, self._dml.schema, text, version=job.version, all_rows=job.operation == "queryAll",
            now=self._dml.clock(),
        )  # fmt: skip
        batch.header = result_header(parse(text), self._dml.schema)
        batch.records = [
            row for start in range(0, result.rows, ROWS_PER_PAGE) for row in result.page(start, ROWS_PER_PAGE)
        ]
        batch.result_id = ids.make("752", storage.next_number("AsyncApiResult"))

    def _run_write(self, job: BulkV1Job, batch: BulkV1Batch) -> None:
        rows = iter(list(self._parse_rows(job, batch.content)))
        while chunk := list(islice(rows, ROWS_PER_TRANSACTION)):
            with self._dml.locks.call_scope(can_wait=False):
                batch.outcomes += self._write_rows(job, chunk)

    def _parse_rows(self, job: BulkV1Job, content: bytes) -> Iterator[dict[str, Any]]:
        match job.content_type:
            case "JSON":
                rows = json.loads(content, parse_float=Decimal)
                if not isinstance(rows, list) or not all(isinstance(item, dict) for item in rows):
                    raise BadContentError("InvalidBatch : The batch must be an array of objects")
            case "XML":
                rows = [_row_from_xml(item) for item in parse_xml(content, "batch").children_named("sObject")]
            case _:
                rows = self._rows_from_csv(job, content.decode("utf-8-sig"))
        if len(rows) > MAX_ROWS:
            raise BadContentError("InvalidBatch : Records data of more than 10,000 rows")
        yield from rows

    def _rows_from_csv(self, job: BulkV1Job, text: str) -> list[dict[str, Any]]:
        ending = "CRLF" if text.partition("\n")[0].endswith("\r") else "LF"
        lines = CsvDialect("COMMA", ending).rows(text)
        header = next(lines, None)
        if header is None:
            raise BadContentError("InvalidBatch : The batch has no header")
        columns = parse_header(header, self._dml.plan(job.sobject))
        return [row_to_body(columns, cells) for cells in lines if len(cells) == len(columns)]

    def _write_rows(self, job: BulkV1Job, rows: Sequence[dict[str, Any]]) -> list[Outcome]:
        dml, plan = self._dml, self._dml.plan(job.sobject)
        match job.operation:
            case "insert":
                return dml.insert(plan, rows)
            case "update":
                return dml.update(plan, [(str(row.get("Id", "")), _without_id(row)) for row in rows])
            case "upsert":
                return dml.upsert(plan, dml.key_field(plan, str(job.key)), rows)
        return dml.delete([str(row.get("Id") or row.get("id") or "") for row in rows])


def result_csv(batch: BulkV1Batch) -> str:
    """Render the rows of a query batch."""
    dialect = CsvDialect()
    paths = [name.split(".") for name in batch.header]
    lines = [dialect.line(batch.header)] + [
        dialect.line([render_cell(row, path) for path in paths]) for row in batch.records
    ]
    return "".join(lines)


def _row_from_xml(item: Element) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for child in item.children:
        if child.children:  # a reference by external ID: <Account><sObject><Key__c>…
            row[child.name] = _row_from_xml(child.child("sObject") or child)
        elif child.name != "type":
            row[child.name] = None if child.nil else child.text
    return row


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "Id"}
