"""Process a query job: store the rows of the query as CSV lines, one page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from connector.localorg import soql
from connector.localorg.bulk.job_store import COMPLETE, FAILED, RUNNING, Job, JobStore, RowResult
from connector.localorg.errors import Refusal
from connector.localorg.schema import Schema
from connector.localorg.soql.parser import parse
from connector.localorg.soql.syntax_tree import Aggregate, Select, SelectedField, TypeOf
from connector.localorg.storage import Storage

ROWS_PER_PAGE = 2_000


def check_query(text: str, schema: Schema) -> str:
    """Return the object of a query. Refusal for a query that bulk jobs do not support."""
    try:
        select = parse(text)
    except soql.SoqlError as error:
        raise Refusal("API_ERROR", f"{error.code}: {error.message}") from error
    problem = unsupported_feature(select, schema)
    if problem:
        raise Refusal("API_ERROR", f"FUNCTIONALITY_NOT_ENABLED: {problem}")
    return select.source


def unsupported_feature(select: Select, schema: Schema) -> str:
    """Return which feature of a query bulk jobs do not support, or an empty text."""
    if select.group_by or select.offset:
        return "GROUP BY and OFFSET are not supported in bulk queries"
    sobject = schema.get(select.source)
    for item in select.items:
        if isinstance(item, Aggregate):
            return "Aggregate functions are not supported in bulk queries"
        if isinstance(item, TypeOf):
            return "TYPEOF is not supported in bulk queries"
        if isinstance(item, Select):
            return "Child queries are not supported in bulk queries"
        if isinstance(item, SelectedField) and sobject is not None and len(item.path.parts) == 1:
            field = sobject.get(item.path.parts[0])
            if field is not None and field.type in {"address", "location"}:
                return f"Selecting compound data not supported in Bulk Query: {field.name}"
    return ""


class QueryJobRunner:
    """One query job in progress. `step()` stores a page and returns whether there may be more."""

    can_wait = True  # it waits for no row

    def __init__(self, job: Job, jobs: JobStore, storage: Storage, schema: Schema, now: datetime) -> None:
        self._job = job
        self._jobs = jobs
        self._storage = storage
        self._schema = schema
        self._now = now
        self._pages: Iterator[list[dict[str, Any]]] | None = None

    def step(self) -> bool:
        job = self._job
        try:
            if self._pages is None:
                self._pages = self._open_pages()
                self._jobs.set_state(job, RUNNING)
            page = next(self._pages, None)
        except soql.SoqlError as error:
            self._jobs.set_state(job, FAILED, error=f"{error.code}: {error.message}")
            return False
        if page is None:
            self._jobs.set_state(job, COMPLETE)
            return False
        self._save_page(page)
        return True

    def _open_pages(self) -> Iterator[list[dict[str, Any]]]:
        job = self._job
        result = soql.open_query(
            self._storage.connection, self._schema, job.query, version=job.version,
            all_rows=job.operation == "queryAll", now=self._now,
        )  # fmt: skip
        select = parse(job.query)
        job.header = json.dumps(result_header(select, self._schema))
        start = job.processed
        return (result.page(offset, ROWS_PER_PAGE) for offset in range(start, result.rows, ROWS_PER_PAGE))

    def _save_page(self, page: list[dict[str, Any]]) -> None:
        job = self._job
        paths = [name.split(".") for name in json.loads(job.header)]
        with self._storage.transaction():
            rows = [
                RowResult(number=number, cells=job.dialect.line([render_cell(row, path) for path in paths]))
                for number, row in enumerate(page, start=job.processed)
            ]
            self._jobs.save_results(job, rows)
            job.processed += len(rows)
            self._jobs.set_state(job, job.state)


def result_header(select: Select, schema: Schema) -> list[str]:
    """Return the column names of a result, spelled as in the schema."""
    names: list[str] = []
    for item in select.items:
        if isinstance(item, SelectedField):
            names.append(_canonical_path(item.path.parts, select.source, schema))
        else:
            names += _all_fields(select.source, schema, getattr(item, "kind", "ALL"))
    return names


def _canonical_path(parts: tuple[str, ...], source: str, schema: Schema) -> str:
    sobject = schema.get(source)
    names: list[str] = []
    for part in parts:
        if sobject is None:
            return ".".join(parts)
        field = sobject.get(part)
        if field is not None:
            names.append(field.name)
            continue
        parent = next(
            (f for f in sobject.fields.values() if (f.relationship_name or "").lower() == part.lower()), None
        )  # fmt: skip
        if parent is None:
            if part.lower() != sobject.name.lower():
                names.append(part)
            continue
        names.append(str(parent.relationship_name))
        sobject = schema.get(parent.reference_to[0]) if parent.reference_to else None
    return ".".join(names)


def _all_fields(source: str, schema: Schema, kind: str) -> list[str]:
    sobject = schema.get(source)
    assert sobject is not None
    return [
        field.name
        for field in sobject.fields.values()
        if field.type not in {"address", "location"} and (kind == "ALL" or field.custom == (kind == "CUSTOM"))
    ]


def render_cell(row: Mapping[str, Any] | None, path: list[str]) -> str:
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
