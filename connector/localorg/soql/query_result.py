"""The result of a query: its size, and its rows one page at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ID_LENGTH = 18


@dataclass(frozen=True, slots=True)
class PagedResult:
    """A result. `total_size` is the size as the platform shows it; `rows` can be read (none for a bare COUNT()).

    The set of rows is fixed when the query runs. Their values are read with each page.
    """

    total_size: int
    rows: int
    page: Callable[[int, int], list[dict[str, Any]]]
    """Reads at most `size` rows from `start`. A row that was deleted meanwhile is left out."""
    max_page_size: int = 2_000
    """The largest page: smaller for rows with long texts."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Child lists longer than `size` are cut there; `open_cursor` gives the address of the rest."""

    size: int
    open_cursor: Callable[[PagedResult], str]


class PackedIds:
    """Record IDs packed in 18 bytes each."""

    def __init__(self, ids: bytes) -> None:
        self._packed = ids

    def __len__(self) -> int:
        return len(self._packed) // ID_LENGTH

    def slice(self, start: int, count: int) -> list[str]:
        end = min(start + count, len(self))
        return [self._packed[at * ID_LENGTH : (at + 1) * ID_LENGTH].decode() for at in range(start, end)]
