"""Dates in queries: ISO literals as stored values, relative literals as spans. All in UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_LAST_OR_NEXT_N = re.compile(r"(LAST|NEXT)_N_(DAYS|WEEKS|MONTHS|QUARTERS|YEARS):(\d{1,5})\Z")
_N_AGO = re.compile(r"N_(DAYS|WEEKS|MONTHS|QUARTERS|YEARS)_AGO:(\d{1,5})\Z")
_PERIOD = re.compile(r"(LAST|THIS|NEXT)_(WEEK|MONTH|QUARTER|YEAR|FISCAL_QUARTER|FISCAL_YEAR)\Z")
_STEP = {"LAST": -1, "THIS": 0, "NEXT": 1}

Span = tuple[datetime, datetime]
"""Start (included) and end (excluded)."""


def parse_datetime(text: str) -> str:
    """Return a datetime literal in its stored form: UTC, whole seconds. ValueError if it is invalid."""
    moment = datetime.fromisoformat(text.upper().replace("Z", "+00:00")).astimezone(UTC)
    return format_timestamp(moment)


def format_timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def relative_span(word: str, now: datetime) -> Span | None:
    """Return the span of a relative literal; None for an unknown word."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    simple = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
    if word in simple:
        return today + simple[word] * day, today + (simple[word] + 1) * day
    if word == "LAST_90_DAYS":
        return today - 90 * day, today + day
    if word == "NEXT_90_DAYS":
        return today + day, today + 91 * day
    try:
        return _period_span(word, today)
    except OverflowError:
        return None


def _period_span(word: str, today: datetime) -> Span | None:
    day = timedelta(days=1)
    if match := _PERIOD.match(word):
        start = _PERIODS[match[2].removeprefix("FISCAL_")]
        step = _STEP[match[1]]
        return start(today, step), start(today, step + 1)
    if match := _LAST_OR_NEXT_N.match(word):
        unit, count = match[2].removesuffix("S"), int(match[3])
        if unit == "DAY":
            return (
                (today - count * day, today + day) if match[1] == "LAST" else (today + day, today + (count + 1) * day)
            )
        start = _PERIODS[unit]
        return (
            (start(today, -count), start(today, 0))
            if match[1] == "LAST"
            else (start(today, 1), start(today, count + 1))
        )
    if match := _N_AGO.match(word):
        unit, count = match[1].removesuffix("S"), int(match[2])
        if unit == "DAY":
            return today - count * day, today - (count - 1) * day
        start = _PERIODS[unit]
        return start(today, -count), start(today, 1 - count)
    return None


def _week(today: datetime, step: int) -> datetime:
    return today - timedelta(days=(today.weekday() + 1) % 7) + timedelta(weeks=step)  # weeks begin on Sunday


def _months(today: datetime, step: int, *, size: int) -> datetime:
    index = today.year * 12 + today.month - 1
    index = index - index % size + step * size
    if not 12 <= index < 9999 * 12:
        raise OverflowError
    return today.replace(year=index // 12, month=index % 12 + 1, day=1)


_PERIODS: dict[str, Callable[[datetime, int], datetime]] = {
    "WEEK": _week,
    "MONTH": lambda today, step: _months(today, step, size=1),
    "QUARTER": lambda today, step: _months(today, step, size=3),
    "YEAR": lambda today, step: _months(today, step, size=12),
}
