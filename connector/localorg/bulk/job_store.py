"""Bulk jobs and the results of their rows, stored in the org's database. A restarted org continues its jobs.

Open -> UploadComplete -> InProgress -> JobComplete | Failed
  `-------------`------------`-------> Aborted
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from connector.localorg import ids
from connector.localorg.bulk.csv_format import CsvDialect
from connector.localorg.errors import Refusal
from connector.localorg.field_values import format_timestamp
from connector.localorg.storage import Storage

OPEN, UPLOADED, RUNNING, COMPLETE, FAILED, ABORTED = (
    "Open", "UploadComplete", "InProgress", "JobComplete", "Failed", "Aborted",
)  # fmt: skip
FINISHED_STATES = frozenset({COMPLETE, FAILED, ABORTED})
ROWS_PER_BATCH = 10_000
_DAY = timedelta(days=1)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS _job (id TEXT PRIMARY KEY, kind TEXT, state TEXT, info TEXT)",
    "CREATE TABLE IF NOT EXISTS _job_content (job TEXT PRIMARY KEY, content TEXT)",
    "CREATE TABLE IF NOT EXISTS _job_row (job TEXT, number INTEGER, sf_id TEXT, created INTEGER, error TEXT,"
    " cells TEXT, PRIMARY KEY (job, number)) WITHOUT ROWID",
)


@dataclass(kw_only=True)
class Job:
    """A bulk job. `kind` is `ingest` or `query`; `processed` counts finished rows, `failed` the refused ones among
    them.
    """

    id: str
    kind: str
    version: str
    operation: str
    sobject: str
    created_at: str
    created_by: str
    state: str = OPEN
    key: str = ""  # the external ID field of an upsert
    query: str = ""
    delimiter: str = "COMMA"
    line_ending: str = "LF"
    uploaded: bool = False
    processed: int = 0
    failed: int = 0
    error: str = ""
    milliseconds: float = 0
    started: float = 0
    changed_at: str = ""
    client: str = ""  # as it named itself
    header: str = ""  # JSON list of the columns of a query's result

    @property
    def dialect(self) -> CsvDialect:
        return CsvDialect(self.delimiter, self.line_ending)

    def render(self) -> dict[str, Any]:
        """Return the job as the platform shows it."""
        path = f"services/data/v{self.version}/jobs/ingest/{self.id}/batches"
        body: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "object": self.sobject,
            "createdById": self.created_by,
            "createdDate": self.created_at,
            "systemModstamp": self.changed_at or self.created_at,
            "state": self.state,
        }
        if self.key:
            body["externalIdFieldName"] = self.key
        body |= {"concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": float(self.version)}
        if self.kind == "ingest":
            body["contentUrl"] = path
        body |= {"lineEnding": self.line_ending, "columnDelimiter": self.delimiter}
        return body

    def render_progress(self) -> dict[str, Any]:
        """Return what a status request shows in addition to `render`."""
        spent = round(self.milliseconds)
        body: dict[str, Any] = {
            "jobType": "V2Ingest" if self.kind == "ingest" else "V2Query",
            "numberRecordsProcessed": self.processed,
            "retries": 0,
            "totalProcessingTime": spent,
            "isPkChunkingSupported": False,
        }
        if self.kind == "ingest":
            body |= {
                "numberRecordsFailed": self.failed, "apiActiveProcessingTime": spent, "apexProcessingTime": 0,
            }  # fmt: skip
            if self.error:
                body["errorMessage"] = self.error
        elif self.error:
            body["errorMessage"] = self.error
        return body


@dataclass(frozen=True, slots=True)
class RowResult:
    """The result of one row."""

    number: int
    cells: str  # a CSV line
    id: str | None = None
    created: bool = False
    error: str | None = None


class JobStore:
    """The jobs of an org. It calls `on_work` when there is a job to process."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._clock = clock
        self.on_work: Callable[[], None] = lambda: None
        for statement in _SCHEMA:
            storage.connection.execute(statement)

    def create(self, *, kind: str, version: str, user_id: str, state: str = OPEN, **fields: Any) -> Job:
        job = Job(
            id=ids.make("750", self._storage.next_number("_job")),
            kind=kind,
            version=version,
            created_at=format_timestamp(self._clock()),
            created_by=user_id,
            state=state,
            **fields,
        )
        self.save(job)
        if state == UPLOADED:
            self.on_work()
        return job

    def find(self, kind: str, job_id: str, version: str) -> Job:
        full = ids.normalize(job_id)
        row = self._storage.connection.execute("SELECT kind, info FROM _job WHERE id = ?", (full,)).fetchone()
        if row is None or row[0] != kind:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        job = Job(**json.loads(row[1]))
        if job.version != version:
            raise Refusal(
                "VERSIONMISMATCH", f"The job was made with API version {job.version}, not {version}", status=409
            )
        return job

    def state(self, job: Job) -> str:
        """Return the stored state of a job: it may have been aborted while it was processed."""
        row = self._storage.connection.execute("SELECT state FROM _job WHERE id = ?", (job.id,)).fetchone()
        return ABORTED if row is None else str(row[0])

    def list_jobs(self, kind: str, start: int, count: int) -> list[Job]:
        """Return `count` jobs from position `start` on, newest first."""
        rows = self._storage.connection.execute(
            "SELECT info FROM _job WHERE kind = ? ORDER BY rowid DESC LIMIT ? OFFSET ?", (kind, count, start)
        )
        return [Job(**json.loads(row[0])) for row in rows]

    def next_pending(self) -> Job | None:
        """Return the oldest job that is not finished."""
        row = self._storage.connection.execute(
            "SELECT info FROM _job WHERE state IN (?, ?) ORDER BY rowid LIMIT 1", (UPLOADED, RUNNING)
        ).fetchone()
        return None if row is None else Job(**json.loads(row[0]))

    def save(self, job: Job) -> None:
        job.changed_at = format_timestamp(self._clock())
        with self._storage.transaction():
            self._storage.connection.execute(
                "INSERT INTO _job VALUES (?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, info = excluded.info",
                (job.id, job.kind, job.state, json.dumps(asdict(job))),
            )

    def set_state(self, job: Job, state: str, *, error: str = "") -> None:
        if state == RUNNING:
            job.started = time.time()
        job.state, job.error = state, error
        if job.started:
            job.milliseconds = (time.time() - job.started) * 1000
        self.save(job)
        if state == UPLOADED:
            self.on_work()

    def delete(self, job: Job) -> None:
        with self._storage.transaction():
            for table, name in (("_job_row", "job"), ("_job_content", "job"), ("_job", "id")):
                self._storage.connection.execute(f"DELETE FROM {table} WHERE {name} = ?", (job.id,))  # noqa: S608

    def put_content(self, job: Job, content: str) -> None:
        with self._storage.transaction():
            self._storage.connection.execute("INSERT INTO _job_content VALUES (?, ?)", (job.id, content))
            job.uploaded = True
            self.save(job)

    def content(self, job: Job) -> str:
        row = self._storage.connection.execute("SELECT content FROM _job_content WHERE job = ?", (job.id,)).fetchone()
        return "" if row is None else str(row[0])

    def save_results(self, job: Job, rows: list[RowResult]) -> None:
        self._storage.connection.executemany(
            "INSERT INTO _job_row VALUES (?, ?, ?, ?, ?, ?)",
            [(job.id, row.number, row.id, row.created, row.error, row.cells) for row in rows],
        )

    def results(self, job: Job, *, failed: bool) -> Iterator[RowResult]:
        rows = self._storage.connection.execute(
            "SELECT number, cells, sf_id, created, error FROM _job_row"
            " WHERE job = ? AND (error IS NOT NULL) = ? ORDER BY number",
            (job.id, failed),
        )
        for number, cells, sf_id, created, error in rows:
            yield RowResult(number, cells, sf_id, bool(created), error)

    def result_lines(self, job: Job, start: int, count: int) -> list[str]:
        """Return CSV lines of a query's result."""
        rows = self._storage.connection.execute(
            "SELECT cells FROM _job_row WHERE job = ? AND number >= ? AND number < ? ORDER BY number",
            (job.id, start, start + count),
        )
        return [row[0] for row in rows]

    def daily_usage(self) -> tuple[int, int]:
        """Return how many batches and query jobs of the last 24 hours count against the daily limits."""
        since = format_timestamp(self._clock() - _DAY)
        batches = self._sum(
            "ingest", f"MAX(1, (json_extract(info, '$.processed') + {ROWS_PER_BATCH - 1}) / {ROWS_PER_BATCH})", since
        )
        return batches, self._sum("query", "1", since)

    def _sum(self, kind: str, what: str, since: str) -> int:
        sql = (
            f"SELECT COALESCE(SUM({what}), 0) FROM _job"  # noqa: S608
            " WHERE kind = ? AND state <> ? AND json_extract(info, '$.created_at') >= ?"
        )
        return int(self._storage.connection.execute(sql, (kind, OPEN, since)).fetchone()[0])
