"""Collects problems of mapping files, each as `file:line:column: field: what, and what to do`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

FOLDER = "mappings"
"""The name of the folder of mapping files in positions, whatever it is called: a stored version has no folder."""
MAX_LISTED = 100
"""Problems that are listed one by one."""
MAX_LINE_CHARACTERS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """`file` is a path; a mapping file is in the folder `FOLDER`. Line and column count from 1."""

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


class Level(StrEnum):
    """`error`: the mappings cannot be used so. `warning`: they can, and a person should look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem. `text` is a sentence that says what is wrong, after the name of the field, and what to do."""

    position: Position
    field: str
    text: str
    aspect: Aspect = Aspect.MAPPING
    level: Level = Level.ERROR

    def __str__(self) -> str:
        return _one_line(f"{self.position}: {self.field}: {self.text}")


class Problems:
    """Collects problems, each position and sentence once, in reading order of each file. `folder`: the path by which a
    person can open the mapping files."""

    def __init__(self, folder: str = FOLDER) -> None:
        self._folder = folder
        self._by_line: dict[str, Problem] = {}

    def __bool__(self) -> bool:
        return bool(self._by_line)

    def __iter__(self) -> Iterator[Problem]:
        return iter(sorted(self._by_line.values(), key=_place))

    def add(self, position: Position, field: str, text: str, aspect: Aspect = Aspect.MAPPING) -> None:
        self.append(Problem(position=position, field=field, text=text, aspect=aspect))

    def warn(self, position: Position, field: str, text: str) -> None:
        self.append(Problem(position=position, field=field, text=text, level=Level.WARNING))

    def append(self, problem: Problem) -> None:
        self._by_line.setdefault(str(problem), problem)

    def lines(self, aspect: Aspect | None = None) -> list[str]:
        """One line per problem, or per problem of one aspect. Beyond the limit the last line says how many more there
        are."""
        lines = [
            show_in_folder(str(problem), self._folder) for problem in self if aspect is None or problem.aspect is aspect
        ]
        if len(lines) <= MAX_LISTED:
            return lines
        return [*lines[:MAX_LISTED], f"… and {len(lines) - MAX_LISTED:,} more: correct these first."]


def show_in_folder(text: str, folder: str) -> str:
    """Return `text`, which begins with the path of a mapping file, with the folder as a person can open it."""
    inside = text.removeprefix(f"{FOLDER}/")
    return text if inside == text else f"{folder}/{inside}"


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.position.file, problem.position.line, problem.position.column


def _one_line(text: str) -> str:
    """`text` as one line: a file can contain anything (line breaks, terminal codes, a megabyte)."""
    shortened = text if len(text) <= MAX_LINE_CHARACTERS else f"{text[:MAX_LINE_CHARACTERS]}…"
    return "".join(character if character.isprintable() else " " for character in shortened)
