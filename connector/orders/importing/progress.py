"""The interface by which an import reports its progress."""

from __future__ import annotations

from typing import Protocol


class ProgressReporter(Protocol):
    """Shows the progress of an import: `begin` starts a phase of `total` bytes or entities, `advance` counts some."""

    def begin(self, label: str, total: int, *, percent: bool = False) -> None: ...

    def advance(self, count: int = 1) -> None: ...
