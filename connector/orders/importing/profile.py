"""A profile: how a company's export maps to customers, products, orders and lines. `grammar.py` reads it from YAML.

The source of a field is a column name, or one of these forms:

    {column: C, values: {a: b}, default: d}              the cell, translated, or `d` where it is empty
    {const: X}                                           the same for every row
    {join: file, on: C, key: K, column: D, sum: true}    column D of the row of `file` whose K equals this row's C
    {first: [{when: C, ...form}, ...form], default: d}   the first form that applies
    {count: true}                                        number the lines of an order, if the file does not

A profile contains no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.orders.importing.field_parsers import KINDS, NumberAndDateFormat


@dataclass(frozen=True, kw_only=True)
class Value:
    """The source of one field."""

    column: str | None = None
    const: str | None = None
    values: Mapping[str, str] | None = None
    default: str | None = None
    join: str | None = None
    on: str | None = None
    key: str | None = None
    sum: bool = False
    when: str | None = None
    first: tuple[Value, ...] = ()
    count: bool = False

    def columns(self) -> set[str]:
        """Return the columns of the section's own file that this reads."""
        own = {self.on, self.when} | (set() if self.join else {self.column})
        return {name for name in own if name} | {name for item in self.first for name in item.columns()}

    def joins(self) -> list[Value]:
        return [item for item in (self, *self.first) if item.join]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One kind of row: its file and fields. `optional`: the header can lack all columns but the keys'."""

    file: str
    fields: Mapping[str, Value]
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The files, sections and settings of an import.

    `delimiter` None: a comma, unless the file names another in its first line (`sep=;`). `quote` None: cells have no
    quotes. `skip_lines`: the number of lines above the header. `own`: this is the connector's own format.
    """

    files: Mapping[str, str]
    sections: Mapping[str, Section]
    form: NumberAndDateFormat = field(default_factory=NumberAndDateFormat)
    encoding: str = "utf-8-sig"
    delimiter: str | None = None
    quote: str | None = '"'
    skip_lines: int = 0
    own: bool = False

    def joins(self) -> list[Value]:
        """Return every join of every section."""
        return [
            join for section in self.sections.values() for value in section.fields.values() for join in value.joins()
        ]


def own_form() -> Profile:
    """Return the profile of the connector's own format: a file per kind, a column per field, all but keys optional."""
    names = {"customers": "customers", "products": "products", "orders": "orders", "lines": "order_lines"}
    return Profile(
        files={kind: f"{name}.csv" for kind, name in names.items()},
        sections={
            kind: Section(file=kind, fields={name: Value(column=name) for name in KINDS[kind].fields}, optional=True)
            for kind in names
        },
        own=True,
    )
