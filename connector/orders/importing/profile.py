"""How a company's export maps to customers, products, orders and lines: a YAML file, checked whole before use.

A field is a column name, or a small form:

    {column: C, values: {a: b}, default: d}              the cell, translated, or `d` where it is empty
    {const: X}                                           the same for every row
    {join: file, on: C, key: K, column: D}               column D of the row of `file` whose K equals our C
    {first: [{when: C, ...form}, ...form]}               the first form whose column C has a value
    {count: true}                                        line numbers that the file does not have

There is no code in a profile.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from connector.errors import ProfileError, UsageError
from connector.files import UnusableFileError, read_file
from connector.mapping.nodes import LARGEST, BadYamlError, document
from connector.orders.importing.fields import KINDS, Form, zone

SETTINGS = {"encoding", "delimiter", "quote", "decimal", "thousands", "dates", "time_zone", "files"}
FORMS = {"column", "const", "values", "default", "join", "on", "key", "first", "when", "count"}


@dataclass(frozen=True, kw_only=True)
class Value:
    """Where one field comes from."""

    column: str | None = None
    const: str | None = None
    values: Mapping[str, str] | None = None
    default: str | None = None
    join: str | None = None
    on: str | None = None
    key: str | None = None
    when: str | None = None
    first: tuple[Value, ...] = ()
    count: bool = False

    def columns(self) -> set[str]:
        """Columns of the section's own file that this needs."""
        own = {self.on, self.when} | (set() if self.join else {self.column})
        return {name for name in own if name} | {name for item in self.first for name in item.columns()}

    def joins(self) -> list[Value]:
        return [item for item in (self, *self.first) if item.join]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One kind of row: its file and its fields. `optional` columns may be missing from the header."""

    file: str
    fields: Mapping[str, Value]
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Profile:
    files: Mapping[str, str]
    sections: Mapping[str, Section]
    form: Form = field(default_factory=Form)
    encoding: str = "utf-8-sig"
    delimiter: str = ","
    quote: str = '"'
    own: bool = False


def own_form() -> Profile:
    """Our own: a file per kind, a column per field, all but the keys optional."""
    names = {"customers": "customers", "products": "products", "orders": "orders", "lines": "order_lines"}
    return Profile(
        files={kind: f"{name}.csv" for kind, name in names.items()},
        sections={
            kind: Section(file=kind, fields={name: Value(column=name) for name in KINDS[kind].fields}, optional=True)
            for kind in names
        },
        own=True,
    )


def load_profile(path: Path) -> Profile:
    """ProfileError with every problem at once, each with its line and column; UsageError if there is no such file."""
    try:
        content = read_file(path, LARGEST)
        document(content)
        source = YAML(typ="rt").load(content.decode("utf-8-sig"))
    except UnusableFileError as error:
        raise UsageError(f"The profile {path} {error.problem}.", hint="Correct --profile, or the file.") from None
    except BadYamlError as error:
        place = f"{path.name}:{error.line}:{error.column}"
        raise ProfileError([f"{place}: the profile {error.problem.removesuffix('.')}"]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise ProfileError([f"{path.name}:{place}: {error.problem}; correct the YAML"]) from None
    except (YAMLError, ValueError) as error:
        raise ProfileError([f"{path.name}:1:1: {' '.join(str(error).split())}; correct the YAML"]) from None
    return _Checker(path.name).profile(source)


class _Checker:
    def __init__(self, name: str) -> None:
        self._name = name
        self._problems: list[tuple[int, int, str]] = []

    def profile(self, source: Any) -> Profile:
        if not isinstance(source, dict):
            raise ProfileError([f"{self._name}:1:1: a profile is a mapping with files and sections"])
        for key in source:
            if key == "returns":
                self._say(source, key, "returns cannot be imported yet; take the section out")
            elif key not in SETTINGS and key not in KINDS:
                self._say(source, key, f"unknown; use one of {', '.join(sorted(SETTINGS | KINDS.keys()))}")
        files = self._texts(source, "files")
        if not files:
            self._say(source, "files", "name at least one file (orders: orders.csv)")
        sections = {kind: self._section(source, kind, files) for kind in KINDS if kind in source}
        if not sections:
            self._say(source, None, f"name at least one of {', '.join(KINDS)}")
        profile = Profile(
            files=files,
            sections={kind: section for kind, section in sections.items() if section is not None},
            form=self._form(source),
            encoding=self._encoding(source),
            delimiter=self._character(source, "delimiter", ","),
            quote=self._character(source, "quote", '"'),
        )
        if self._problems:
            places = sorted(self._problems)
            raise ProfileError([f"{self._name}:{line}:{column}: {what}" for line, column, what in places])
        return profile

    def _form(self, source: Any) -> Form:
        dates = source.get("dates", [])
        if not isinstance(dates, list) or not all(isinstance(item, str) for item in dates):
            self._say(source, "dates", "a list of date formats ('%d.%m.%Y')")
            dates = []
        form = Form()
        try:
            form = Form(zone=zone(str(source.get("time_zone", "UTC"))))
        except ValueError as error:
            self._say(source, "time_zone", str(error))
        thousands = str(source.get("thousands", ""))
        decimal = self._character(source, "decimal", ".")
        if thousands == decimal:
            self._say(source, "thousands", "is the same as the decimal mark")
        return Form(decimal=decimal, thousands=thousands, dates=tuple(dates), zone=form.zone)

    def _encoding(self, source: Any) -> str:
        name = str(source.get("encoding", "utf-8-sig"))
        try:
            codec = codecs.lookup(name)
        except LookupError:
            self._say(source, "encoding", f"{name!r} is no encoding; write one like utf-8 or cp1252")
            return "utf-8-sig"
        return "utf-8-sig" if codec.name == "utf-8" else name

    def _character(self, source: Any, key: str, default: str) -> str:
        found = source.get(key, default)
        if not isinstance(found, str) or len(found) != 1:
            self._say(source, key, "one character")
            return default
        return found

    def _texts(self, source: Any, key: str) -> dict[str, str]:
        found = source.get(key, {})
        if not isinstance(found, dict) or not all(isinstance(value, str | int | float) for value in found.values()):
            self._say(source, key, "a mapping of names to texts")
            return {}
        return {str(name): str(value) for name, value in found.items()}

    def _section(self, source: Any, kind: str, files: Mapping[str, str]) -> Section | None:
        found = source[kind]
        if not isinstance(found, dict):
            self._say(source, kind, "a mapping of fields to columns")
            return None
        file = str(found.get("file", kind))
        if file not in files:
            self._say(found if "file" in found else source, "file" if "file" in found else kind,
                      f"file {file!r} is not among `files`")  # fmt: skip
        known = KINDS[kind]
        fields = {}
        for name in found:
            if name == "file":
                continue
            if name not in known.fields:
                self._say(found, name, f"no such field; use one of {', '.join(known.fields)}")
                continue
            value = self._value(found, name, files, counts=name == "line")
            if value is not None:
                fields[name] = value
        for name in known.keys:
            if name not in found:
                self._say(source, kind, f"{name} is missing: it names the {known.name}")
        return Section(file=file, fields=fields)

    def _value(self, parent: Any, key: str | int, files: Mapping[str, str], *, counts: bool) -> Value | None:
        found = parent[key]
        if isinstance(found, str):
            return Value(column=found)
        if not isinstance(found, dict):
            self._say(parent, key, "a column name, or a form such as {const: USD}")
            return None
        unknown = [name for name in found if name not in FORMS]
        for name in unknown:
            self._say(found, name, f"unknown; use one of {', '.join(sorted(FORMS))}")
        if found.get("count") and not counts:
            self._say(found, "count", "only line numbers can be counted")
        if "join" in found:
            if str(found["join"]) not in files:
                self._say(found, "join", f"file {found['join']!r} is not among `files`")
            for name in ("on", "key", "column"):
                if name not in found:
                    self._say(parent, key, f"a join needs `{name}`")
        elif not {"column", "const", "first", "count"} & found.keys():
            self._say(parent, key, "needs one of column, const, join, first, count")
        first = found.get("first", [])
        if not isinstance(first, list):
            self._say(found, "first", "a list of forms")
            first = []
        cases = [self._value(first, index, files, counts=False) for index in range(len(first))]
        return Value(
            column=_text(found, "column"),
            const=_text(found, "const"),
            values=self._texts(found, "values") if "values" in found else None,
            default=_text(found, "default"),
            join=_text(found, "join"),
            on=_text(found, "on"),
            key=_text(found, "key"),
            when=_text(found, "when"),
            first=tuple(case for case in cases if case is not None),
            count=bool(found.get("count", False)),
        )

    def _say(self, source: Any, key: Any, problem: str) -> None:
        line, column = 0, 0
        marks = getattr(source, "lc", None)
        if marks is not None:
            try:
                line, column = marks.item(key) if isinstance(key, int) else marks.key(key)
            except (KeyError, TypeError, IndexError):
                line, column = marks.line or 0, marks.col or 0
        named = f"{key}: " if isinstance(key, str) else ""
        self._problems.append((line + 1, column + 1, f"{named}{problem}"))


def _text(source: Mapping[str, Any], key: str) -> str | None:
    found = source.get(key)
    return None if found is None else str(found)
