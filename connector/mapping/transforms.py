"""The named transforms that a mapping can use: what each takes and yields, and its inverse if there is one.

A transform never receives an absent value. `backward` converts values that come back from the org; a field whose
transform has none can only be owned locally.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from connector.mapping.types import Kind, as_utc
from connector.model.money import plain

MAX_DIGITS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    name: str
    takes: frozenset[Kind]
    yields: Kind
    about: str
    forward: Callable[[Any], Any]
    backward: Callable[[Any], Any] | None = None


def to_date(value: date | str) -> date:
    """The UTC day of a datetime, or the day that an ISO text names."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    return as_utc(value).date() if isinstance(value, datetime) else value


def to_datetime(value: date | str) -> datetime:
    """Midnight UTC of a day, or the datetime that an ISO text names."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    return as_utc(value) if isinstance(value, datetime) else datetime.combine(value, time(), UTC)


def to_decimal(value: object) -> Decimal:
    if isinstance(value, bool):
        return Decimal(int(value))
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a number")
    if abs(number.adjusted()) > MAX_DIGITS or len(number.as_tuple().digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")  # 1e999999999 is short as a text only
    return number


def to_integer(value: object) -> int:
    return int(to_decimal(value).to_integral_value(rounding=ROUND_HALF_UP))


def to_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def round_half_up(value: Decimal | int, digits: int) -> Decimal:
    """Rounded half up, as the org rounds."""
    return Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def one_line(value: str) -> str:
    return " ".join(value.split())


def _yes_no(value: bool) -> str:
    return "Yes" if value else "No"


def _from_yes_no(value: str) -> bool:
    answers = {"yes": True, "no": False}
    if value.strip().lower() not in answers:
        raise ValueError(f"{value!r} is neither Yes nor No")
    return answers[value.strip().lower()]


_TEXT = frozenset({Kind.TEXT})
_NUMBER = frozenset({Kind.INTEGER, Kind.DECIMAL})
_BOOLEAN = frozenset({Kind.BOOLEAN})
_WHEN = frozenset({Kind.DATE, Kind.DATETIME, Kind.TEXT})
_ALL = frozenset(Kind) - {Kind.ANY}

_LIST = (
    Transform(name="date", takes=_WHEN, yields=Kind.DATE, about="the day, in UTC", forward=to_date),
    Transform(name="datetime", takes=_WHEN, yields=Kind.DATETIME, about="midnight UTC of a day", forward=to_datetime),
    Transform(name="text", takes=_ALL, yields=Kind.TEXT, about="as text: `9.8`, `true`, `2026-01-31`", forward=to_text),
    Transform(name="trim", takes=_TEXT, yields=Kind.TEXT, about="without outer spaces", forward=str.strip,
              backward=str.strip),
    Transform(name="upper", takes=_TEXT, yields=Kind.TEXT, about="capital letters", forward=str.upper),
    Transform(name="lower", takes=_TEXT, yields=Kind.TEXT, about="small letters", forward=str.lower),
    Transform(name="one_line", takes=_TEXT, yields=Kind.TEXT, about="line breaks and runs of spaces become one space",
              forward=one_line),
    Transform(name="cut80", takes=_TEXT, yields=Kind.TEXT, about="the first 80 characters",
              forward=lambda value: value[:80]),
    Transform(name="cut255", takes=_TEXT, yields=Kind.TEXT, about="the first 255 characters",
              forward=lambda value: value[:255]),
    Transform(name="integer", takes=_NUMBER | _TEXT, yields=Kind.INTEGER, about="rounded half up to a whole number",
              forward=to_integer),
    Transform(name="decimal", takes=_NUMBER | _TEXT | _BOOLEAN, yields=Kind.DECIMAL,
              about="as a number, from text such as `9.80`", forward=to_decimal),
    Transform(name="round2", takes=_NUMBER, yields=Kind.DECIMAL, about="rounded half up to 2 decimals",
              forward=lambda value: round_half_up(value, 2)),
    Transform(name="round4", takes=_NUMBER, yields=Kind.DECIMAL, about="rounded half up to 4 decimals",
              forward=lambda value: round_half_up(value, 4)),
    Transform(name="percent", takes=_NUMBER, yields=Kind.DECIMAL, about="a fraction as percent: 0.15 becomes 15",
              forward=lambda value: Decimal(value) * 100, backward=lambda value: Decimal(value) / 100),
    Transform(name="fraction", takes=_NUMBER, yields=Kind.DECIMAL, about="percent as a fraction: 15 becomes 0.15",
              forward=lambda value: Decimal(value) / 100, backward=lambda value: Decimal(value) * 100),
    Transform(name="negate", takes=_NUMBER, yields=Kind.DECIMAL, about="the number with the other sign",
              forward=lambda value: -Decimal(value), backward=lambda value: -Decimal(value)),
    Transform(name="not", takes=_BOOLEAN, yields=Kind.BOOLEAN, about="true becomes false and the reverse",
              forward=lambda value: not value, backward=lambda value: not value),
    Transform(name="yes_no", takes=_BOOLEAN, yields=Kind.TEXT, about="`Yes` or `No`", forward=_yes_no,
              backward=_from_yes_no),
)  # fmt: skip

IN_ZONE = "date in "
"""`date in Europe/Berlin`: the day in that zone, which near midnight differs from the day in UTC."""


def find_transform(name: str) -> Transform | None:
    """The transform of that name; None if there is none."""
    if not name.startswith(IN_ZONE):
        return TRANSFORMS.get(name)
    try:
        zone = ZoneInfo(name.removeprefix(IN_ZONE).strip())
    except (KeyError, ValueError, OSError):
        return None

    def to_local_day(value: date | str) -> date:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        return to_datetime(value).astimezone(zone).date()

    return replace(TRANSFORMS["date"], name=name, about=f"the day, in {zone.key}", forward=to_local_day)


TRANSFORMS: Mapping[str, Transform] = MappingProxyType({transform.name: transform for transform in _LIST})
