"""Collects problems of mapping files, each as `file:line:column: field: what, and what to do`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_LISTED = 100
"""Problems that are listed one by one."""
MAX_LINE_CHARACTERS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """`file` is relative to the parent of the mappings folder; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def source(self) -> str:
        return f"{self.file}:{self.line}"


class Aspect(StrEnum):
    """What a problem is about: an object, whether a field is there for our user and may be written, the key of an
    object, or what is mapped to a field."""

    OBJECT = "object"
    ACCESS = "access"
    KEY = "key"
    MAPPING = "mapping"


class Problems:
    """Collects problems, each position and sentence once, in reading order of each file."""

    def __init__(self) -> None:
        self._positions: dict[str, Position] = {}
        self._aspects: dict[str, Aspect] = {}

    def __bool__(self) -> bool:
        return bool(self._positions)

    def add(self, position: Position, field: str, text: str, aspect: Aspect = Aspect.MAPPING) -> None:
        line = _one_line(f"{position}: {field}: {text}")
        self._positions.setdefault(line, position)
        self._aspects.setdefault(line, aspect)

    def lines(self, aspect: Aspect | None = None) -> list[str]:
        """One line per problem, or per problem of one aspect. Beyond the limit the last line says how many more there
        are."""
        places = [item for item in self._positions.items() if aspect is None or self._aspects[item[0]] is aspect]
        lines = [line for line, _ in sorted(places, key=lambda item: (item[1].file, item[1].line, item[1].column))]
        if len(lines) <= MAX_LISTED:
            return lines
        return [*lines[:MAX_LISTED], f"… and {len(lines) - MAX_LISTED:,} more: correct these first."]


def _one_line(text: str) -> str:
    """`text` as one line: a file can contain anything (line breaks, terminal codes, a megabyte)."""
    shortened = text if len(text) <= MAX_LINE_CHARACTERS else f"{text[:MAX_LINE_CHARACTERS]}…"
    return "".join(character if character.isprintable() else " " for character in shortened)
