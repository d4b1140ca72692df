"""Run a query: from its text to its result."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from connector.localorg.schema import Schema
from connector.localorg.soql import groups, row_reader
from connector.localorg.soql.parser import parse
from connector.localorg.soql.query import Query
from connector.localorg.soql.query_result import PagedResult, Paging
from connector.localorg.soql.scope import no_object


@dataclass(frozen=True, slots=True)
class QueryResult:
    """All records of a query, with keys in the order of the SELECT list. `total_size` counts them, or is a bare
    COUNT().
    """

    total_size: int
    records: list[dict[str, Any]]


def open_query(
    connection: sqlite3.Connection,
    schema: Schema,
    text: str,
    *,
    version: str,
    all_rows: bool,
    now: datetime,
    paging: Paging | None = None,
) -> PagedResult:
    """Run a query without reading its rows. SoqlError for a query that the platform would refuse."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    select = parse(text)
    sobject = schema.get(select.source)
    if sobject is None or not sobject.queryable:
        raise no_object(text, select.position, select.source)
    query = Query(
        connection=connection,
        schema=schema,
        text=text,
        version=version,
        all_rows=all_rows,
        now=now,
        paging=paging,
        aliases=count(1),
    )
    if groups.is_bare_count(select):
        return PagedResult(groups.run_bare_count(query, select, sobject), 0, lambda start, size: [])
    if groups.is_grouped(select):
        rows = groups.run_grouped(query, select, sobject)
        return PagedResult(len(rows), len(rows), lambda start, size: rows[start : start + size])
    return row_reader.find_rows(query, select, sobject)


def run_query(
    connection: sqlite3.Connection, schema: Schema, text: str, *, version: str, all_rows: bool, now: datetime
) -> QueryResult:
    """Run a query and read all its rows."""
    result = open_query(connection, schema, text, version=version, all_rows=all_rows, now=now)
    return QueryResult(result.total_size, result.page(0, result.rows))
