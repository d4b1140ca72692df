"""The settings of a profile: its files, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from connector.mapping.problems import Position, Problems
from connector.mapping.yaml_nodes import at, pairs
from connector.orders.importing.fields import Form, zone

SETTINGS = frozenset({"files", "encoding", "delimiter", "quote", "skip_lines", "decimal", "thousands", "currency_sign",
                      "dates", "time_zone"})  # fmt: skip
MOST_SKIPPED = 1_000
_NULL = "tag:yaml.org,2002:null"
_PROBE = datetime(2021, 11, 23, 14, 35, 46, tzinfo=UTC)


class Settings:
    """Read from `found`, the settings that a profile has; what is wrong with one is noted, and its default stands."""

    def __init__(self, name: str, problems: Problems, found: Mapping[str, tuple[Position, Node]]) -> None:
        self._name = name
        self._problems = problems
        self._found = found
        self.file_positions: dict[str, Position] = {}
        self.files = self._files()
        self.encoding = self._encoding()
        self.delimiter = self._delimiter()
        self.quote = self._quote()
        self.skip_lines = self._skip_lines()
        self.form = self._form()
        if self.delimiter is not None and self.delimiter == self.quote:
            self._say("quote", "is the same as the delimiter")

    def _files(self) -> dict[str, str]:
        position, node = self._found.get("files", (Position(file=self._name), None))
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
            self._say("encoding", f"{name!r} is no encoding; write one like utf-8 or cp1252")
            return "utf-8-sig"
        return "utf-8-sig" if name.lower().replace("_", "-") in {"utf-8", "utf8"} else name

    def _delimiter(self) -> str | None:
        found = self._raw("delimiter")
        if found is not None and (len(found) != 1 or found in "\r\n\0"):
            self._say("delimiter", 'one character; a tab is "\\t", in double quotes')
            return None
        return found

    def _quote(self) -> str | None:
        found = self._raw("quote")
        if found == "none":
            return None
        if found is not None and (len(found) != 1 or found in "\r\n\0"):
            self._say("quote", "one character, or none if cells have no quotes")
            return '"'
        return '"' if found is None else found

    def _skip_lines(self) -> int:
        found = self._text("skip_lines")
        if found is None:
            return 0
        if not found.isascii() or not found.isdigit() or len(found) > 4 or int(found) > MOST_SKIPPED:
            self._say("skip_lines", f"how many lines stand above the header, 0 to {MOST_SKIPPED:,}")
            return 0
        return int(found)

    def _form(self) -> Form:
        decimal, thousands = self._raw("decimal"), self._raw("thousands") or ""
        if decimal is not None and (len(decimal) != 1 or decimal.isalnum() or decimal in "+-() "):
            self._say("decimal", "one character that is no digit, such as , or .")
            decimal = None
        if len(thousands) > 1 or thousands.isalnum() or (thousands and thousands in "+-()"):
            self._say("thousands", "one character that is no digit, such as . or ,")
            thousands = ""
        if thousands == (decimal or "."):
            self._say("thousands", "is the same as the decimal mark")
        sign = self._text("currency_sign") or ""
        if any(letter.isdigit() or letter in "+-()" for letter in sign):
            self._say("currency_sign", "what stands beside an amount, such as $ or kr")
            sign = ""
        place = UTC
        try:
            place = zone(self._text("time_zone") or "UTC")  # type: ignore[assignment]
        except ValueError as error:
            self._say("time_zone", str(error))
        return Form(decimal=decimal or ".", thousands=thousands, sign=sign, dates=self._dates(), zone=place)

    def _dates(self) -> tuple[str, ...]:
        if "dates" not in self._found:
            return ()
        node = self._found["dates"][1]
        if not isinstance(node, SequenceNode) or not node.value:
            self._say("dates", "a list of date formats ('%d.%m.%Y')")
            return ()
        found = []
        for item in node.value:
            place = at(self._name, item)
            pattern = text(self._problems, item, place, "dates")
            if pattern is not None:
                found.append(pattern)
                if wrong := _wrong_format(pattern):
                    self._problems.add(place, "dates", f"{pattern!r} {wrong}")
        return tuple(found)

    def _text(self, key: str) -> str | None:
        if key not in self._found:
            return None
        position, node = self._found[key]
        return text(self._problems, node, position, key)

    def _raw(self, key: str) -> str | None:
        """As it stands, blanks kept; None where there is none."""
        if key not in self._found:
            return None
        position, node = self._found[key]
        if isinstance(node, ScalarNode) and node.tag != _NULL and node.value:
            return str(node.value)
        return text(self._problems, node, position, key)

    def _say(self, key: str, what: str) -> None:
        self._problems.add(self._found[key][0], key, what)


def text(problems: Problems, node: Node, where: Position, label: str) -> str | None:
    """A scalar as its author wrote it, trimmed; None, with the problem noted, for anything else or an empty one."""
    if not isinstance(node, ScalarNode):
        problems.add(where, label, "a text, not a list or mapping")
    elif node.tag == _NULL or not node.value.strip():
        problems.add(where, label, "is empty; give it a text, in quotes if it is a word like null, or take it out")
    else:
        return str(node.value).strip()
    return None


def _wrong_format(pattern: str) -> str | None:
    """Why dates cannot be read by `pattern`: a date written by it must be the same when it is read back."""
    if "%Z" in pattern.replace("%%", ""):
        return "has %Z: leave it and the blank before it out; UTC or GMT at the end of a time is understood"
    back = None
    with suppress(ValueError):
        back = datetime.strptime(_PROBE.strftime(pattern), pattern)  # noqa: DTZ007
    if back is None:
        return "is no date format; write one like %d.%m.%Y %H:%M"
    if back.date() != _PROBE.date():
        return "does not give year, month and day; write one like %d.%m.%Y"
    if back.hour not in {0, _PROBE.hour}:
        return "has an hour of twelve (%I) without %p"
    return None
