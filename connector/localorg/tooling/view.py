"""Run queries on the Tooling objects. Their tables are filled again after every change of the org's schema."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from connector.localorg import soql
from connector.localorg.metadata.deployed import DeployedMetadata
from connector.localorg.schema import Field
from connector.localorg.soql.parser import parse
from connector.localorg.soql.syntax_tree import (
    Aggregate,
    Comparison,
    Condition,
    Group,
    Membership,
    Not,
    Path,
    Select,
    SelectedField,
)
from connector.localorg.storage import quote
from connector.localorg.tooling import objects
from connector.localorg.tooling.row_builder import build_rows

_NO_ID = "000000000000000AAA"  # rows of the schema have no IDs of their own
_REIFIED = {objects.ENTITY, objects.FIELD, objects.PARTICLE}
_COMPLEX = {"Metadata", "ReferenceTo", "RecordTypesSupported", "SymbolTable"}


class ToolingQueries:
    """Queries on Tooling objects. Set `stale` after every change of the schema."""

    def __init__(self, deployed: DeployedMetadata, clock: Callable[[], datetime]) -> None:
        self.schema = objects.schema()
        self.stale = True
        self._deployed = deployed
        self._clock = clock
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._names: dict[str, str] = {}  # DurableId by the key that joins rows

    def open_query(
        self, text: str, *, version: str, now: datetime, user_id: str, paging: soql.Paging | None = None
    ) -> soql.PagedResult:
        """Run a query on Tooling objects. SoqlError where the platform would refuse it."""
        select = parse(text)
        self._require_filter(select)
        if self.stale:
            self._fill_tables(user_id)
        result = soql.open_query(
            self._connection, self.schema, text, version=version, all_rows=False, now=now, paging=paging
        )
        if _selects_metadata(select) and result.rows > 1:
            message = (
                "When retrieving results with Metadata or FullName fields, the query qualifications must specify no "
                f"more than one row for retrieval. Result size: {result.rows}"
            )
            raise soql.SoqlError("MALFORMED_QUERY", message)
        return soql.PagedResult(
            result.total_size,
            result.rows,
            lambda start, size: [self._render_record(record, version) for record in result.page(start, size)],
        )

    def _require_filter(self, select: Select) -> None:
        needed = objects.REIFIED.get(select.source.lower())
        if needed and not any(_filters_by(path, needed) for path in _condition_paths(select.where)):
            name = next(item for item in _REIFIED if item.lower() == select.source.lower())
            message = f"{name}: a filter on a reified column is required [{','.join(needed)}]"
            raise soql.SoqlError("MALFORMED_QUERY", message)

    def _fill_tables(self, user_id: str) -> None:
        tables = {item.name: {field.name: field for field in item.all_fields.values()} for item in self.schema}
        for name, fields in tables.items():
            columns = ", ".join(_column(field) for field in fields.values())
            self._connection.execute(f"DROP TABLE IF EXISTS {quote(name)}")
            self._connection.execute(f"CREATE TABLE {quote(name)} ({columns})")
        self._names.clear()
        self._connection.execute("BEGIN")
        for name, row in build_rows(self._deployed, user_id, self._clock()):
            values = {column: value for column, value in row.items() if column in tables[name]}
            self._connection.execute(_insert(name, tuple(values)), list(values.values()))
            if name in _REIFIED:
                self._names[row["Id"]] = row["DurableId"]
        self._connection.execute("COMMIT")
        self.stale = False

    def _render_record(self, record: dict[str, Any], version: str) -> dict[str, Any]:
        """Render a record as the platform does: Tooling addresses, no internal keys, nested values parsed."""
        body: dict[str, Any] = {}
        for name, value in record.items():
            if name == "attributes" and isinstance(value, dict):
                key = value["url"].rpartition("/")[2]
                body[name] = {
                    "type": value["type"],
                    "url": f"/services/data/v{version}/tooling/sobjects/{value['type']}/{self._names.get(key, key)}",
                }
            elif isinstance(value, dict) and "records" in value:
                body[name] = value | {"records": [self._render_record(item, version) for item in value["records"]]}
            elif isinstance(value, dict):
                body[name] = self._render_record(value, version)
            elif name == "Id" and value in self._names:
                body[name] = _NO_ID
            elif name in _COMPLEX and isinstance(value, str):
                body[name] = json.loads(value)
            elif name != objects.OWNER:
                body[name] = value
        return body


@lru_cache(maxsize=64)  # there are hundreds of rows with the same columns
def _insert(name: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    into = ", ".join(quote(column) for column in columns)
    return f"INSERT OR REPLACE INTO {quote(name)} ({into}) VALUES ({marks})"  # noqa: S608


def _column(field: Field) -> str:
    if field.type == "boolean":
        return f"{quote(field.name)} INTEGER NOT NULL DEFAULT 0"
    if field.type == "int":
        return f"{quote(field.name)} INTEGER"
    return f"{quote(field.name)} TEXT{' PRIMARY KEY' if field.name == 'Id' else ' COLLATE NOCASE'}"


def _condition_paths(condition: Condition | None) -> Iterator[Path]:
    match condition:
        case Group():
            for item in condition.conditions:
                yield from _condition_paths(item)
        case Not():
            yield from _condition_paths(condition.condition)
        case Comparison() | Membership() if isinstance(condition.left, Path):
            yield condition.left


def _filters_by(path: Path, columns: tuple[str, ...]) -> bool:
    """Whether a path names one of the columns, or leads through its relationship."""
    parts = [part.lower() for part in path.parts]
    names = {column.lower() for column in columns}
    return parts[-1] in names or any(f"{part}id" in names for part in parts[:-1])


def _selects_metadata(select: Select) -> bool:
    if any(isinstance(item, Aggregate) for item in select.items):
        return False
    names = {item.path.parts[-1].lower() for item in select.items if isinstance(item, SelectedField)}
    return bool(names & {"metadata", "fullname"})
