"""Whether a condition holds for values that are in no table yet: of validation rules and of channel filters.

It is a WHERE clause of SOQL, asked of one row made of the values, with the parents that the row refers to.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from connector.localorg.schema import Schema, SObject
from connector.localorg.soql.errors import SoqlError
from connector.localorg.soql.parser import parse
from connector.localorg.soql.query import Query
from connector.localorg.soql.scope import Scope
from connector.localorg.soql.tree import Select
from connector.localorg.storage import Storage, column, quote

if TYPE_CHECKING:
    from connector.localorg.plan import Row


class _OneRow(Scope):
    """A scope whose object is a row of bound values instead of a table."""

    @property
    def source(self) -> str:
        columns = []
        for field in self.sobject.stored_fields():
            cased = "" if "COLLATE NOCASE" in column(field) else " COLLATE BINARY"
            columns.append(f"?{cased or ' COLLATE NOCASE'} AS {quote(field.name)}")
        return f"(SELECT {', '.join(columns)}) AS {self.root}" + super().source.partition(f" AS {self.root}")[2]


@lru_cache(maxsize=256)
def _parsed(sobject: str, condition: str) -> tuple[str, Select]:
    text = f"SELECT Id FROM {sobject} WHERE {condition}"  # noqa: S608 - SOQL, for our own parser
    return text, parse(text)


def holds(storage: Storage, schema: Schema, sobject: str, condition: str, row: Row, now: datetime) -> bool:
    """`schema` says what the condition may see; SoqlError for a condition that is none."""
    owner = schema.get(sobject)
    assert owner is not None
    values: list[object] = [row.get(field.name) for field in owner.stored_fields()]
    return storage.connection.execute(_sql(schema, owner, condition, now, values), values).fetchone() is not None


def problem(schema: Schema, sobject: SObject, condition: str) -> str | None:
    """What is wrong with a condition, in the words that a query with it would get."""
    try:
        _sql(schema, sobject, condition, datetime.now(UTC), [])
    except SoqlError as error:
        return " ".join(error.message.split())
    return None


def _sql(schema: Schema, sobject: SObject, condition: str, now: datetime, values: list[object]) -> str:
    text, select = _parsed(sobject.name, condition)
    query = Query(
        connection=None,  # type: ignore[arg-type]  # it is compiled only
        schema=schema,
        text=text,
        version="",
        all_rows=True,
        now=now,
        aliases=count(1),
    )
    scope = _OneRow(schema, sobject, text, None, "r")
    where = query.where(select, scope, values)
    return f"SELECT 1 FROM {scope.source}{where}"  # noqa: S608
