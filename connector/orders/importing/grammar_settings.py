"""Read the settings of a profile: the names of its files, and how they write numbers and dates."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from connector.mapping.problems import Position, Problems
from connector.mapping.yaml_nodes import at, pairs
from connector.orders.importing.field_parsers import NumberAndDateFormat, time_zone

SETTINGS = frozenset({"files", "encoding", "delimiter", "quote", "skip_lines", "decimal", "thousands", "currency_sign",
                      "dates", "time_zone"})  # fmt: skip
MOST_SKIPPED = 1_000
_NULL = "tag:yaml.org,2002:null"
_PROBE = datetime(2021, 11, 23, 14, 35, 46, tzinfo=UTC)


class Settings:
    """The settings in `entries`. An invalid one is added to `problems`, and its default is used instead."""

    def __init__(self, name: str, problems: Problems, entries: Mapping[str, tuple[Position, Node]]) -> None:
        self._name = name
        self._problems = problems
        self._entries = entries
        self.file_positions: dict[str, Position] = {}
        self.files = self._files()
        self.encoding = self._encoding()
        self.delimiter = self._delimiter()
        self.quote = self._quote()
        self.skip_lines = self._skip_lines()
        self.form = self._form()
        if self.delimiter is not None and self.delimiter == self.quote:
            self._add_problem("quote", "is the same as the delimiter")

    def _files(self) -> dict[str, str]:
        position, node = self._entries.get("files", (Position(file=self._name), None))
        if not isinstance(node, MappingNode) or not node.value:
            self._problems.add(position, "files", "name at least one file (orders: orders.csv)")
            return {}
        files = {}
        for name, where, value in pairs(self._name, node, self._problems, "files"):
            file = text(self._problems, value, where, f"files.{name}")
            files[name] = file or name
            self.file_positions[name] = where
        return files

    def _encoding(self) -> str:
        name = self._text("encoding")
        if name is None:
            return "utf-8-sig"
        try:
            "a".encode(name).decode(name)  # some codecs are not of text
        except (LookupError, ValueError):
            self._add_problem("encoding", f"{name!r} is not an encoding: expected a name such as utf-8 or cp1252")
            return "utf-8-sig"
        return "utf-8-sig" if name.lower().replace("_", "-") in {"utf-8", "utf8"} else name

    def _delimiter(self) -> str | None:
        delimiter = self._raw("delimiter")
        if delimiter is not None and (len(delimiter) != 1 or delimiter in "\r\n\0"):
            self._add_problem("delimiter", 'must be one character; a tab is "\\t", in double quotes')
            return None
        return delimiter

    def _quote(self) -> str | None:
        quote = self._raw("quote")
        if quote == "none":
            return None
        if quote is not None and (len(quote) != 1 or quote in "\r\n\0"):
            self._add_problem("quote", "must be one character, or none if cells have no quotes")
            return '"'
        return '"' if quote is None else quote

    def _skip_lines(self) -> int:
        count = self._text("skip_lines")
        if count is None:
            return 0
        if not count.isascii() or not count.isdigit() or len(count) > 4 or int(count) > MOST_SKIPPED:
            self._add_problem("skip_lines", f"must be the number of lines above the header, 0 to {MOST_SKIPPED:,}")
            return 0
        return int(count)

    def _form(self) -> NumberAndDateFormat:
        decimal, thousands = self._raw("decimal"), self._raw("thousands") or ""
        if decimal is not None and (len(decimal) != 1 or decimal.isalnum() or decimal in "+-() "):
            self._add_problem("decimal", "must be one character other than a digit, such as , or .")
            decimal = None
        if len(thousands) > 1 or thousands.isalnum() or (thousands and thousands in "+-()"):
            self._add_problem("thousands", "must be one character other than a digit, such as . or ,")
            thousands = ""
        if thousands == (decimal or "."):
            self._add_problem("thousands", "is the same as the decimal mark")
        sign = self._text("currency_sign") or ""
        if any(char.isdigit() or char in "+-()" for char in sign):
            self._add_problem("currency_sign", "must be the sign beside an amount, such as $ or kr")
            sign = ""
        place = UTC
        try:
            place = time_zone(self._text("time_zone") or "UTC")  # type: ignore[assignment]
        except ValueError as error:
            self._add_problem("time_zone", str(error))
        return NumberAndDateFormat(
            decimal=decimal or ".", thousands=thousands, sign=sign, dates=self._dates(), zone=place
        )

    def _dates(self) -> tuple[str, ...]:
        if "dates" not in self._entries:
            return ()
        node = self._entries["dates"][1]
        if not isinstance(node, SequenceNode) or not node.value:
            self._add_problem("dates", "must be a list of date formats ('%d.%m.%Y')")
            return ()
        patterns = []
        for item in node.value:
            place = at(self._name, item)
            pattern = text(self._problems, item, place, "dates")
            if pattern is not None:
                patterns.append(pattern)
                if problem := _format_problem(pattern):
                    self._problems.add(place, "dates", f"{pattern!r} {problem}")
        return tuple(patterns)

    def _text(self, key: str) -> str | None:
        if key not in self._entries:
            return None
        position, node = self._entries[key]
        return text(self._problems, node, position, key)

    def _raw(self, key: str) -> str | None:
        """Return the setting's text with its blanks, or None if the profile does not have it."""
        if key not in self._entries:
            return None
        position, node = self._entries[key]
        if isinstance(node, ScalarNode) and node.tag != _NULL and node.value:
            return str(node.value)
        return text(self._problems, node, position, key)

    def _add_problem(self, key: str, what: str) -> None:
        self._problems.add(self._entries[key][0], key, what)


def text(problems: Problems, node: Node, where: Position, label: str) -> str | None:
    """Return a scalar as its author wrote it, trimmed; add a problem and return None if it is empty or no scalar."""
    if not isinstance(node, ScalarNode):
        problems.add(where, label, "must be a text, not a list or a mapping")
    elif node.tag == _NULL or not node.value.strip():
        problems.add(where, label, "is empty; give it a text, in quotes if it is a word like null, or remove it")
    else:
        return str(node.value).strip()
    return None


def _format_problem(pattern: str) -> str | None:
    """Return why `pattern` cannot read dates, or None: a date that is written by it must be the same when read back."""
    if "%Z" in pattern.replace("%%", ""):
        return "has %Z: leave it and the blank before it out; UTC or GMT at the end of a time is understood"
    back = None
    with suppress(ValueError):
        back = datetime.strptime(_PROBE.strftime(pattern), pattern)  # noqa: DTZ007
    if back is None:
        return "is not a date format: expected one like %d.%m.%Y %H:%M"
    if back.date() != _PROBE.date():
        return "lacks year, month or day: expected one like %d.%m.%Y"
    if back.hour not in {0, _PROBE.hour}:
        return "has an hour of twelve (%I) without %p"
    return None
