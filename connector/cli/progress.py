"""Progress of long work: a bar on a terminal, plain lines otherwise, always on stderr so that stdout stays data."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

LINE_EVERY_SECONDS = 2.0
FIRST_LINE_AFTER_SECONDS = 1.0


class Progress:
    """Call `advance()` as work is done; `total` may grow meanwhile. The bar disappears when the work is done."""

    def __init__(self, label: str, total: int | None = None) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._percent = False
        self._next_line_at = time.monotonic() + LINE_EVERY_SECONDS
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(label, total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, label: str, total: int, *, percent: bool = False) -> None:
        """Start the next part of the work, counted from 0. `percent`: show percent, because the counted unit means
        nothing to the user."""
        self._label, self._total, self._done, self._percent = label, total, 0, percent
        self._next_line_at = min(self._next_line_at, time.monotonic() + FIRST_LINE_AFTER_SECONDS)
        if self._bar is not None:
            self._bar.update(self._task, description=label, total=100 if percent else total, completed=0)

    def expect(self, total: int) -> None:
        """Set the total to what is done already plus `total`."""
        self._total = self._done + total
        if self._bar is not None:
            self._bar.update(self._task, total=self._total)

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done_percent if self._percent else self._done)
        elif time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + LINE_EVERY_SECONDS
            of = f" of {self._total:,}" if self._total is not None else ""
            far = f"{self._done_percent} %" if self._percent else f"{self._done:,}{of}"
            print(f"{self._label}: {far}", file=sys.stderr, flush=True)

    @property
    def _done_percent(self) -> int:
        return min(100 * self._done // self._total, 100) if self._total else 0

    def print_line(self, text: str) -> None:
        """Print a line of its own, above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


class NullProgress:
    """Reports nothing: for work inside other work."""

    def begin(self, label: str, total: int, *, percent: bool = False) -> None: ...

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def print_line(self, text: str) -> None: ...
