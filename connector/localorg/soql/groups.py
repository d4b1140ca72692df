"""Grouped queries and bare counts. Their rows are few and are read at once."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from connector.localorg.schema import Field, SObject
from connector.localorg.soql.errors import SoqlError, error_at
from connector.localorg.soql.query import Query
from connector.localorg.soql.scope import Column, Scope
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

MAX_ROWS = 2_000


def is_bare_count(select: Select) -> bool:
    """Whether it is `SELECT COUNT() FROM …`, which has a size and no rows."""
    bare = select.items[0]
    return len(select.items) == 1 and isinstance(bare, Aggregate) and bare.path is None and not select.group_by


def is_grouped(select: Select) -> bool:
    return bool(select.group_by) or any(isinstance(item, Aggregate) for item in select.items)


def run_bare_count(query: Query, select: Select, sobject: SObject) -> int:
    scope = query.scope(select, sobject)
    values: list[object] = []
    where = query.where(select, scope, values)
    limit = f" LIMIT {select.limit}" if select.limit is not None else ""
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {scope.source}{where}{limit})"  # noqa: S608
    return int(query.connection.execute(sql, values).fetchone()[0])


def run_grouped(query: Query, select: Select, sobject: SObject) -> list[dict[str, Any]]:
    """Return one row per group, and one per total if totals are requested."""
    scope = query.scope(select, sobject)
    keys = [_group_column(query, scope, path) for path in select.group_by]
    listed = {column.sql for column in keys}
    for path in _paths_to_group(select):
        column = scope.resolve(path)
        if column.sql not in listed:
            message = f"Field must be grouped or aggregated: {column.field.name}"
            raise error_at(query.text, path.position, "MALFORMED_QUERY", message)
    if select.totals:
        scope.totals = frozenset(listed)
    values: list[object] = []
    parts, names, fields, sort = list[str](), list[str](), list[Field](), ""
    for grouping_set in _grouping_sets([column.sql for column in keys], select.totals):
        scope.totaled = frozenset()
        where = query.where(select, scope, values)
        scope.totaled = frozenset(listed - set(grouping_set))
        names, columns = _columns(query, scope, select)
        fields = [column.field for column in columns]
        order = [query.ordering(item, scope) for item in select.order_by]
        select_list = ", ".join([column.sql for column in columns] + [sql for sql, _ in order])
        having = f" HAVING {query.conditions(scope, values).sql(select.having)}" if select.having is not None else ""
        group = f" GROUP BY {', '.join(grouping_set or ['NULL'])}" if keys else ""
        parts.append(f"SELECT {select_list} FROM {scope.source}{where}{group}{having}")  # noqa: S608
        sort = ", ".join(f"{index}{direction}" for index, (_, direction) in enumerate(order, start=len(columns) + 1))
    limit = "" if select.limit is None and not select.offset else f" LIMIT {_limit(select)} OFFSET {select.offset}"
    sql = " UNION ALL ".join(parts) + (f" ORDER BY {sort}" if sort else "") + limit
    rows = query.connection.execute(sql, values).fetchmany(MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
        raise SoqlError("EXCEEDED_ID_LIMIT", message)
    return [
        {
            "attributes": {"type": "AggregateResult"},
            **{name: _render_value(field, value) for name, field, value in zip(names, fields, raw, strict=False)},
        }
        for raw in rows
    ]


def _limit(select: Select) -> int:
    return -1 if select.limit is None else select.limit


def _grouping_sets(keys: list[str], totals: str) -> list[tuple[str, ...]]:
    """Return the keys of each kind of row, the plain groups first."""
    if totals == "ROLLUP":
        return [tuple(keys[:size]) for size in range(len(keys), -1, -1)]
    if totals == "CUBE":
        return [keys_kept for size in range(len(keys), -1, -1) for keys_kept in combinations(keys, size)]
    return [tuple(keys)]


def _group_column(query: Query, scope: Scope, path: Path) -> Column:
    column = scope.column(path)
    if not column.field.groupable:
        message = f"field '{column.field.name}' can not be grouped in a query call"
        raise error_at(query.text, path.position, "MALFORMED_QUERY", message)
    return column


def _paths_to_group(select: Select) -> list[Path]:
    """Return the fields that must be among the grouping keys."""
    paths = [item.path for item in select.items if isinstance(item, SelectedField)]
    paths += [item.by for item in select.order_by if isinstance(item.by, Path)]
    waiting: list[Condition] = [select.having] if select.having is not None else []
    while waiting:
        item = waiting.pop()
        if isinstance(item, Group):
            waiting += item.conditions
        elif isinstance(item, Not):
            waiting.append(item.condition)
        elif isinstance(item, Comparison | Membership) and isinstance(item.left, Path):
            paths.append(item.left)
    return paths


def _columns(query: Query, scope: Scope, select: Select) -> tuple[list[str], list[Column]]:
    """Return names and columns of the result. Columns without an alias are numbered."""
    names, columns = [], []
    unnamed = 0
    for item in select.items:
        if isinstance(item, Aggregate):
            if item.path is None:
                raise error_at(query.text, item.position, "MALFORMED_QUERY", "COUNT() must stand alone: count a field")
            columns.append(query.aggregate(scope, item))
            names.append(item.alias or f"expr{unnamed}")
            unnamed += item.alias is None
        elif isinstance(item, SelectedField):
            columns.append(scope.column(item.path))
            names.append(item.alias or columns[-1].field.name)
        else:
            raise error_at(query.text, select.position, "MALFORMED_QUERY", "only fields and aggregates can be grouped")
    duplicate = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if duplicate is not None:
        raise error_at(query.text, select.position, "MALFORMED_QUERY", f"duplicate alias: {duplicate}")
    return names, columns


def _render_value(field: Field, value: Any) -> Any:
    if field.type == "boolean":
        return None if value is None else bool(value)
    if field.type in {"currency", "double", "percent"} and isinstance(value, float):
        return round(value, field.scale)
    return value
