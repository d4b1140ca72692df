"""Generated queries: from the grammar and the schema, and corrupted ones."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from connector.localorg.schema import Field, SObject
from tests.org.fuzz.strategies import ODD, SCHEMA, SOME_IDS, objects

_TOKENS = re.compile(r"'(?:[^'\\]|\\.)*'|[\w.:]+|\s+|.", re.DOTALL)
_MORE = (
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "(", ")", ",", "=", "!=", "<", "LIKE", "IN", "INCLUDES", "null",
    "TODAY",
    "GROUP BY", "ROLLUP(", "CUBE(", "HAVING", "ORDER BY", "COUNT()", "COUNT(Id)", "GROUPING(Name)", "LIMIT 1",
    "OFFSET 1",
    "TYPEOF", "WHEN", "THEN", "END", "FIELDS(ALL)", "'x'", "''", "'", "1e9", "-5", "2026-01-31", "LAST_N_DAYS:99999",
    "\ud800",
    "Name", "Id", "Account.Name", "BillingAddress", "What.Name", "(SELECT Id FROM Contacts)", "FOR VIEW", "ALL ROWS",
    ".", ":",
)  # fmt: skip
_RELATIVE = ("TODAY", "LAST_WEEK", "THIS_QUARTER", "NEXT_FISCAL_YEAR", "LAST_N_DAYS:3", "N_MONTHS_AGO:2",
"NEXT_N_YEARS:9999",
             "LAST_90_DAYS", "LAST_N_WEEKS:99999")  # fmt: skip


@st.composite
def _path(draw: st.DrawFn, sobject: SObject, hops: int = 3) -> tuple[str, Field]:
    """Generate a field path, sometimes through a parent."""
    links = [item for item in sobject.fields.values() if item.relationship_name and item.reference_to]
    if hops and links and draw(st.integers(0, 3)) == 0:
        link = draw(st.sampled_from(links))
        parent = SCHEMA.get(draw(st.sampled_from(link.reference_to)))
        if parent is not None and parent.fields:
            name, field = draw(_path(parent, hops - 1))
            return f"{link.relationship_name}.{name}", field
    field = draw(st.sampled_from(list(sobject.fields.values())))
    return field.name, field


def _literals(field: Field) -> st.SearchStrategy[str]:
    texts = st.sampled_from([*ODD, *SOME_IDS]).map(
        lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    )
    match field.type:
        case "boolean":
            fitting = st.sampled_from(["TRUE", "false"])
        case "int" | "double" | "currency" | "percent" | "long":
            fitting = st.sampled_from(["0", "-1.5", "1e300", "99999999999999999999", ".5"])
        case "date":
            fitting = st.sampled_from(["2026-01-31", *_RELATIVE])
        case "datetime":
            fitting = st.sampled_from(["2026-01-31T10:00:00Z", "1700-01-01T00:00:00+14:00", *_RELATIVE])
        case _:
            fitting = texts
    return st.one_of(fitting, fitting, fitting, st.just("null"), texts)


@st.composite
def _condition(draw: st.DrawFn, sobject: SObject, depth: int = 2) -> str:
    kind = draw(st.integers(0, 7 if depth else 4))
    if kind >= 6:
        word = draw(st.sampled_from([" AND ", " OR "]))
        return f"({word.join(draw(st.lists(_condition(sobject, depth - 1), min_size=2, max_size=3)))})"
    if kind == 5:
        return f"(NOT {draw(_condition(sobject, depth - 1))})"
    path, field = draw(_path(sobject))
    if kind == 4:
        child = SCHEMA.get(draw(objects))
        if depth == 2 and child is not None:
            inner, _ = draw(_path(child, 0))
            return f"{path} {draw(st.sampled_from(['IN', 'NOT IN']))} (SELECT {inner} FROM {child.name})"
    if kind == 3:
        listed = draw(st.lists(_literals(field), min_size=1, max_size=4))
        return f"{path} {draw(st.sampled_from(['IN', 'NOT IN', 'INCLUDES', 'EXCLUDES']))} ({', '.join(listed)})"
    operator = draw(st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">=", "LIKE"]))
    return f"{path} {operator} {draw(_literals(field))}"


@st.composite
def _item(draw: st.DrawFn, sobject: SObject, depth: int) -> str:
    kind = draw(st.integers(0, 9))
    path, _ = draw(_path(sobject))
    if kind == 9 and depth:
        links = [link for link in SCHEMA.children_of(sobject.name) if link.name]
        if links:
            link = draw(st.sampled_from(links))
            child = SCHEMA.get(link.child)
            if child is not None and child.fields:
                return f"({draw(_select(child, depth - 1, source=str(link.name)))})"
    if kind == 8:
        return f"TYPEOF {path.partition('.')[0]} WHEN {draw(objects)} THEN {path} ELSE Name END"
    if kind == 7:
        return f"FIELDS({draw(st.sampled_from(['ALL', 'STANDARD', 'CUSTOM']))})"
    return path


@st.composite
def _select(draw: st.DrawFn, sobject: SObject, depth: int, source: str = "") -> str:
    grouped = depth == 2 and draw(st.integers(0, 3)) == 0
    if grouped:
        keys = [path for path, _ in draw(st.lists(_path(sobject), min_size=0, max_size=3))]
        functions = st.sampled_from(["COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "GROUPING"])
        totals = [f"{draw(functions)}({path})" for path, _ in draw(st.lists(_path(sobject), min_size=0, max_size=3))]
        items = [*keys, *totals] or ["COUNT()"]
    else:
        items = draw(st.lists(_item(sobject, depth), min_size=1, max_size=4))
    parts = [f"SELECT {', '.join(items)} FROM {source or sobject.name}"]
    if draw(st.booleans()):
        parts.append(f"WHERE {draw(_condition(sobject))}")
    if grouped and keys:
        how = draw(st.sampled_from(["{}", "{}", "ROLLUP({})", "CUBE({})"]))
        parts.append(f"GROUP BY {how.format(', '.join(keys))}")
        if totals and draw(st.booleans()):
            parts.append(f"HAVING {totals[0]} > 0")
    if draw(st.integers(0, 2)) == 0:
        by = draw(st.sampled_from(items))
        parts.append(f"ORDER BY {by} {draw(st.sampled_from(['', 'DESC', 'ASC NULLS LAST', 'NULLS FIRST']))}")
    if draw(st.booleans()):
        parts.append(f"LIMIT {draw(st.sampled_from(['0', '1', '200', '50000']))}")
        if draw(st.booleans()):
            parts.append(f"OFFSET {draw(st.sampled_from(['0', '1', '2000', '2001']))}")
    return " ".join(parts)


@st.composite
def grammatical(draw: st.DrawFn) -> str:
    sobject = SCHEMA.get(draw(objects))
    assert sobject is not None
    return str(draw(_select(sobject, 2)))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    tokens = _TOKENS.findall(draw(grammatical()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens)))
        match draw(st.integers(0, 3)):
            case 0:
                del tokens[at : at + 1]
            case 1:
                tokens[at:at] = [" ", draw(st.sampled_from(_MORE)), " "]
            case 2:
                tokens[at:at] = tokens[at : at + draw(st.integers(1, 6))]
            case _:
                tokens[at : at + 1] = [draw(st.sampled_from(_MORE) | st.text(max_size=3))]
    return "".join(tokens)


queries = st.one_of(grammatical(), mutated(), st.text(max_size=30))
