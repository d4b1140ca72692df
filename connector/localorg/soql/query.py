"""What all parts of a query share: its text and time, scopes, conditions, order and aggregates as SQL."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.conditions import Conditions
from connector.localorg.soql.errors import error_at
from connector.localorg.soql.query_result import Paging
from connector.localorg.soql.scope import NAME, Column, Scope, no_object
from connector.localorg.soql.syntax_tree import Aggregate, Ordering, Select, SelectedField

_COUNT = Field(name="expr", label="", type="int")


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query in progress. `paging` limits the length of child lists; None returns whole lists."""

    connection: sqlite3.Connection
    schema: Schema
    text: str
    version: str
    all_rows: bool
    now: datetime
    paging: Paging | None = None
    aliases: count[int]

    def aggregate(self, scope: Scope, item: Aggregate) -> Column:
        if item.path is None:
            return Column("COUNT(*)", _COUNT, scope.sobject, ())
        column = scope.resolve(item.path)
        if item.function == "GROUPING":
            if scope.totals is None or column.sql not in scope.totals:
                message = "GROUPING needs a field of GROUP BY ROLLUP or CUBE"
                raise error_at(self.text, item.position, "MALFORMED_QUERY", message)
            return Column(str(int(column.sql in scope.totaled)), _COUNT, scope.sobject, ())
        numeric = column.field.type in {"double", "currency", "percent", "int", "long"}
        unsupported = item.function in {"SUM", "AVG"} and not numeric
        if not column.field.stored or not column.field.aggregatable or unsupported:
            message = f"field {column.field.name} does not support aggregate operator {item.function}"
            raise error_at(self.text, item.position, "MALFORMED_QUERY", message)
        if item.function in {"COUNT", "COUNT_DISTINCT"}:
            distinct = "DISTINCT " if item.function == "COUNT_DISTINCT" else ""
            return Column(f"COUNT({distinct}{column.sql})", _COUNT, scope.sobject, ())
        field = replace(column.field, type="average") if item.function == "AVG" else column.field
        return Column(f"{item.function}({column.sql})", field, scope.sobject, ())

    def scope(self, select: Select, sobject: SObject) -> Scope:
        return Scope(self.schema, sobject, self.text, select.alias, f"q{next(self.aliases)}_")

    def conditions(self, scope: Scope, values: list[object]) -> Conditions:
        return Conditions(scope, self.now, values, self.subselect, lambda item: self.aggregate(scope, item))

    def where(
        self, select: Select, scope: Scope, values: list[object], extra: list[tuple[str, object]] | None = None
    ) -> str:
        parts = []
        for sql, value in extra or []:
            parts.append(sql)
            values.append(value)
        if not self.all_rows and scope.sobject.get("IsDeleted") is not None:
            parts.append(f'{scope.root}."IsDeleted" = 0')
        if select.where is not None:
            parts.append(self.conditions(scope, values).sql(select.where))
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def subselect(self, select: Select, values: list[object]) -> str:
        sobject = self.schema.get(select.source)
        if sobject is None or not sobject.queryable:
            raise no_object(self.text, select.position, select.source)
        item = select.items[0]
        if len(select.items) != 1 or not isinstance(item, SelectedField) or select.group_by or select.order_by:
            raise error_at(self.text, select.position, "MALFORMED_QUERY", "a semi join selects exactly one field")
        scope = self.scope(select, sobject)
        column = scope.column(item.path)
        if column.field.type not in {"id", "reference"}:
            message = f"a semi join selects an ID, not {column.field.name}"
            raise error_at(self.text, item.path.position, "MALFORMED_QUERY", message)
        where = self.where(select, scope, values)
        return f"SELECT {column.sql} FROM {scope.source}{where}"  # noqa: S608

    def order(self, select: Select, scope: Scope) -> str:
        parts = ["".join(self.ordering(item, scope)) for item in select.order_by]
        return f" ORDER BY {', '.join(parts)}" if parts else ""

    def ordering(self, item: Ordering, scope: Scope) -> tuple[str, str]:
        """Return what to sort by, and the direction."""
        if isinstance(item.by, Aggregate):
            column = self.aggregate(scope, item.by)
        else:
            column = scope.column(item.by)
            if not column.field.sortable or not column.field.stored:
                message = f"field '{column.field.name}' can not be sorted in a query call"
                raise error_at(self.text, item.by.position, "MALFORMED_QUERY", message)
        # SQLite counts null as the smallest value, which is the platform's default in both directions.
        nulls = "" if item.nulls_first is None else f" NULLS {'FIRST' if item.nulls_first else 'LAST'}"
        return column.sql, f"{' DESC' if item.descending else ''}{nulls}"

    def attributes(self, sobject: str, record_id: str) -> dict[str, str]:
        owner = self.schema.by_record_id(record_id) if sobject == NAME.name else None
        own = owner.name if owner else sobject
        return {"type": sobject, "url": f"/services/data/v{self.version}/sobjects/{own}/{record_id}"}
