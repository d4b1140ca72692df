"""Process an ingest job in chunks of 200 rows. Each chunk is one transaction that also stores its results.

Finished chunks stay when the job fails or is aborted, and when the org stops in the middle of a job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from connector.localorg import recycle_bin
from connector.localorg.bulk.csv_format import BadContentError, CsvColumn, parse_header, row_to_body
from connector.localorg.bulk.job_store import COMPLETE, FAILED, RUNNING, Job, JobStore, RowResult
from connector.localorg.dml import Dml, Outcome
from connector.localorg.errors import Refusal
from connector.localorg.faults import Faults

ROWS_PER_TRANSACTION = 200
MAX_ROWS_PER_DAY = 150_000_000


class IngestJobRunner:
    """One ingest job in progress. `step()` processes a chunk and returns whether there may be more."""

    def __init__(self, job: Job, jobs: JobStore, dml: Dml, faults: Faults) -> None:
        self._job = job
        self._jobs = jobs
        self._dml = dml
        self._faults = faults
        self._plan = dml.plan(job.sobject)
        self._columns: list[CsvColumn] = []
        self._rows: Iterator[list[str]] | None = None
        self._waiting: list[list[str]] = []  # read, and to be written once their rows are free
        self.can_wait = True

    def step(self) -> bool:
        """Write one chunk; return whether there may be more. After a RowLockedError the step is repeated later."""
        job = self._job
        try:
            if self._rows is None:
                self._open_content()
            assert self._rows is not None
            self._waiting = self._waiting or list(islice(self._rows, ROWS_PER_TRANSACTION))
            if self._waiting:
                self._write_chunk(self._waiting)
                self._waiting = []
                return True
        except BadContentError as problem:
            self._jobs.set_state(job, FAILED, error=str(problem))
            return False
        except Refusal as refusal:
            self._jobs.set_state(job, FAILED, error=f"{refusal.code} : {refusal.message}")
            return False
        self._jobs.set_state(job, COMPLETE)
        return False

    def _open_content(self) -> None:
        job = self._job
        rows = job.dialect.rows(self._jobs.content(job))
        header = next(rows, None)
        if header is None:
            raise BadContentError("InvalidBatch : The content has no header")
        self._columns = parse_header(header, self._plan)
        self._check_header()
        self._rows = islice(rows, job.processed, None)
        self._jobs.set_state(job, RUNNING)

    def _check_header(self) -> None:
        """Fail the job if its header does not suit its operation."""
        names = {column.name.lower() for column in self._columns if not column.relationship}
        match self._job.operation:
            case "delete" | "hardDelete" if names != {"id"} or len(self._columns) != 1:
                raise BadContentError("InvalidBatch : The 'delete' batch must contain only ids")
            case "update" if "id" not in names:
                raise BadContentError("InvalidBatch : Field name not found : Id")
            case "upsert" if self._job.key.lower() not in names:
                raise BadContentError(f"InvalidBatch : Field name not found : {self._job.key}")

    def _write_chunk(self, chunk: Sequence[list[str]]) -> None:
        job, width = self._job, len(self._columns)
        good = [cells for cells in chunk if len(cells) == width]
        with self._dml.storage.transaction():
            with self._dml.locks.call_scope(can_wait=self.can_wait, next_fails=self._faults.take("row_lock")):
                outcomes = iter(self._write_rows([row_to_body(self._columns, cells) for cells in good]))
            done = []
            for number, cells in enumerate(chunk, start=job.processed):
                outcome = next(outcomes) if len(cells) == width else Outcome(error=_wrong_cell_count(len(cells), width))
                done.append(
                    RowResult(
                        number=number,
                        cells=job.dialect.line(cells),
                        id=outcome.id if outcome.error is None else None,
                        created=bool(outcome.created),
                        error=None if outcome.error is None else _error_text(outcome.error),
                    )
                )
            self._jobs.save_results(job, done)
            job.processed += len(done)
            job.failed += sum(row.error is not None for row in done)
            self._jobs.set_state(job, job.state)

    def _write_rows(self, bodies: list[dict[str, Any]]) -> list[Outcome]:
        dml, plan = self._dml, self._plan
        match self._job.operation:
            case "insert":
                return dml.insert(plan, bodies)
            case "update":
                return dml.update(plan, [(str(item.get("Id", "")), _without_id(item)) for item in bodies])
            case "upsert":
                return dml.upsert(plan, dml.key_field(plan, self._job.key), bodies)
        record_ids = [str(item.get("Id", "")) for item in bodies]
        return (
            recycle_bin.hard_delete(dml, record_ids) if self._job.operation == "hardDelete" else dml.delete(record_ids)
        )


def _without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "Id"}


def _wrong_cell_count(cell_count: int, column_count: int) -> Refusal:
    return Refusal("INVALID_CSV_LINE", f"The row has {cell_count} fields, the header {column_count}")


def _error_text(refusal: Refusal) -> str:
    fields = ",".join(refusal.fields or ())
    return f"{refusal.code}:{refusal.message}:{fields}{' ' if fields else ''}--"
