"""Where in a mapping file something is wrong, and how that is said: `file:line:column: field: what, and what to do`."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LISTED = 100
"""Problems that are told one by one."""
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


class Problems:
    """Collects everything that is wrong, each place and sentence once, in reading order of each file."""

    def __init__(self) -> None:
        self._positions: dict[str, Position] = {}

    def __bool__(self) -> bool:
        return bool(self._positions)

    def add(self, position: Position, field: str, text: str) -> None:
        self._positions.setdefault(_one_line(f"{position}: {field}: {text}"), position)

    def lines(self) -> list[str]:
        """One line each, the last of them the number of all others, if there are very many."""
        places = self._positions.items()
        lines = [line for line, _ in sorted(places, key=lambda item: (item[1].file, item[1].line, item[1].column))]
        if len(lines) <= MAX_LISTED:
            return lines
        return [*lines[:MAX_LISTED], f"… and {len(lines) - MAX_LISTED:,} more: correct these first."]


def _one_line(text: str) -> str:
    """What a file says can be anything (line breaks, terminal codes, a megabyte); a problem is one line to read."""
    shown = text if len(text) <= MAX_LINE_CHARACTERS else f"{text[:MAX_LINE_CHARACTERS]}…"
    return "".join(character if character.isprintable() else " " for character in shown)
