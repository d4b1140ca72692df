"""Prints results: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

import typer

from connector.model.money import plain

NARROWEST, NARROWEST_COLUMN = 60, 12


def as_json(value: Any) -> None:
    """Print one JSON document: Decimals as text with all digits, times as ISO 8601."""
    typer.echo(json.dumps(value, default=_json_form, ensure_ascii=False, indent=2))


def as_json_line(value: Any) -> None:
    """Print one JSON document on a single line and flush it, for programs that wait for it."""
    typer.echo(json.dumps(value, default=_json_form, ensure_ascii=False))
    sys.stdout.flush()


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; columns of numbers are aligned to the right. On a terminal that is narrower than the table, the
    longest cells are wrapped."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(heading), *(len(row[i]) for row in cells)]) for i, heading in enumerate(headings)]
    numeric = [
        bool(rows) and all(isinstance(row[i], int | Decimal | NumberText) for row in rows) for i in range(len(headings))
    ]

    if (limit := terminal_width()) is not None:
        columns = [[heading, *(row[i] for row in cells)] for i, heading in enumerate(headings)]
        words = [max(len(word) for text in column for word in (text.split() or [""])) for column in columns]
        widths = _narrowed(widths, [max(word, NARROWEST_COLUMN) for word in words], limit)

    def show(values: Sequence[str]) -> None:
        parts = [_wrapped(value, width) for value, width in zip(values, widths, strict=True)]
        for texts in zip_longest(*parts, fillvalue=""):
            pairs = zip(texts, widths, numeric, strict=True)
            aligned = (text.rjust(width) if right else text.ljust(width) for text, width, right in pairs)
            typer.echo("  ".join(aligned).rstrip())

    show(headings)
    for row in cells:
        show(row)


def paragraph(text: str) -> None:
    """Print a sentence or several, wrapped between words on a terminal."""
    limit = terminal_width()
    typer.echo(text if limit is None else "\n".join(_wrapped(text, limit)))


def terminal_width() -> int | None:
    """The columns of the terminal; None if the output goes to a file or a program, which gets whole lines."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def _narrowed(widths: Sequence[int], least: Sequence[int], limit: int) -> list[int]:
    """Widths that fit into `limit`, if they can: the widest column is narrowed first, none below its `least`."""
    narrowed = list(widths)
    while sum(narrowed) + 2 * (len(narrowed) - 1) > limit:
        spare = [i for i, width in enumerate(narrowed) if width > least[i]]
        if not spare:
            break
        narrowed[max(spare, key=narrowed.__getitem__)] -= 1
    return narrowed


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines, cut between words; a longer word, such as a command or an address, stays whole."""
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def program() -> str:
    """How to call this program: its name if that is on the PATH, else its relative path."""
    path = Path(sys.argv[0])
    if path.name != "connector" or shutil.which("connector"):
        return "connector"
    return os.path.relpath(path)


class NumberText(str):
    """A formatted number; tables align it to the right."""

    __slots__ = ()


def amount(value: Decimal | bool | None) -> str:
    """Format an amount without trailing zeros, but with cents: `12.50`, `116.7075`. A bool becomes yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return NumberText()
    integer, point, fraction = f"{value:f}".partition(".")
    return NumberText(f"{integer}.{fraction.rstrip('0').ljust(2, '0')}" if point else integer)


def quantity(value: Decimal) -> str:
    """Format a quantity without trailing zeros: `2`, `1.5`."""
    return NumberText(plain(value))


def moment(value: datetime) -> str:
    """`2026-03-01 12:00:00 UTC`."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def one_line(value: object) -> str:
    """`value` as text in one line, with a mark where it has line breaks."""
    return " ⏎ ".join(str(value).splitlines())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else one_line(value)


def _json_form(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
