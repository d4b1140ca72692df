"""Rows as CSV that a spreadsheet opens without harm: all at once, or piece by piece where there may be many."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

KIND = "text/csv"
PIECE = 64 * 1024
"""Characters, about: what is held of a long sheet at a time."""


def csv_response(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


async def pieces(columns: Sequence[str], rows: AsyncGenerator[Sequence[object], None]) -> AsyncGenerator[str, None]:
    """The sheet in pieces, as they come."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    async with aclosing(rows):
        async for row in rows:
            writer.writerow([_cell(value) for value in row])
            if text.tell() >= PIECE:
                yield text.getvalue()
                text.seek(0)
                text.truncate()
    yield text.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is kept a text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value
