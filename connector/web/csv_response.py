"""Write rows as CSV that is safe to open in a spreadsheet: at once, or streamed if there may be many."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

KIND = "text/csv"
PIECE_CHARACTERS = 64 * 1024
"""Characters (about) in one piece of a streamed sheet."""


def csv_response(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


async def stream_csv(columns: Sequence[str], rows: AsyncGenerator[Sequence[object], None]) -> AsyncGenerator[str, None]:
    """Yield the sheet in pieces while rows arrive."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    async with aclosing(rows):
        async for row in rows:
            writer.writerow([_cell(value) for value in row])
            if text.tell() >= PIECE_CHARACTERS:
                yield text.getvalue()
                text.seek(0)
                text.truncate()
    yield text.getvalue()


def _cell(value: object) -> object:
    """Prefix a text that a spreadsheet would read as a formula with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value
