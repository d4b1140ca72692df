"""Read a profile from YAML, and check all of it before any row is read; a key that has no effect is an error.

Scalars keep the text that their author wrote: `1.10`, `0123` and `2026-01-31` are compared with cells as texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from connector.errors import ProfileError, UsageError
from connector.files import UnusableFileError, read_file
from connector.mapping.problems import Position, Problems
from connector.mapping.yaml_nodes import MAX_BYTES, at, compose, pairs
from connector.orders.importing import grammar_settings as settings
from connector.orders.importing.field_parsers import (
    KINDS,
    NUMBERS,
    BadValueError,
    FieldReader,
    NumberAndDateFormat,
    RowKind,
)
from connector.orders.importing.profile import Profile, Section, Value

FORMS: Mapping[str, tuple[str, ...]] = {
    "column": ("column", "values", "default"),
    "const": ("const",),
    "join": ("join", "on", "key", "column", "values", "default", "sum"),
    "first": ("first", "default"),
    "count": ("count",),
}
"""The keys that each form can have. A join needs `join`, `on`, `key` and `column`."""

FORM_PRECEDENCE = ("join", "first", "count", "column", "const")
"""The first of these keys that a mapping has decides which form it is."""

MOST_FORMS = 50
"""Forms in the list of one `first`."""

_NULL, _BOOL = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"


def load_profile(path: Path) -> Profile:
    """Read the profile at `path`.

    Raises ProfileError with all problems, each with its line and column, and UsageError if the file cannot be read.
    """
    try:
        content = read_file(path, MAX_BYTES)
    except UnusableFileError as error:
        raise UsageError(f"The profile {path} {error.problem}.", hint="Correct --profile or the file.") from None
    problems = Problems()
    node = compose(str(path), content, problems)
    profile = None if node is None else _Reader(str(path), problems).profile(node)
    if problems or profile is None:
        raise ProfileError(problems.lines())
    return profile


class _Reader:
    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems
        self._form = NumberAndDateFormat()
        self._files: dict[str, str] = {}
        self._used: set[str] = set()

    def profile(self, node: MappingNode) -> Profile | None:
        top = {key: (position, value) for key, position, value in pairs(self._name, node, self._problems)}
        allowed = sorted({*settings.SETTINGS, *KINDS})
        for key, (position, _) in top.items():
            if key not in allowed:
                what = "cannot be imported yet" if key == "returns" else "is not a section or setting of a profile"
                self._add_problem(position, key, f"{what}; use one of {', '.join(allowed)}")
        start = Position(file=self._name)
        read = settings.Settings(self._name, self._problems, {key: top[key] for key in settings.SETTINGS & top.keys()})
        self._form = read.form
        self._files = read.files
        sections = {kind: self._section(kind, *top[kind]) for kind in KINDS if kind in top}
        if not sections:
            self._add_problem(start, "file", f"name at least one section: {', '.join(KINDS)}")
        for name, position in read.file_positions.items():
            if name not in self._used and set(top) <= set(allowed):
                self._add_problem(position, f"files.{name}", "is read by no section and no join; remove it")
        return Profile(
            files=self._files,
            sections={kind: section for kind, section in sections.items() if section is not None},
            form=self._form,
            encoding=read.encoding,
            delimiter=read.delimiter,
            quote=read.quote,
            skip_lines=read.skip_lines,
        )

    def _section(self, kind: str, position: Position, node: Node) -> Section | None:
        if not isinstance(node, MappingNode):
            self._add_problem(position, kind, "must be a mapping of fields to columns")
            return None
        row_kind, file, place, fields = KINDS[kind], kind, position, {}
        entries = list(pairs(self._name, node, self._problems, kind))
        for name, where, value in entries:
            label = f"{kind}.{name}"
            if name == "file":
                file, place = self._text(value, where, label) or kind, where
            elif name not in row_kind.fields:
                allowed = ", ".join(("file", *row_kind.fields))
                self._add_problem(where, label, f"is not a field; use one of {allowed}")
            else:
                fields[name] = self._value(row_kind, name, label, where, value)
        if file not in self._files:
            self._add_problem(place, f"{kind}.file", f"{file!r} is not among `files`{_list_files(self._files)}")
        self._used.add(file)
        for name in row_kind.keys:
            if name not in {entry[0] for entry in entries}:
                self._add_problem(position, kind, f"{name} is missing: it identifies the {row_kind.name}")
        return Section(file=file, fields={name: value for name, value in fields.items() if value is not None})

    def _value(self, kind: RowKind, field: str, label: str, where: Position, node: Node) -> Value | None:
        if isinstance(node, ScalarNode):
            column = self._text(node, where, label)
            return None if column is None else Value(column=column)
        if not isinstance(node, MappingNode):
            self._add_problem(where, label, "must be a column name, or a form such as {const: USD}")
            return None
        return self._form_of(kind, field, label, where, node, within=False)

    def _form_of(
        self, kind: RowKind, field: str, label: str, where: Position, node: MappingNode, *, within: bool
    ) -> Value | None:
        """Read a form. `within`: it is in a list `first`, so it can have `when`, but cannot be `first` or `count`."""
        entries = {key: (position, value) for key, position, value in pairs(self._name, node, self._problems, label)}
        possible = [name for name in FORM_PRECEDENCE if not within or name not in {"first", "count"}]
        form = next((name for name in possible if name in entries), None)
        if form is None:
            self._add_problem(where, label, f"needs one of {', '.join(sorted(possible))}")
        allowed = (*FORMS[form], *(("when",) if within else ())) if form else tuple(entries)
        for key in [key for key in entries if key not in allowed]:
            what = f"is not allowed in a form with `{form}`, which can have {', '.join(allowed)}"
            self._add_problem(entries.pop(key)[0], f"{label}.{key}", what)
        if form is None:
            return None
        texts: dict[str, str | None] = {
            key: self._text(entries[key][1], entries[key][0], f"{label}.{key}")
            for key in ("column", "const", "default", "join", "on", "key", "when") if key in entries
        }  # fmt: skip
        if form == "join":
            self._join(label, where, entries, texts)
        if form == "count":
            self._flag(entries["count"], f"{label}.count")
            if field != "line":
                self._add_problem(entries["count"][0], f"{label}.count", "only line numbers can be counted")
        sums = "sum" in entries and self._flag(entries["sum"], f"{label}.sum")
        if sums and field not in NUMBERS:
            self._add_problem(
                entries["sum"][0], f"{label}.sum", f"only numbers are added: {', '.join(sorted(NUMBERS))}"
            )
        if sums and "values" in entries:
            self._add_problem(
                entries["values"][0], f"{label}.values", "a sum cannot be translated; remove one of the two"
            )
        values = (
            self._values(kind.fields[field], f"{label}.values", *entries["values"]) if "values" in entries else None
        )
        read = kind.fields[field]
        for key in ("const", "default"):
            if text := texts.get(key):
                self._check_readable(read, (values or {}).get(text, text), f"{label}.{key}", entries[key][0])
        first = self._first(kind, field, label, *entries["first"]) if "first" in entries else ()
        return Value(values=values, sum=sums, first=first, count=form == "count", **texts)

    def _join(
        self, label: str, where: Position, entries: Mapping[str, tuple[Position, Node]], texts: Mapping[str, str | None]
    ) -> None:
        name = texts["join"]
        if name is not None and name not in self._files:
            self._add_problem(
                entries["join"][0], f"{label}.join", f"{name!r} is not among `files`{_list_files(self._files)}"
            )
        self._used.add(name or "")
        for key in ("on", "key", "column"):
            if key not in entries:
                self._add_problem(where, label, f"a join needs `{key}`")

    def _first(self, kind: RowKind, field: str, label: str, where: Position, node: Node) -> tuple[Value, ...]:
        label = f"{label}.first"
        if not isinstance(node, SequenceNode) or not 0 < len(node.value) <= MOST_FORMS:
            self._add_problem(where, label, f"must be a list of at most {MOST_FORMS} forms")
            return ()
        forms: list[Value] = []
        for index, item in enumerate(node.value):
            place = at(self._name, item)
            if isinstance(item, MappingNode):
                form = self._form_of(kind, field, label, place, item, within=True)
            else:
                form = self._value(kind, field, label, place, item)
            if form is None:
                continue
            if form.const is not None and form.when is None and index < len(node.value) - 1:
                what = "a `const` without `when` always applies, and hides the forms after it: put it last"
                self._add_problem(place, label, what)
            forms.append(form)
        return tuple(forms)

    def _values(self, read: FieldReader, label: str, where: Position, node: Node) -> dict[str, str]:
        if not isinstance(node, MappingNode) or not node.value:
            self._add_problem(where, label, "must be a table from cell texts to values ({open: placed})")
            return {}
        seen = {name: value for name, _, value in pairs(self._name, node, self._problems, label)}
        table: dict[str, str] = {}
        any_case: dict[str, str] = {}
        entries: list[tuple[Node, Node]] = node.value
        for key, value in entries:
            place = at(self._name, key)
            if not isinstance(key, ScalarNode) or seen.get(key.value) is not value:
                continue  # pairs() has reported it
            if key.tag == _NULL or not key.value.strip():
                self._add_problem(
                    place, label, "an empty cell cannot be translated: use `default`, or put the word in quotes"
                )
                continue
            text = self._text(value, place, f"{label}.{key.value}")
            if text is None:
                continue
            self._check_readable(read, text, f"{label}.{key.value}", at(self._name, value))
            table[key.value.strip()] = text
            if key.tag == _BOOL:  # not in quotes: programs write it in three ways
                any_case |= dict.fromkeys((key.value.lower(), key.value.upper(), key.value.capitalize()), text)
        return any_case | table

    def _check_readable(self, read: FieldReader, text: str, label: str, where: Position) -> None:
        try:
            read(text, self._form)
        except BadValueError as error:
            self._add_problem(where, label, str(error))

    def _flag(self, entry: tuple[Position, Node], label: str) -> bool:
        position, node = entry
        if isinstance(node, ScalarNode) and node.tag == _BOOL and node.value.lower() == "true":
            return True
        self._add_problem(position, label, "can only be true; remove it otherwise")
        return False

    def _text(self, node: Node, where: Position, label: str) -> str | None:
        return settings.text(self._problems, node, where, label)

    def _add_problem(self, position: Position, label: str, text: str) -> None:
        self._problems.add(position, label, text)


def _list_files(files: Collection[str]) -> str:
    return f": {', '.join(files)}" if files else ""
