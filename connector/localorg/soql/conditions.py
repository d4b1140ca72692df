"""Compile WHERE and HAVING to SQL with bound values, with SOQL's rules for null, case, IDs and dates.

`!=` and NOT match rows without a value; `<`, `>` and LIKE never do. Empty text counts as null.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from connector.localorg import ids
from connector.localorg.schema import Field
from connector.localorg.soql import dates
from connector.localorg.soql.errors import SoqlError, error_at
from connector.localorg.soql.scope import Column, Scope
from connector.localorg.soql.syntax_tree import (
    Aggregate,
    Comparison,
    Condition,
    Group,
    Literal,
    Membership,
    Not,
    Path,
    Select,
)
from connector.localorg.soql.tokens import Token, unquoted

CompileSubselect = Callable[[Select, list[object]], str]
_NUMBER_TYPES = {"double", "currency", "percent", "int", "long"}
_ID_TYPES = {"id", "reference"}
_UNQUOTED_TYPES = _NUMBER_TYPES | {"boolean", "date", "datetime"}
MAX_CHARACTERS = 4_000
MAX_BOUND_VALUES = 500  # values of a list that are bound one by one
_YEARS = range(1700, 4001)


def _balanced(parts: list[str], word: str) -> str:
    """Return a chain of operators as a balanced tree, because SQLite limits the depth of an expression."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(parts[:middle], word)} {word} {_balanced(parts[middle:], word)})"


class Conditions:
    """Compiles the conditions of one scope. It appends bound values to `values` in the order of the SQL."""

    def __init__(
        self,
        scope: Scope,
        now: datetime,
        values: list[object],
        sub: CompileSubselect,
        aggregate: Callable[[Aggregate], Column],
    ) -> None:
        self._scope = scope
        self._now = now
        self._values = values
        self._sub = sub
        self._aggregate = aggregate

    def sql(self, condition: Condition) -> str:
        if isinstance(condition, Group):
            return _balanced([self.sql(item) for item in condition.conditions], condition.word)
        if isinstance(condition, Not):
            return f"NOT COALESCE({self.sql(condition.condition)}, 0)"
        if isinstance(condition, Membership):
            return self._membership(condition)
        return self._comparison(condition)

    def _column(self, left: Path | Aggregate) -> Column:
        if isinstance(left, Aggregate):
            return self._aggregate(left)
        column = self._scope.column(left)
        if not column.field.filterable or not column.field.stored:
            message = f"field '{column.field.name}' can not be filtered in a query call"
            raise error_at(self._scope.text, left.position, "INVALID_FIELD", message)
        return column

    def _comparison(self, item: Comparison) -> str:
        column = self._column(item.left)
        sql, field, operator = column.sql, column.field, item.operator
        if item.right.kind == "relative":
            return self._relative(sql, field, operator, item.right)
        if operator == "LIKE":
            if item.right.kind != "string" or field.type in _NUMBER_TYPES | {"boolean", "date", "datetime"}:
                raise self._type_error(field, item.right)
            self._values.append(self._text(item.right, like=True))
            return f"COALESCE({sql} LIKE ? ESCAPE '\\', 0)"
        value = self._value(field, item.right)
        if value is None:
            if operator == "=":
                return f"{sql} IS NULL"
            return f"{sql} IS NOT NULL" if operator == "!=" else "0"
        self._values.append(value)
        return f"({sql} IS NULL OR {sql} <> ?)" if operator == "!=" else f"{sql} {operator} ?"

    def _relative(self, sql: str, field: Field, operator: str, literal: Literal) -> str:
        span = dates.relative_span(literal.text, self._now)
        if span is None:
            raise error_at(self._scope.text, literal.position, "MALFORMED_QUERY", f"unexpected token: '{literal.text}'")
        if field.type not in {"date", "datetime"} or operator == "LIKE":
            raise self._type_error(field, literal)
        first, after = (
            moment.strftime("%Y-%m-%d") if field.type == "date" else dates.format_timestamp(moment) for moment in span
        )
        bound = {"<": first, "<=": after, ">": after, ">=": first}
        if operator in bound:
            self._values.append(bound[operator])
            return f"{sql} {'<' if operator[0] == '<' else '>='} ?"
        self._values += [first, after]
        inside = f"{sql} >= ? AND {sql} < ?"
        return f"({inside})" if operator == "=" else f"({sql} IS NULL OR NOT ({inside}))"

    def _membership(self, item: Membership) -> str:
        column = self._column(item.left)
        sql, field = column.sql, column.field
        negated = item.operator in {"NOT IN", "EXCLUDES"}
        if item.select is not None:
            if field.type not in _ID_TYPES:
                raise error_at(self._scope.text, item.left.position, "MALFORMED_QUERY", "a semi join compares IDs")
            inner = f"{sql} IN ({self._sub(item.select, self._values)})"
        elif item.operator in {"INCLUDES", "EXCLUDES"}:
            inner = self._includes(sql, field, item)
        else:
            literals = [self._value(field, literal) for literal in item.values]
            bound = [value for value in literals if value is not None]
            if len(bound) > MAX_BOUND_VALUES:
                self._values.append(json.dumps(bound))
                inner = f"{sql} IN (SELECT value FROM json_each(?))"  # noqa: S608
            else:
                self._values += bound
                inner = f"{sql} IN ({', '.join('?' * len(bound))})"
            if len(bound) < len(literals):
                inner = f"({inner} OR {sql} IS NULL)"
        return f"NOT COALESCE({inner}, 0)" if negated else inner

    def _includes(self, sql: str, field: Field, item: Membership) -> str:
        if field.type != "multipicklist":
            raise error_at(
                self._scope.text, item.left.position, "INVALID_FIELD", f"{item.operator} needs a multi-select picklist"
            )
        choices = []
        for literal in item.values:
            choices_of_value = str(self._value(field, literal) or "").split(";")
            self._values += [f";{word};" for word in choices_of_value]
            choices.append("(" + " AND ".join(f"instr(';' || {sql} || ';', ?) > 0" for _ in choices_of_value) + ")")
        return "(" + " OR ".join(choices) + ")"

    def _text(self, literal: Literal, *, like: bool = False) -> str:
        if len(literal.text) - 2 > MAX_CHARACTERS:
            message = f"A text in a condition has at most {MAX_CHARACTERS} characters"
            raise error_at(self._scope.text, literal.position, "MALFORMED_QUERY", message)
        return unquoted(self._scope.text, Token("string", literal.text, literal.position), like=like)

    def _value(self, field: Field, literal: Literal) -> object:
        kind = literal.kind
        if kind == "null":
            return None
        if field.type in _ID_TYPES and kind == "string":
            text = self._text(literal)
            full = ids.normalize(text) if text else None
            if text and full is None:
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
            return full
        if field.type in _NUMBER_TYPES and kind == "number":
            return float(literal.text)
        if field.type == "boolean" and kind == "boolean":
            return int(literal.text == "TRUE")
        if field.type == "date" and kind == "date":
            return self._moment(literal).strftime("%Y-%m-%d")
        if field.type == "datetime" and kind == "datetime":
            return dates.format_timestamp(self._moment(literal))
        if kind == "string" and field.type not in _NUMBER_TYPES | {"boolean", "date", "datetime"}:
            return self._text(literal) or None
        raise self._type_error(field, literal)

    def _moment(self, literal: Literal) -> datetime:
        try:
            if literal.kind == "date":
                moment = datetime.strptime(literal.text, "%Y-%m-%d")  # noqa: DTZ007 - a date has no zone
            else:
                moment = datetime.strptime(dates.parse_datetime(literal.text), "%Y-%m-%dT%H:%M:%S.000%z")
            if moment.year in _YEARS:
                return moment
            raise ValueError(literal.text)
        except (ValueError, OverflowError):
            raise error_at(
                self._scope.text, literal.position, "MALFORMED_QUERY", f"Invalid {literal.kind}: {literal.text}"
            ) from None

    def _type_error(self, field: Field, literal: Literal) -> SoqlError:
        quotes = "should not be enclosed in quotes" if field.type in _UNQUOTED_TYPES else "should be enclosed in quotes"
        type_name = {"double": "double", "currency": "currency", "datetime": "dateTime"}.get(field.type, field.type)
        message = f"value of filter criterion for field '{field.name}' must be of type {type_name} and {quotes}"
        return error_at(self._scope.text, literal.position, "INVALID_FIELD", message)
