"""A strict JSON parser: text that two parsers could read differently is rejected. PURE."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

MOST_DIGITS = 4000
"""The maximal length of a number. Longer ones would be an attack: the time to parse an int grows with the square."""


def number_of(text: str) -> int | Decimal:
    """Parse a JSON number; every digit is kept. ValueError if it is too long, or its exponent is too large."""
    if len(text) > MOST_DIGITS:
        raise ValueError(f"it has a number of {len(text):,} characters; at most {MOST_DIGITS:,} are read")
    try:
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)
    except ArithmeticError:
        raise ValueError(f"the number {text[:40]} has an exponent that is too large") from None


def parse_json(text: str, *, number: Callable[[str], Any] = number_of) -> Any:
    """Parse JSON text.

    Raises ValueError for text that is not JSON, an object with a name twice, half of a surrogate pair, or values nested
    too deeply. The message is a sentence without a full stop (`it is nested too deeply`).
    """
    try:
        value = json.loads(
            text, parse_float=number, parse_int=number, parse_constant=_no_number, object_pairs_hook=_unique_names
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if "\\ud" in text.lower() and _has_surrogate(value):
        raise ValueError(r"it has half of a surrogate pair (\ud800 to \udfff), which is no character")
    return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"it names {_abbreviate(twice)} twice in one object")
    return values


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def _has_surrogate(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and any("\ud800" <= character <= "\udfff" for character in item):
            return True
    return False


def _abbreviate(name: str) -> str:
    return json.dumps(name if len(name) <= 40 else name[:40] + "…")
