"""Who watches an import."""

from __future__ import annotations

from typing import Protocol


class ProgressReporter(Protocol):
    """Sees how far an import is: a part of it begins, with a number of bytes or entities; some of them are done."""

    def begin(self, label: str, total: int, *, percent: bool = False) -> None: ...

    def advance(self, count: int = 1) -> None: ...
