"""Bounded reads: lists newest first, children of a record, counts that stop counting, rows by what they begin with.

Columns come from the schema only, values are bound. A list looks at no more than so many rows for one page, whatever
its filters; if that was not enough, it says where to look on.
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
_LAST_CHARACTER = "\U0010ffff"  # after every text that begins with what stands before it


@dataclass(frozen=True, slots=True)
class RowPage:
    """One page of a list. `following` is where the next begins; `unfinished` if that is for lack of looking."""

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
    """Rows with these values in these columns. The first one is the one to look up, the others are compared."""
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
    """Rows in the order of their names; the cursor is the last row's name and ID."""
    where = LIVE_CONDITION if after is None else f'{LIVE_CONDITION} AND ("Name", "Id") > (?, ?)'
    rows_and_next = list(org.dml.select(sobject, f'{where} ORDER BY "Name", "Id" LIMIT ?', *(after or ()), limit + 1))
    rows = rows_and_next[:limit]
    following = (str(rows[-1]["Name"]), str(rows[-1]["Id"])) if len(rows_and_next) > limit else None
    return NamedPage(rows, following)


def rows_with_prefix(org: Org, sobject: str, column: str, text: str, limit: int) -> list[Row]:
    """Rows whose column begins with a text, in its order."""
    plan = org.dml.plan(sobject)
    name = quote(_column(plan, column))
    live = LIVE_CONDITION if "IsDeleted" in plan.column_names else "1"
    where = f"{live} AND {name} >= ? AND {name} < ? ORDER BY {name} LIMIT ?"
    return list(org.dml.select(plan.name, where, text, text + _LAST_CHARACTER, limit))


def count_rows(org: Org, sobject: str) -> int:
    """How many there are: all rows less the deleted ones, neither of which is looked at."""
    table = quote(org.dml.plan(sobject).name)
    all_rows = org.dml.scalar(f"SELECT COUNT(*) FROM {table}")  # noqa: S608
    return int(all_rows) - int(org.dml.scalar(f'SELECT COUNT(*) FROM {table} WHERE "IsDeleted" = 1'))  # noqa: S608


def bounded_count(org: Org, sobject: str, column: str | None = None, value: str = "") -> int:
    """How many orders are held, or rows have a value; counting stops at one more than `COUNTED`."""
    plan = org.dml.plan(sobject)
    where = HELD_CONDITION if column is None else f"{LIVE_CONDITION} AND {quote(_column(plan, column))} = ?"
    values = () if column is None else (value,)
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {quote(plan.name)} WHERE {where} LIMIT ?)"  # noqa: S608
    return int(org.dml.scalar(sql, *values, MAX_COUNT + 1))


def _column(plan: WritePlan, name: str) -> str:
    """The name as the schema has it. KeyError for any other: a column is never taken from an address."""
    if name not in plan.column_names:
        raise KeyError(name)
    return name


def parse_cursor(text: str) -> int | None:
    """A place in a list as an address has it; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
