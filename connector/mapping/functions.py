"""The functions and operators of expressions: a closed list, tolerant of absent values.

As in SQL, arithmetic with an absent value is absent, and an absent value is neither less nor greater than anything.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from connector.mapping.transforms import round_half_up, to_date, to_decimal, to_text
from connector.mapping.types import Kind

MAX_TEXT_CHARACTERS = 131_072
"""No Salesforce field holds more characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """`min_arguments` and `max_arguments` limit the number of arguments; `takes` is the kind of the first one, if it is
    restricted."""

    name: str
    call: Callable[..., Any]
    yields: Kind
    about: str
    takes: frozenset[Kind] | None = None
    min_arguments: int = 1
    max_arguments: int = 1


def _skip_absent(function: Callable[..., Any], absent: Any = None) -> Callable[..., Any]:
    def call(first: Any, *rest: Any) -> Any:
        return absent if first is None or None in rest else function(first, *rest)

    return call


def _round(number: Any, digits: int = 0) -> Decimal:
    if not 0 <= digits <= 12:
        raise ValueError("round() takes 0 to 12 decimals")
    return round_half_up(number, digits)


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None and value != ""), None)


def _join(separator: str, *values: Any) -> str:
    return _bounded(separator.join(to_text(value) for value in values if value is not None and value != ""))


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"a text of more than {MAX_TEXT_CHARACTERS} characters")
    return text


def _days(first: date, second: date) -> int:
    return (to_date(second) - to_date(first)).days


_TEXT = frozenset({Kind.TEXT})
_NUMBER = frozenset({Kind.INTEGER, Kind.DECIMAL})
_DAY = frozenset({Kind.DATE, Kind.DATETIME, Kind.TEXT})

_LIST = (
    Function(name="lower", call=_skip_absent(str.lower), yields=Kind.TEXT, takes=_TEXT, about="small letters"),
    Function(name="upper", call=_skip_absent(str.upper), yields=Kind.TEXT, takes=_TEXT, about="capital letters"),
    Function(name="trim", call=_skip_absent(str.strip), yields=Kind.TEXT, takes=_TEXT, about="without outer spaces"),
    Function(name="length", call=_skip_absent(len, 0), yields=Kind.INTEGER, takes=_TEXT, about="number of characters"),
    Function(name="text", call=_skip_absent(to_text), yields=Kind.TEXT, about="as text"),
    Function(name="number", call=_skip_absent(to_decimal), yields=Kind.DECIMAL, about="as a number"),
    Function(name="date", call=_skip_absent(to_date), yields=Kind.DATE, takes=_DAY, about="the day, in UTC"),
    Function(name="days_between", call=_skip_absent(_days), yields=Kind.INTEGER, takes=_DAY, min_arguments=2,
             max_arguments=2,
             about="days from the first to the second"),
    Function(name="round", call=_skip_absent(_round), yields=Kind.DECIMAL, takes=_NUMBER, max_arguments=2,
             about="half up, to so many decimals"),
    Function(name="abs", call=_skip_absent(abs), yields=Kind.DECIMAL, takes=_NUMBER, about="without sign"),
    Function(name="min", call=_skip_absent(min), yields=Kind.ANY, min_arguments=2, max_arguments=8, about="the least"),
    Function(name="max", call=_skip_absent(max), yields=Kind.ANY, min_arguments=2, max_arguments=8,
             about="the greatest"),
    Function(name="coalesce", call=_coalesce, yields=Kind.ANY, min_arguments=2, max_arguments=8,
             about="the first that has a value"),
    Function(name="join", call=_join, yields=Kind.TEXT, takes=_TEXT, min_arguments=2, max_arguments=12,
             about="the values that there are, with the first argument between them"),
    Function(name="contains", call=_skip_absent(operator.contains, absent=False), yields=Kind.BOOLEAN, takes=_TEXT,
             min_arguments=2, max_arguments=2, about="whether the second text is in the first"),
    Function(name="starts_with", call=_skip_absent(str.startswith, absent=False), yields=Kind.BOOLEAN, takes=_TEXT,
             min_arguments=2, max_arguments=2, about="whether the first text starts with the second"),
    Function(name="ends_with", call=_skip_absent(str.endswith, absent=False), yields=Kind.BOOLEAN, takes=_TEXT,
             min_arguments=2, max_arguments=2, about="whether the first text ends with the second"),
)  # fmt: skip

FUNCTIONS: Mapping[str, Function] = MappingProxyType({function.name: function for function in _LIST})


def _add(left: Any, right: Any) -> Any:
    total = left + right
    return _bounded(total) if isinstance(total, str) else total


def _divide(left: Any, right: Any) -> Decimal:
    return Decimal(left) / Decimal(right)


def _numbers_only(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Reject text operands: `"a" * 10**9` and `"%999999999d" % 1` turn a short text into a huge one."""

    def call(left: Any, right: Any) -> Any:
        if isinstance(left, str) or isinstance(right, str):
            raise TypeError("text where a number is needed")
        return function(left, right)

    return call


def _within(item: Any, container: Any) -> bool:
    return container is not None and item is not None and item in container


ARITHMETIC: Mapping[type[ast.operator], Callable[..., Any]] = MappingProxyType(
    {
        ast.Add: _skip_absent(_add),
        ast.Sub: _skip_absent(_numbers_only(operator.sub)),
        ast.Mult: _skip_absent(_numbers_only(operator.mul)),
        ast.Div: _skip_absent(_numbers_only(_divide)),
        ast.Mod: _skip_absent(_numbers_only(operator.mod)),
    }
)

ORDERING: Mapping[type[ast.cmpop], Callable[..., Any]] = MappingProxyType(
    {
        ast.Lt: _skip_absent(operator.lt, absent=False),
        ast.LtE: _skip_absent(operator.le, absent=False),
        ast.Gt: _skip_absent(operator.gt, absent=False),
        ast.GtE: _skip_absent(operator.ge, absent=False),
    }
)

EQUALITY: Mapping[type[ast.cmpop], Callable[..., Any]] = MappingProxyType(
    {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Is: operator.eq, ast.IsNot: operator.ne}
)

MEMBERSHIP: Mapping[type[ast.cmpop], Callable[..., Any]] = MappingProxyType(
    {ast.In: _within, ast.NotIn: lambda item, container: not _within(item, container)}
)

UNARY: Mapping[type[ast.unaryop], Callable[..., Any]] = MappingProxyType(
    {ast.Not: operator.not_, ast.USub: _skip_absent(operator.neg)}
)
