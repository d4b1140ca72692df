"""Runs a query as one SQL statement, plus one for each child relationship, and shapes the rows as REST returns them."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.conditions import Conditions
from connector.localorg.soql.errors import SoqlError, at
from connector.localorg.soql.parser import parse
from connector.localorg.soql.scope import Column, Scope, no_object
from connector.localorg.soql.tree import Aggregate, AllFields, Named, Ordering, Path, Select
from connector.localorg.storage import quote

_COUNT = Field(name="expr", label="", type="int")
MOST_CHILDREN = 20
Write = Callable[[dict[str, Any], Any], None]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """`records` are whole and in the order of the SELECT list; `total_size` counts them (or is a bare COUNT())."""

    total_size: int
    records: list[dict[str, Any]]


def run(
    connection: sqlite3.Connection, schema: Schema, text: str, *, version: str, all_rows: bool, now: datetime
) -> QueryResult:
    """SoqlError for a query the platform would refuse."""
    select = parse(text)
    sobject = schema.get(select.source)
    if sobject is None or not sobject.queryable:
        raise no_object(text, select.position, select.source)
    return _Query(connection, schema, text, version, all_rows or select.all_rows, now).run(select, sobject)


class _Query:
    def __init__(
        self, connection: sqlite3.Connection, schema: Schema, text: str, version: str, all_rows: bool, now: datetime
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._text = text
        self._base = f"/services/data/v{version}/sobjects"
        self._all_rows = all_rows
        self._now = now
        self._aliases = 0

    def run(self, select: Select, sobject: SObject) -> QueryResult:
        scope = self._scope(select, sobject)
        bare = select.items[0]
        if len(select.items) == 1 and isinstance(bare, Aggregate) and bare.path is None and not select.group_by:
            values: list[object] = []
            where = self._where(select, scope, values)
            limit = f" LIMIT {select.limit}" if select.limit is not None else ""
            sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {scope.source}{where}{limit})"  # noqa: S608
            return QueryResult(self._connection.execute(sql, values).fetchone()[0], [])
        if select.group_by or any(isinstance(item, Aggregate) for item in select.items):
            rows = self._grouped(select, scope)
            return QueryResult(len(rows), rows)
        rows = [row for _, row in self._rows(select, scope, [])]
        return QueryResult(len(rows), rows)

    # -- plain rows

    def _rows(
        self, select: Select, scope: Scope, extra: list[tuple[str, object]], owner: str | None = None
    ) -> list[tuple[Any, dict[str, Any]]]:
        """Rows with the value of the column `owner` beside each; `extra` are further conditions."""
        columns: list[str] = []

        def use(sql: str) -> int:
            columns.append(sql)
            return len(columns) - 1

        owner_at = use(owner or "NULL")
        id_at = use(scope.identity(()))
        steps, children = self._steps(select, scope, use)
        values: list[object] = []
        where = self._where(select, scope, values, extra)
        order = self._order(select, scope)
        page = ""
        if owner is None and (select.limit is not None or select.offset):
            page = f" LIMIT {-1 if select.limit is None else select.limit} OFFSET {select.offset}"
        sql = f"SELECT {', '.join(columns)} FROM {scope.source}{where}{order}{page}"  # noqa: S608
        found = []
        ids = []
        for raw in self._connection.execute(sql, values):
            record: dict[str, Any] = {"attributes": self._attributes(scope.sobject.name, raw[id_at])}
            for step in steps:
                step(record, raw)
            ids.append(raw[id_at])
            found.append((raw[owner_at], record))
        for child in children:
            self._attach(child, scope, ids, [record for _, record in found])
        return found

    def _steps(self, select: Select, scope: Scope, use: Callable[[str], int]) -> tuple[list[Write], list[Select]]:
        steps: list[Write] = []
        children: list[Select] = []
        seen: set[tuple[str, ...]] = set()
        identities: dict[tuple[str, ...], int] = {}
        for item in self._expanded(select, scope):
            if isinstance(item, Select):
                children.append(item)
                name = self._child(item, scope)[2]
                steps.append(lambda record, _, name=name: record.__setitem__(name, None))  # type: ignore[misc]
                continue
            column = scope.column(item.path)
            if (full := (*column.way, column.field.name)) in seen:
                if len(item.path.parts) == 1:
                    raise at(
                        self._text,
                        item.path.position,
                        "INVALID_FIELD",
                        f"duplicate field selected: {column.field.name}",
                    )
                continue
            seen.add(full)
            for depth in range(1, len(column.way) + 1):
                if column.way[:depth] not in identities:
                    identities[column.way[:depth]] = use(scope.identity(column.way[:depth]))
            steps.append(self._step(column, scope, use, identities))
        if len(children) > MOST_CHILDREN:
            raise SoqlError("MALFORMED_QUERY", f"a query may have at most {MOST_CHILDREN} child subqueries")
        return steps, children

    def _step(
        self, column: Column, scope: Scope, use: Callable[[str], int], identities: dict[tuple[str, ...], int]
    ) -> Write:
        read = self._reader(column, use)
        name = column.field.name
        if not column.way:
            return lambda record, raw: record.__setitem__(name, read(raw))
        ways = [
            (way[-1], scope.object_at(way).name, identities[way])
            for way in (column.way[:depth] for depth in range(1, len(column.way) + 1))
        ]

        def write(record: dict[str, Any], raw: Any) -> None:
            for relationship, sobject, place in ways:
                if raw[place] is None:
                    record[relationship] = None
                    return
                if record.get(relationship) is None:
                    record[relationship] = {"attributes": self._attributes(sobject, raw[place])}
                record = record[relationship]
            record[name] = read(raw)

        return write

    def _reader(self, column: Column, use: Callable[[str], int]) -> Callable[[Any], Any]:
        if column.field.stored:
            place = use(column.sql)
            if column.field.type == "boolean":
                return lambda raw: None if raw[place] is None else bool(raw[place])
            return lambda raw: raw[place]
        table = column.sql.partition(".")[0]
        parts = [
            (part.name.removeprefix(column.field.name.removesuffix("Address")), use(f"{table}.{quote(part.name)}"))
            for part in column.sobject.fields.values()
            if part.compound_field_name == column.field.name and part.stored
        ]
        names = [(name[:1].lower() + name[1:], place) for name, place in parts]

        def compound(raw: Any) -> Any:
            found = {name: raw[place] for name, place in sorted(names)}
            return found if any(value is not None for value in found.values()) else None

        return compound

    def _expanded(self, select: Select, scope: Scope) -> list[Named | Select]:
        items: list[Named | Select] = []
        for item in select.items:
            if isinstance(item, AllFields):
                if item.kind != "STANDARD" and (select.limit is None or select.limit > 200):
                    message = "The SOQL FIELDS function must have a LIMIT of at most 200"
                    raise at(self._text, item.position, "MALFORMED_QUERY", message)
                items += [
                    Named(Path((field.name,), item.position), None)
                    for field in scope.sobject.fields.values()
                    if item.kind == "ALL" or field.custom == (item.kind == "CUSTOM")
                ]
            elif isinstance(item, Aggregate):
                raise at(self._text, item.position, "MALFORMED_QUERY", "unexpected aggregate")
            elif isinstance(item, Named) and item.alias:
                raise at(self._text, item.path.position, "MALFORMED_QUERY", f"unexpected token: '{item.alias}'")
            else:
                items.append(item)
        return items

    # -- children

    def _child(self, select: Select, scope: Scope) -> tuple[SObject, str, str]:
        wanted = select.source.lower()
        for link in self._schema.children_of(scope.sobject.name):
            child = self._schema.get(link.child)
            if link.name is not None and link.name.lower() == wanted and child is not None and child.queryable:
                return child, link.field, link.name
        message = (
            f"Didn't understand relationship '{select.source}' in FROM part of query call. If you are attempting to "
            "use a custom relationship, be sure to append the '__r' after the custom relationship name. Please "
            "reference your WSDL or the describe call for the appropriate names."
        )
        raise at(self._text, select.position, "INVALID_TYPE", message)

    def _attach(self, select: Select, scope: Scope, ids: list[str], records: list[dict[str, Any]]) -> None:
        child, field, name = self._child(select, scope)
        if select.group_by or any(isinstance(item, Aggregate) for item in select.items):
            raise at(self._text, select.position, "MALFORMED_QUERY", "aggregates are not allowed in a child query")
        inner = self._scope(select, child)
        owner = f"{inner.root}.{quote(field)}"
        condition = (f"{owner} IN (SELECT value FROM json_each(?))", json.dumps(ids))  # noqa: S608
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for parent, record in self._rows(select, inner, [condition], owner):
            groups[parent].append(record)
        end = None if select.limit is None else select.offset + select.limit
        for record_id, record in zip(ids, records, strict=True):
            rows = groups.get(record_id, [])[select.offset : end]
            record[name] = {"totalSize": len(rows), "done": True, "records": rows} if rows else None

    # -- groups

    def _grouped(self, select: Select, scope: Scope) -> list[dict[str, Any]]:
        grouped = [scope.column(path) for path in select.group_by]
        for path, column in zip(select.group_by, grouped, strict=True):
            if not column.field.groupable:
                message = f"field '{column.field.name}' can not be grouped in a query call"
                raise at(self._text, path.position, "MALFORMED_QUERY", message)
        names, columns = [], []
        unnamed = 0
        for item in select.items:
            if isinstance(item, Aggregate):
                columns.append(self._aggregate(scope, item))
                names.append(item.alias or f"expr{unnamed}")
                unnamed += item.alias is None
            elif isinstance(item, Named):
                column = scope.column(item.path)
                if all(column.sql != known.sql for known in grouped):
                    message = f"Field must be grouped or aggregated: {column.field.name}"
                    raise at(self._text, item.path.position, "MALFORMED_QUERY", message)
                columns.append(column)
                names.append(item.alias or column.field.name)
            else:
                raise at(self._text, select.position, "MALFORMED_QUERY", "child queries cannot be grouped")
        values: list[object] = []
        where = self._where(select, scope, values)
        group = f" GROUP BY {', '.join(column.sql for column in grouped)}" if grouped else ""
        having = ""
        if select.having is not None:
            having = f" HAVING {self._conditions(scope, values).sql(select.having)}"
        order = self._order(select, scope)
        limit = "" if select.limit is None else f" LIMIT {select.limit} OFFSET {select.offset}"
        listed = ", ".join(column.sql for column in columns)
        sql = f"SELECT {listed} FROM {scope.source}{where}{group}{having}{order}{limit}"  # noqa: S608
        found = self._connection.execute(sql, values).fetchmany(2_001)
        if len(found) > 2_000:
            message = (
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
            )
            raise SoqlError("EXCEEDED_ID_LIMIT", message)
        return [
            {
                "attributes": {"type": "AggregateResult"},
                **{name: _told(column.field, value) for name, column, value in zip(names, columns, raw, strict=True)},
            }
            for raw in found
        ]

    def _aggregate(self, scope: Scope, item: Aggregate) -> Column:
        if item.path is None:
            return Column("COUNT(*)", _COUNT, scope.sobject, ())
        column = scope.column(item.path)
        if item.function in {"COUNT", "COUNT_DISTINCT"}:
            distinct = "DISTINCT " if item.function == "COUNT_DISTINCT" else ""
            return Column(f"COUNT({distinct}{column.sql})", _COUNT, scope.sobject, ())
        numeric = column.field.type in {"double", "currency", "percent", "int", "long"}
        if not column.field.aggregatable or (item.function in {"SUM", "AVG"} and not numeric):
            message = f"field {column.field.name} does not support aggregate operator {item.function}"
            raise at(self._text, item.position, "MALFORMED_QUERY", message)
        field = replace(column.field, type="average") if item.function == "AVG" else column.field
        return Column(f"{item.function}({column.sql})", field, scope.sobject, ())

    # -- parts

    def _scope(self, select: Select, sobject: SObject) -> Scope:
        self._aliases += 1
        return Scope(self._schema, sobject, self._text, select.alias, f"q{self._aliases}_")

    def _conditions(self, scope: Scope, values: list[object]) -> Conditions:
        return Conditions(scope, self._now, values, self._subselect, lambda item: self._aggregate(scope, item))

    def _where(
        self, select: Select, scope: Scope, values: list[object], extra: list[tuple[str, object]] | None = None
    ) -> str:
        parts = []
        for sql, value in extra or []:
            parts.append(sql)
            values.append(value)
        if not self._all_rows and scope.sobject.get("IsDeleted") is not None:
            parts.append(f'{scope.root}."IsDeleted" = 0')
        if select.where is not None:
            parts.append(self._conditions(scope, values).sql(select.where))
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def _subselect(self, select: Select, values: list[object]) -> str:
        sobject = self._schema.get(select.source)
        if sobject is None or not sobject.queryable:
            raise no_object(self._text, select.position, select.source)
        item = select.items[0]
        if len(select.items) != 1 or not isinstance(item, Named) or select.group_by or select.order_by:
            raise at(self._text, select.position, "MALFORMED_QUERY", "a semi join selects exactly one field")
        scope = self._scope(select, sobject)
        column = scope.column(item.path)
        where = self._where(select, scope, values)
        return f"SELECT {column.sql} FROM {scope.source}{where}"  # noqa: S608

    def _order(self, select: Select, scope: Scope) -> str:
        return (
            f" ORDER BY {', '.join(self._ordering(item, scope) for item in select.order_by)}" if select.order_by else ""
        )

    def _ordering(self, item: Ordering, scope: Scope) -> str:
        if isinstance(item.by, Aggregate):
            column = self._aggregate(scope, item.by)
        else:
            column = scope.column(item.by)
            if not column.field.sortable or not column.field.stored:
                message = f"field '{column.field.name}' can not be sorted in a query call"
                raise at(self._text, item.by.position, "MALFORMED_QUERY", message)
        # SQLite counts null as the smallest value, which is the platform's default in both directions.
        nulls = "" if item.nulls_first is None else f" NULLS {'FIRST' if item.nulls_first else 'LAST'}"
        return f"{column.sql}{' DESC' if item.descending else ''}{nulls}"

    def _attributes(self, sobject: str, record_id: str) -> dict[str, str]:
        return {"type": sobject, "url": f"{self._base}/{sobject}/{record_id}"}


def _told(field: Field, value: Any) -> Any:
    if field.type == "boolean":
        return None if value is None else bool(value)
    if field.type in {"currency", "double", "percent"} and isinstance(value, float):
        return round(value, field.scale)
    return value
