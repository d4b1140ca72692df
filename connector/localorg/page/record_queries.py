"""Bounded reads for the pages: newest rows, child rows, bounded counts, rows by prefix.

Column names come from the schema only; values are bound. A list reads at most MAX_ROWS_SEARCHED rows for one page,
whatever its filters. If that was not enough, it returns where to continue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.localorg.page.indexes import HELD_CONDITION, HOLD, LIVE_CONDITION
from connector.localorg.storage import quote
from connector.localorg.write_plan import Row, WritePlan

if TYPE_CHECKING:
    from connector.localorg.org import Org

PAGE_SIZE = 50
MAX_ROWS_SEARCHED = 5_000
MAX_COUNT = 10_000
_LAST_CHARACTER = "\U0010ffff"  # sorts after every continuation of a prefix


@dataclass(frozen=True, slots=True)
class RowPage:
    """One page of a list. `next_cursor` is where the next page begins; `search_limit_reached` if more rows must be
    searched.
    """

    rows: list[Row]
    next_cursor: int | None = None
    search_limit_reached: bool = False


def newest_rows(
    org: Org,
    sobject: str,
    equal: Mapping[str, str],
    *,
    held_only: bool = False,
    before: int | None = None,
    limit: int = PAGE_SIZE,
) -> RowPage:
    """Return rows with these values. The first column is looked up by index, the others are compared."""
    plan = org.dml.plan(sobject)
    live = LIVE_CONDITION if "IsDeleted" in plan.column_names else "1"
    looked_up = dict(list(equal.items())[:1])
    compared = dict(list(equal.items())[1:])
    conditions = [live, *(f"{quote(_column(plan, name))} = ?" for name in looked_up)]
    values: list[str | int] = [*looked_up.values()]
    outer = [f"{quote(_column(plan, name))} = ?" for name in compared]
    if held_only and not equal:
        conditions = [HELD_CONDITION]
    elif held_only:
        outer.append(f"{quote(_column(plan, HOLD))} IS NOT NULL")
    if before is not None:
        conditions.append("rowid < ?")
        values.append(before)
    table = quote(plan.name)
    inner = f"SELECT rowid AS place FROM {table} WHERE {' AND '.join(conditions)} ORDER BY rowid DESC"  # noqa: S608
    row_ids = [
        row[0]
        for row in org.storage.connection.execute(
            f"SELECT r.rowid FROM ({inner} LIMIT ?) seen CROSS JOIN {table} r ON r.rowid = seen.place"  # noqa: S608
            f" WHERE {' AND '.join(outer) or '1'} ORDER BY r.rowid DESC LIMIT ?",
            [*values, MAX_ROWS_SEARCHED if outer else limit + 1, *compared.values(), limit + 1],
        )
    ]
    rows = _rows_at(org, plan, row_ids[:limit])
    if len(row_ids) > limit:
        return RowPage(rows, next_cursor=row_ids[limit - 1])
    if not outer:
        return RowPage(rows)
    last = org.dml.scalar(f"SELECT place FROM ({inner} LIMIT 1 OFFSET ?)", *values, MAX_ROWS_SEARCHED - 1)  # noqa: S608
    return RowPage(rows, next_cursor=last, search_limit_reached=last is not None)


def _rows_at(org: Org, plan: WritePlan, row_ids: list[int]) -> list[Row]:
    where = f"rowid IN ({', '.join('?' * len(row_ids))}) ORDER BY rowid DESC"
    return list(org.dml.select(plan.name, where, *row_ids))


def child_rows(
    org: Org, child: str, field: str, record_id: str, *, before: int | None = None, limit: int = PAGE_SIZE
) -> RowPage:
    return newest_rows(org, child, {field: record_id}, before=before, limit=limit)


@dataclass(frozen=True, slots=True)
class NamedPage:
    rows: list[Row]
    next_cursor: tuple[str, str] | None = None


def rows_by_name(org: Org, sobject: str, after: tuple[str, str] | None, limit: int = PAGE_SIZE) -> NamedPage:
    """Return rows in order of their names. The cursor is name and ID of the last row."""
    where = LIVE_CONDITION if after is None else f'{LIVE_CONDITION} AND ("Name", "Id") > (?, ?)'
    rows_and_next = list(org.dml.select(sobject, f'{where} ORDER BY "Name", "Id" LIMIT ?', *(after or ()), limit + 1))
    rows = rows_and_next[:limit]
    following = (str(rows[-1]["Name"]), str(rows[-1]["Id"])) if len(rows_and_next) > limit else None
    return NamedPage(rows, following)


def rows_with_prefix(org: Org, sobject: str, column: str, text: str, limit: int) -> list[Row]:
    """Return rows whose column begins with a text, in order of the column."""
    plan = org.dml.plan(sobject)
    name = quote(_column(plan, column))
    live = LIVE_CONDITION if "IsDeleted" in plan.column_names else "1"
    where = f"{live} AND {name} >= ? AND {name} < ? ORDER BY {name} LIMIT ?"
    return list(org.dml.select(plan.name, where, text, text + _LAST_CHARACTER, limit))


def count_rows(org: Org, sobject: str) -> int:
    """Count live rows: all rows less the deleted ones. Both counts come from an index."""
    table = quote(org.dml.plan(sobject).name)
    all_rows = org.dml.scalar(f"SELECT COUNT(*) FROM {table}")  # noqa: S608
    return int(all_rows) - int(org.dml.scalar(f'SELECT COUNT(*) FROM {table} WHERE "IsDeleted" = 1'))  # noqa: S608


def bounded_count(org: Org, sobject: str, column: str | None = None, value: str = "") -> int:
    """Count held orders, or rows with a value. It stops at one more than MAX_COUNT."""
    plan = org.dml.plan(sobject)
    where = HELD_CONDITION if column is None else f"{LIVE_CONDITION} AND {quote(_column(plan, column))} = ?"
    values = () if column is None else (value,)
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {quote(plan.name)} WHERE {where} LIMIT ?)"  # noqa: S608
    return int(org.dml.scalar(sql, *values, MAX_COUNT + 1))


def _column(plan: WritePlan, name: str) -> str:
    """Return the column name. KeyError if the schema has none: a column is never taken from an address."""
    if name not in plan.column_names:
        raise KeyError(name)
    return name


def parse_cursor(text: str) -> int | None:
    """Return the cursor of an address; None if it is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
