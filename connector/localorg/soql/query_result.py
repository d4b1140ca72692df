"""What a query found: its size, and its rows a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ID_LENGTH = 18


@dataclass(frozen=True, slots=True)
class PagedResult:
    """`total_size` as the platform tells it; `rows` of them can be read (none of a bare COUNT()).

    Which rows there are was fixed when the query ran; what they hold is read when a page is.
    """

    total_size: int
    rows: int
    page: Callable[[int, int], list[dict[str, Any]]]
    """Rows from a start, at most so many. One that was deleted meanwhile is left out."""
    max_page_size: int = 2_000
    """So many rows a page holds at most: few where they are long."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Child lists longer than `size` end there; `keep` gives the address of the rest."""

    size: int
    open_cursor: Callable[[PagedResult], str]


class PackedIds:
    """Record IDs in little room: 18 bytes each."""

    def __init__(self, ids: bytes) -> None:
        self._packed = ids

    def __len__(self) -> int:
        return len(self._packed) // ID_LENGTH

    def slice(self, start: int, count: int) -> list[str]:
        end = min(start + count, len(self))
        return [self._packed[at * ID_LENGTH : (at + 1) * ID_LENGTH].decode() for at in range(start, end)]
