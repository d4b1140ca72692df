"""Where in a mapping file something is wrong, and how that is said: `file:line:column: field: what, and what to do`."""

from __future__ import annotations

from dataclasses import dataclass

MOST_TOLD = 100
"""Problems that are told one by one."""
LONGEST_LINE = 1_000


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


class Problems:
    """Collects everything that is wrong, each place and sentence once, in reading order of each file."""

    def __init__(self) -> None:
        self._found: dict[str, Position] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, position: Position, field: str, text: str) -> None:
        self._found.setdefault(_one_line(f"{position}: {field}: {text}"), position)

    def lines(self) -> list[str]:
        """One line each, the last of them the number of all others, if there are very many."""
        places = self._found.items()
        told = [line for line, _ in sorted(places, key=lambda item: (item[1].file, item[1].line, item[1].column))]
        if len(told) <= MOST_TOLD:
            return told
        return [*told[:MOST_TOLD], f"… and {len(told) - MOST_TOLD:,} more: correct these first."]


def _one_line(text: str) -> str:
    """What a file says can be anything (line breaks, terminal codes, a megabyte); a problem is one line to read."""
    shown = text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"
    return "".join(character if character.isprintable() else " " for character in shown)
