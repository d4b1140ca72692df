"""Grouped queries and bare counts: their rows are few and come whole."""

from __future__ import annotations

from typing import Any

from connector.localorg.schema import Field, SObject
from connector.localorg.soql.errors import SoqlError, at
from connector.localorg.soql.query import Query
from connector.localorg.soql.tree import Aggregate, Named, Select

MOST_ROWS = 2_000


def is_bare_count(select: Select) -> bool:
    """Whether it is `SELECT COUNT() FROM …`: a size without rows."""
    bare = select.items[0]
    return len(select.items) == 1 and isinstance(bare, Aggregate) and bare.path is None and not select.group_by


def is_grouped(select: Select) -> bool:
    return bool(select.group_by) or any(isinstance(item, Aggregate) for item in select.items)


def bare_count(query: Query, select: Select, sobject: SObject) -> int:
    scope = query.scope(select, sobject)
    values: list[object] = []
    where = query.where(select, scope, values)
    limit = f" LIMIT {select.limit}" if select.limit is not None else ""
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {scope.source}{where}{limit})"  # noqa: S608
    return int(query.connection.execute(sql, values).fetchone()[0])


def grouped(query: Query, select: Select, sobject: SObject) -> list[dict[str, Any]]:
    """One row a group."""
    scope = query.scope(select, sobject)
    grouped = [scope.column(path) for path in select.group_by]
    for path, column in zip(select.group_by, grouped, strict=True):
        if not column.field.groupable:
            message = f"field '{column.field.name}' can not be grouped in a query call"
            raise at(query.text, path.position, "MALFORMED_QUERY", message)
    names, columns = [], []
    unnamed = 0
    for item in select.items:
        if isinstance(item, Aggregate):
            columns.append(query.aggregate(scope, item))
            names.append(item.alias or f"expr{unnamed}")
            unnamed += item.alias is None
        elif isinstance(item, Named):
            column = scope.column(item.path)
            if all(column.sql != known.sql for known in grouped):
                message = f"Field must be grouped or aggregated: {column.field.name}"
                raise at(query.text, item.path.position, "MALFORMED_QUERY", message)
            columns.append(column)
            names.append(item.alias or column.field.name)
        else:
            raise at(query.text, select.position, "MALFORMED_QUERY", "child queries cannot be grouped")
    values: list[object] = []
    where = query.where(select, scope, values)
    group = f" GROUP BY {', '.join(column.sql for column in grouped)}" if grouped else ""
    having = ""
    if select.having is not None:
        having = f" HAVING {query.conditions(scope, values).sql(select.having)}"
    order = query.order(select, scope)
    limit = "" if select.limit is None else f" LIMIT {select.limit} OFFSET {select.offset}"
    listed = ", ".join(column.sql for column in columns)
    sql = f"SELECT {listed} FROM {scope.source}{where}{group}{having}{order}{limit}"  # noqa: S608
    found = query.connection.execute(sql, values).fetchmany(MOST_ROWS + 1)
    if len(found) > MOST_ROWS:
        message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
        raise SoqlError("EXCEEDED_ID_LIMIT", message)
    return [
        {
            "attributes": {"type": "AggregateResult"},
            **{name: _told(column.field, value) for name, column, value in zip(names, columns, raw, strict=True)},
        }
        for raw in found
    ]


def _told(field: Field, value: Any) -> Any:
    if field.type == "boolean":
        return None if value is None else bool(value)
    if field.type in {"currency", "double", "percent"} and isinstance(value, float):
        return round(value, field.scale)
    return value
