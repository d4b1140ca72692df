"""Helpers for many rows: IN lists in chunks, below the limits on bound parameters, and INSERT with ON CONFLICT."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

from sqlalchemy import (
    Column,
    ColumnElement,
    Executable,
    Integer,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.sql.dml import ReturningInsert

T = TypeVar("T")
Row = dict[str, Any]

CHUNK = 500
"""Keys in one IN list. SQLite allows 32,766 bound parameters, PostgreSQL 65,535."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """The result of a save as numbers of entities; `unchanged` ones were not written."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: Saved) -> Saved:
        return Saved(
            created=self.created + other.created,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
        )


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `size`."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def insert(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that supports ON CONFLICT; SQLAlchemy has a separate class for each database."""
    return insert_into(table, connection.dialect.name)


def insert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Like `insert`, by the name of the dialect."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


async def select_in(
    connection: AsyncConnection, statement: Select[Any], column: Column[Any], keys: Iterable[str] | None, **values: Any
) -> list[Any]:
    """Return the rows of `statement` whose `column` is one of `keys`; all, if that is None. `values` are those of its
    bound parameters.

    A statement that is built once, as a constant of its module, takes half the time of one that each call builds.
    """
    if keys is None:
        return list(await connection.execute(statement, values))
    rows: list[Any] = []
    among = _among(statement, column)
    for chunk in chunks(keys):
        rows += (await connection.execute(among, {**values, _KEYS: chunk})).all()
    return rows


_KEYS = "the_keys"


class Variants:
    """Statements that are made of others by `build`, each kept for as long as the one that it is made of."""

    def __init__(self, build: Callable[..., Any]) -> None:
        self._build = build
        self._made: WeakKeyDictionary[Executable, dict[tuple[Any, ...], Any]] = WeakKeyDictionary()

    def __call__(self, statement: T, *parts: Any) -> T:
        made = self._made.setdefault(cast(Executable, statement), {})
        if parts not in made:
            made[parts] = self._build(statement, *parts)
        return cast(T, made[parts])


_among = Variants(lambda statement, column: statement.where(column.in_(bindparam(_KEYS, expanding=True))))


async def list_missing(connection: AsyncConnection, column: Column[str], keys: Set[str]) -> list[str]:
    """Return those of `keys` that no row has in `column`, sorted."""
    return sorted(keys - {row[0] for row in await select_in(connection, _column(column), column, keys)})


@lru_cache(maxsize=256)
def _column(column: Column[str]) -> Select[Any]:
    return select(column)


Before = tuple[datetime, int]
"""A time and an ID: rows before them are earlier, or of the same time with a smaller ID."""


def is_before(at: Column[datetime], number: Column[int], before: Before) -> ColumnElement[bool]:
    """Whether a row comes before that time and ID."""
    return or_(at < before[0], and_(at == before[0], number < before[1]))


async def insert_missing(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> set[str]:
    """Insert those of `rows` whose key does not exist, and return the inserted keys. The primary key has one column.

    In PostgreSQL this waits for another transaction that is inserting the same key, and then skips the row.
    """
    if not rows:
        return set()
    return set((await connection.execute(_insert_missing(table, connection.dialect.name), rows)).scalars())


@lru_cache(maxsize=256)
def _insert_missing(table: Table, dialect: str) -> ReturningInsert[Any]:
    (key,) = table.primary_key.columns
    return insert_into(table, dialect).on_conflict_do_nothing().returning(key)


async def upsert(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Insert `rows`; if the primary key exists, set the other columns."""
    if not rows:
        return
    await connection.execute(_upsert(table, connection.dialect.name, tuple(rows[0])), rows)


@lru_cache(maxsize=256)
def _upsert(table: Table, dialect: str, columns: tuple[str, ...]) -> sqlite.Insert | postgresql.Insert:
    statement = insert_into(table, dialect)
    keys = [column.name for column in table.primary_key.columns]
    changes = {name: statement.excluded[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changes)


async def update_rows(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Update existing rows by their primary key (one column), and raise their version by 1."""
    if not rows:
        return
    new_rows = [{f"new_{name}": value for name, value in row.items()} for row in rows]
    await connection.execute(_update_rows(table, tuple(rows[0])), new_rows)


@lru_cache(maxsize=256)
def _update_rows(table: Table, columns: tuple[str, ...]) -> Update:
    (key,) = table.primary_key.columns
    # A parameter with the name of a column would be taken for a value to set.
    values: Row = {name: bindparam(f"new_{name}") for name in columns if name != key.name}
    return update(table).where(key == bindparam(f"new_{key.name}")).values(**values, version=table.c.version + 1)


async def versions_of(
    connection: AsyncConnection, table: Table, keys: Iterable[str], *, lock: bool = False
) -> dict[str, int]:
    """Return the versions of existing rows by primary key (one column); `lock` locks them."""
    (key,) = table.primary_key.columns
    return dict(await select_in(connection, _versions(table, lock), key, sorted(keys)))


@lru_cache(maxsize=256)
def _versions(table: Table, lock: bool) -> Select[Any]:
    (key,) = table.primary_key.columns
    statement = select(key, table.c.version).order_by(key)
    return statement.with_for_update() if lock else statement


async def all_keys(connection: AsyncConnection, column: Column[str], page: int = 2000) -> AsyncIterator[str]:
    """Iterate over the values of a unique column, in byte order; a page at a time is read."""
    first, next_page = _pages(column)
    rows = (await connection.execute(first, {"the_limit": page})).scalars().all()
    while rows:
        for key in rows:
            yield key
        rows = (await connection.execute(next_page, {"the_limit": page, "the_start": rows[-1]})).scalars().all()


@lru_cache(maxsize=256)
def _pages(column: Column[str]) -> tuple[Select[Any], Select[Any]]:
    """The statements for the first page of keys, and for each of the others."""
    first = select(column).order_by(column).limit(bindparam("the_limit", type_=Integer))
    return first, first.where(column > bindparam("the_start"))


async def list_page_of_keys(
    connection: AsyncConnection, statement: Select[Any], key: Column[str], *, after: str | None, limit: int
) -> list[str]:
    """Return up to `limit` keys selected by `statement` that follow `after`, in byte order."""
    if after:
        statement = statement.where(key > after)
    return list((await connection.execute(statement.order_by(key).limit(limit))).scalars())


async def count_rows(connection: AsyncConnection, table: Table) -> int:
    return (await connection.execute(select(func.count()).select_from(table))).scalar_one()
