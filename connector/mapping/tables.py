"""Value tables: what each of our values becomes in the org, and whether a table has an answer for every value."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from connector.mapping.problems import Position, Problems
from connector.mapping.spec import ANY_OTHER_VALUE, Row, ValueTable
from connector.mapping.types import Kind
from connector.mapping.yaml_nodes import BadValueError, compose, pairs, value_of
from connector.model.record import FieldValue
from connector.suggestions import listed, suggestion

_BOOLEANS = ("true", "false")


def read_table(name: str, file: str, content: bytes, problems: Problems) -> ValueTable | None:
    """The table in `file`; what is wrong in it is noted, and the rest still serves to check who uses it."""
    node = compose(file, content, problems)
    if node is None:
        return None
    rows: dict[str, Row] = {}
    first = Position(file=file)
    for key, position, value in pairs(file, node, problems):
        try:
            rows[key] = Row(value=value_of(value), position=position)
        except BadValueError as error:
            problems.add(position, key, f"{error}; write `{key}: value`.")
    if not rows:
        problems.add(first, "file", "has no rows: write `our value: theirs` lines, null to leave theirs alone.")
    kinds = {_kind(row.value) for row in rows.values() if row.value is not None}
    if len(kinds) > 1:
        problems.add(first, "file", f"mixes {listed(kinds)}: let every row yield the same, text in quotes.")
    return ValueTable(name=name, position=first, rows=rows, kind=kinds.pop() if kinds else Kind.TEXT)


def _kind(value: FieldValue) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    return Kind.TEXT if isinstance(value, str) else Kind.DECIMAL


def check_rows(
    table: ValueTable, kind: Kind, choices: tuple[str, ...], position: Position, field: str, problems: Problems
) -> None:
    """Whether `table` answers for every value of this kind: each choice, or a row for all others."""
    if kind in {Kind.DATE, Kind.DATETIME}:
        problems.add(
            position, field, f"uses the value table `{table.name}` on a {kind}: tables are for text and flags."
        )
        return
    allowed = choices or (_BOOLEANS if kind is Kind.BOOLEAN else ())
    missing = [choice for choice in allowed if choice not in table.rows]
    if table.other_values is not None:
        missing = []
    elif not allowed:
        problems.add(
            position,
            field,
            f"uses the value table `{table.name}`, which does not answer for every value: "
            f'add a row `"{ANY_OTHER_VALUE}": …` to it (null leaves the org\'s value alone).',
        )
    if missing:
        problems.add(
            position,
            field,
            f"uses the value table `{table.name}`, which has no row for {listed(missing)}: "
            f"add {'it' if len(missing) == 1 else 'them'} (null leaves the org's value alone).",
        )
    for key, row in table.rows.items():
        if allowed and key not in allowed and key != ANY_OTHER_VALUE:
            problems.add(row.position, key, f"is no value of {field}.{suggestion(key, allowed)}")


def tables_named_in(text: str, paths: Collection[str]) -> list[str]:
    """The value tables among these files that the text of a mapping file uses."""
    named = set(re.findall(r"\bvalues:\s*[\"']?([A-Za-z0-9_-]+)", text))
    return sorted(name for name in named if f"values/{name}.yaml" in paths)


def unknown_table(name: str, tables: Mapping[str, ValueTable | None]) -> str:
    return f"uses the value table `{name}`, but there is no values/{name}.yaml.{suggestion(name, tables)}"
