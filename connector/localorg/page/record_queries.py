"""Bounded reads: lists newest first, children of a record, counts that stop counting, rows by what they begin with.

Columns come from the schema only, values are bound. A list looks at no more than so many rows for one page, whatever
its filters; if that was not enough, it says where to look on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.localorg.page.indexes import HELD, HOLD, LIVE
from connector.localorg.storage import quote
from connector.localorg.write_plan import WritePlan, Row

if TYPE_CHECKING:
    from connector.localorg.org import Org

PAGE = 50
LOOKED_AT = 5_000
COUNTED = 10_000
_NEXT = "\U0010ffff"  # after every text that begins with what stands before it


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a list. `following` is where the next begins; `unfinished` if that is for lack of looking."""

    rows: list[Row]
    following: int | None = None
    unfinished: bool = False


def newest(
    org: Org,
    sobject: str,
    equal: Mapping[str, str],
    *,
    held: bool = False,
    before: int | None = None,
    limit: int = PAGE,
) -> Part:
    """Rows with these values in these columns. The first one is the one to look up, the others are compared."""
    plan = org.dml.plan(sobject)
    live = LIVE if "IsDeleted" in plan.column_names else "1"
    looked_up = dict(list(equal.items())[:1])
    compared = dict(list(equal.items())[1:])
    conditions = [live, *(f"{quote(_column(plan, name))} = ?" for name in looked_up)]
    values: list[str | int] = [*looked_up.values()]
    outer = [f"{quote(_column(plan, name))} = ?" for name in compared]
    if held and not equal:
        conditions = [HELD]
    elif held:
        outer.append(f"{quote(_column(plan, HOLD))} IS NOT NULL")
    if before is not None:
        conditions.append("rowid < ?")
        values.append(before)
    table = quote(plan.name)
    inner = f"SELECT rowid AS place FROM {table} WHERE {' AND '.join(conditions)} ORDER BY rowid DESC"  # noqa: S608
    places = [
        row[0]
        for row in org.storage.connection.execute(
            f"SELECT r.rowid FROM ({inner} LIMIT ?) seen CROSS JOIN {table} r ON r.rowid = seen.place"  # noqa: S608
            f" WHERE {' AND '.join(outer) or '1'} ORDER BY r.rowid DESC LIMIT ?",
            [*values, LOOKED_AT if outer else limit + 1, *compared.values(), limit + 1],
        )
    ]
    rows = _at(org, plan, places[:limit])
    if len(places) > limit:
        return Part(rows, following=places[limit - 1])
    if not outer:
        return Part(rows)
    last = org.dml.scalar(f"SELECT place FROM ({inner} LIMIT 1 OFFSET ?)", *values, LOOKED_AT - 1)  # noqa: S608
    return Part(rows, following=last, unfinished=last is not None)


def _at(org: Org, plan: WritePlan, places: list[int]) -> list[Row]:
    where = f"rowid IN ({', '.join('?' * len(places))}) ORDER BY rowid DESC"
    return list(org.dml.select(plan.name, where, *places))


def children(org: Org, child: str, field: str, record_id: str, *, before: int | None = None, limit: int = PAGE) -> Part:
    return newest(org, child, {field: record_id}, before=before, limit=limit)


@dataclass(frozen=True, slots=True)
class Sorted:
    rows: list[Row]
    following: tuple[str, str] | None = None


def by_name(org: Org, sobject: str, after: tuple[str, str] | None, limit: int = PAGE) -> Sorted:
    """Rows in the order of their names; the cursor is the last row's name and ID."""
    where = LIVE if after is None else f'{LIVE} AND ("Name", "Id") > (?, ?)'
    found = list(org.dml.select(sobject, f'{where} ORDER BY "Name", "Id" LIMIT ?', *(after or ()), limit + 1))
    rows = found[:limit]
    following = (str(rows[-1]["Name"]), str(rows[-1]["Id"])) if len(found) > limit else None
    return Sorted(rows, following)


def beginning(org: Org, sobject: str, column: str, text: str, limit: int) -> list[Row]:
    """Rows whose column begins with a text, in its order."""
    plan = org.dml.plan(sobject)
    name = quote(_column(plan, column))
    live = LIVE if "IsDeleted" in plan.column_names else "1"
    where = f"{live} AND {name} >= ? AND {name} < ? ORDER BY {name} LIMIT ?"
    return list(org.dml.select(plan.name, where, text, text + _NEXT, limit))


def total(org: Org, sobject: str) -> int:
    """How many there are: all rows less the deleted ones, neither of which is looked at."""
    table = quote(org.dml.plan(sobject).name)
    every = org.dml.scalar(f"SELECT COUNT(*) FROM {table}")  # noqa: S608
    return int(every) - int(org.dml.scalar(f'SELECT COUNT(*) FROM {table} WHERE "IsDeleted" = 1'))  # noqa: S608


def counted(org: Org, sobject: str, column: str | None = None, value: str = "") -> int:
    """How many orders are held, or rows have a value; counting stops at one more than `COUNTED`."""
    plan = org.dml.plan(sobject)
    where = HELD if column is None else f"{LIVE} AND {quote(_column(plan, column))} = ?"
    values = () if column is None else (value,)
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {quote(plan.name)} WHERE {where} LIMIT ?)"  # noqa: S608
    return int(org.dml.scalar(sql, *values, COUNTED + 1))


def _column(plan: WritePlan, name: str) -> str:
    """The name as the schema has it. KeyError for any other: a column is never taken from an address."""
    if name not in plan.column_names:
        raise KeyError(name)
    return name


def cursor(text: str) -> int | None:
    """A place in a list as an address has it; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
