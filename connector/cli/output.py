"""Prints results: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer

from connector.model.money import plain


def as_json(value: Any) -> None:
    """Print one JSON document: Decimals as text with all digits, times as ISO 8601."""
    typer.echo(json.dumps(value, default=_json_form, ensure_ascii=False, indent=2))


def as_json_line(value: Any) -> None:
    """Print one JSON document on a single line and flush it, for programs that wait for it."""
    typer.echo(json.dumps(value, default=_json_form, ensure_ascii=False))
    sys.stdout.flush()


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; columns of numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(heading), *(len(row[i]) for row in cells)]) for i, heading in enumerate(headings)]
    numeric = [
        bool(rows) and all(isinstance(row[i], int | Decimal | NumberText) for row in rows) for i in range(len(headings))
    ]

    def line(values: Sequence[str]) -> str:
        pairs = zip(values, widths, numeric, strict=True)
        return "  ".join(value.rjust(width) if right else value.ljust(width) for value, width, right in pairs).rstrip()

    typer.echo(line(headings))
    for row in cells:
        typer.echo(line(row))


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 order`, `2 orders`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


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


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _json_form(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
