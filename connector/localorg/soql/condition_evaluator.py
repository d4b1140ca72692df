"""Evaluate a condition for values that are in no table: validation rules and channel filters.

A condition is a WHERE clause of SOQL. It sees one row made of the values, and the parents that the row refers to. A
filter of change events may also use fields of the event's header (`ChangeEventHeader.changeType`), except lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.errors import SoqlError, error_at
from connector.localorg.soql.parser import parse
from connector.localorg.soql.query import Query
from connector.localorg.soql.scope import Column, Scope, no_column
from connector.localorg.soql.syntax_tree import Comparison, Condition, Group, Membership, Not, Path, Select
from connector.localorg.storage import Storage, column_sql, quote

if TYPE_CHECKING:
    from connector.localorg.write_plan import Row


HEADER = "ChangeEventHeader"
_HEADER_FIELDS = {
    name.lower(): Field(name=f"{HEADER}.{name}", label=name, type=kind)
    for name, kind in (
        ("entityName", "string"), ("changeType", "string"), ("changeOrigin", "string"), ("transactionKey", "string"),
        ("sequenceNumber", "int"), ("commitTimestamp", "long"), ("commitNumber", "long"), ("commitUser", "reference"),
    )
}  # fmt: skip
_HEADER_LISTS = {"recordids", "nulledfields", "difffields", "changedfields"}


class _SingleRowScope(Scope):
    """A scope whose object is one row of bound values; `with_header` adds the header of a change event."""

    def __init__(self, schema: Schema, sobject: SObject, text: str, *, with_header: bool) -> None:
        super().__init__(schema, sobject, text, None, "r")
        self._with_header = with_header
        self.used_fields: set[str] = set()  # fields of the row itself that the condition is about

    @property
    def fields(self) -> list[Field]:
        """The columns of the row, in order."""
        return [*self.sobject.stored_fields(), *(_HEADER_FIELDS.values() if self._with_header else ())]

    def resolve(self, path: Path) -> Column:
        first, *rest = path.parts
        if self._with_header and first.lower() == HEADER.lower() and len(rest) == 1:
            field = _HEADER_FIELDS.get(rest[0].lower())
            if field is not None:
                return Column(f"{self.root}.{quote(field.name)}", field, self.sobject, ())
            if rest[0].lower() in _HEADER_LISTS:
                message = f"{HEADER}.{rest[0]} is a list: a filter can't be about it"
                raise error_at(self.text, path.position, "INVALID_FIELD", message)
            raise no_column(self.text, path.position, rest[0], HEADER)
        column_found = super().resolve(path)
        if not column_found.relationships:
            self.used_fields.add(column_found.field.name)
        return column_found

    @property
    def source(self) -> str:
        columns = []
        for field in self.fields:
            cased = "" if "COLLATE NOCASE" in column_sql(field) else " COLLATE BINARY"
            columns.append(f"?{cased or ' COLLATE NOCASE'} AS {quote(field.name)}")
        return f"(SELECT {', '.join(columns)}) AS {self.root}" + super().source.partition(f" AS {self.root}")[2]


@lru_cache(maxsize=256)
def _parse_condition(sobject: str, condition: str) -> tuple[str, Select]:
    text = f"SELECT Id FROM {sobject} WHERE {condition}"  # noqa: S608 - SOQL, for our own parser
    return text, parse(text)


def condition_holds(
    storage: Storage,
    schema: Schema,
    sobject: str,
    condition: str,
    row: Row,
    now: datetime,
    *,
    with_header: bool = False,
) -> bool:
    """Whether the condition holds for the row. SoqlError for an invalid condition.

    `schema` says which fields the condition may use. With `with_header`, the row has the header of a change event under
    names like `ChangeEventHeader.changeType`.
    """
    owner = schema.get(sobject)
    assert owner is not None
    scope = _SingleRowScope(schema, owner, _parse_condition(owner.name, condition)[0], with_header=with_header)
    values: list[object] = [row.get(field.name) for field in scope.fields]
    return storage.connection.execute(_condition_sql(scope, condition, now, values), values).fetchone() is not None


def condition_problem(schema: Schema, sobject: SObject, condition: str, *, with_header: bool = False) -> str | None:
    """Return what is wrong with a condition, in the words of a query error, or None."""
    try:
        condition_fields(schema, sobject, condition, with_header=with_header)
    except SoqlError as error:
        return " ".join(error.message.split())
    return None


def condition_fields(schema: Schema, sobject: SObject, condition: str, *, with_header: bool = False) -> set[str]:
    """Return the fields that a condition uses. SoqlError for an invalid condition."""
    scope = _SingleRowScope(schema, sobject, _parse_condition(sobject.name, condition)[0], with_header=with_header)
    _condition_sql(scope, condition, datetime.now(UTC), [])
    return scope.used_fields


def filter_fields(schema: Schema, sobject: SObject, condition: str, *, with_header: bool) -> set[str]:
    """Return the fields that a channel's filter uses. SoqlError for an invalid one.

    A filter is about the values of an event: comparisons, lists of values, AND, OR and NOT. It has no other clauses,
    no queries inside, and no fields of other records.
    """
    text, select = _parse_condition(sobject.name, condition)
    if select.order_by or select.limit is not None or select.offset or select.group_by or select.having:
        raise error_at(text, 0, "MALFORMED_QUERY", "only a condition is allowed, no other clauses")
    for part in _simple_conditions(select.where):
        if isinstance(part, Membership) and part.select is not None:
            raise error_at(text, part.left.position, "MALFORMED_QUERY", "a query inside a filter is not allowed")
        if not isinstance(part.left, Path):
            raise error_at(text, part.left.position, "MALFORMED_QUERY", "functions are not allowed")
        parts = [item.lower() for item in part.left.parts]
        in_header = parts[0] == HEADER.lower()
        if len(parts) > 1 and not in_header and not (len(parts) == 2 and parts[0] == sobject.name.lower()):
            raise error_at(text, part.left.position, "INVALID_FIELD", "fields of other records are not allowed")
        field = _HEADER_FIELDS.get(parts[-1]) if in_header else sobject.all_fields.get(parts[-1])
        if part.operator.upper() == "LIKE" and field is not None and field.type in {"id", "reference"}:
            raise error_at(text, part.left.position, "INVALID_FIELD", f"LIKE is an invalid operator on {field.name}")
    return condition_fields(schema, sobject, condition, with_header=with_header)


def _simple_conditions(condition: Condition | None) -> Iterator[Comparison | Membership]:
    match condition:
        case Group():
            for item in condition.conditions:
                yield from _simple_conditions(item)
        case Not():
            yield from _simple_conditions(condition.condition)
        case Comparison() | Membership():
            yield condition


def _condition_sql(scope: _SingleRowScope, condition: str, now: datetime, values: list[object]) -> str:
    text, select = _parse_condition(scope.sobject.name, condition)
    query = Query(
        connection=None,  # type: ignore[arg-type]  # it is compiled only
        schema=scope.schema,
        text=text,
        version="",
        all_rows=True,
        now=now,
        aliases=count(1),
    )
    where = query.where(select, scope, values)
    return f"SELECT 1 FROM {scope.source}{where}"  # noqa: S608
