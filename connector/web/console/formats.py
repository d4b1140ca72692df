"""Dates, numbers and money as the viewer reads them: in the language of the browser, and in its time zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_skeleton, format_time, format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent

from connector.api.resync_words import filter_words

ZONE_COOKIE = "zone"
"""The time zone of the browser, which `console.js` keeps there."""
DEFAULT = "en_US"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the viewer is: the language, with the country, and the time zone."""

    locale: str = DEFAULT
    zone: str = "UTC"

    @classmethod
    def of(cls, request: web.Request) -> Place:
        zone = unquote(request.cookies.get(ZONE_COOKIE, "UTC"))[:64]
        return cls(
            _locale(request.headers.get("Accept-Language", "")[:200]), zone if _zone(zone) is not None else "UTC"
        )

    @property
    def info(self) -> tzinfo:
        return _zone(self.zone) or UTC

    def write_money(self, value: Decimal, currency: str) -> str:
        """An amount with its currency."""
        return money(value, currency, self)

    @property
    def language(self) -> str:
        return self.locale.replace("_", "-")


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if len(name) < 64 else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=512)
def _locale(accepted: str) -> str:
    """The locale of the first language that babel knows. Sentences are English; numbers and dates are as there."""
    for part in accepted.split(","):
        tag = part.split(";")[0].strip()
        try:
            locale = Locale.parse(tag, sep="-") if tag and tag != "*" else None
        except (UnknownLocaleError, ValueError):
            continue
        if locale is not None:
            return str(locale)
    return DEFAULT


def number(value: Decimal | int | float, place: Place) -> str:
    return format_decimal(value, locale=place.locale)


def percent(value: float, place: Place) -> str:
    return format_percent(value, locale=place.locale)


def money(value: Decimal | None, currency: str, place: Place) -> str:
    """An amount with its currency, in the smallest unit of it; a dash without one."""
    return "–" if value is None else format_currency(value, currency, locale=place.locale)


def moment(value: datetime, place: Place) -> str:
    return format_datetime(value, "medium", tzinfo=place.info, locale=place.locale)


def iso_moment(value: str, place: Place) -> str:
    """A moment that is written as in JSON."""
    return moment(datetime.fromisoformat(value), place)


def short_moment(value: datetime, place: Place) -> str:
    """`Nov 29, 3:26 PM`: without year and seconds."""
    day_text = format_skeleton("MMMd", value, tzinfo=place.info, locale=place.locale)
    return f"{day_text}, {format_time(value, 'short', tzinfo=place.info, locale=place.locale)}"


def day(value: date, place: Place) -> str:
    return format_date(value, "medium", locale=place.locale)


def ago(value: datetime, now: datetime, place: Place) -> str:
    """`3 minutes ago`, `in 2 hours`."""
    return format_timedelta(value - now, add_direction=True, locale="en_US")


def lasting(seconds: float) -> str:
    """A duration: `4 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h".replace(".0 h", " h")
    return f"{timedelta(seconds=seconds).days} days"


def within(seconds: float | None) -> str:
    """An upper end of durations, with tenths: `0.3 s`, `3 s`, `3 min`; None is longer than all that are measured."""
    if seconds is None:
        return "over a week"
    return f"{seconds:g} s" if seconds < 10 else lasting(seconds)


def urlencode_path(value: str) -> str:
    """A part of a path; also its slashes are written as %2F."""
    return quote(value, safe="")


def record_address(record_id: str, instance_url: str | None) -> str:
    """The address of a record's page in the org; empty if that is no address to lead people to: what the org calls its
    address is used over TLS only, or on this machine."""
    try:
        parts = urlsplit(instance_url or "")
    except ValueError:
        return ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return f"{parts.scheme}://{parts.netloc}/{urlencode_path(record_id)}" if is_safe and parts.hostname else ""


_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def resync_filter(chosen: Mapping[str, object], place: Place) -> list[tuple[str, str]]:
    """Name and value of each part of a resync's filter."""
    return filter_words(chosen, lambda text: iso_moment(text, place))


def room(value: object) -> str:
    """The CSS class of a text that needs more room than a number beside it."""
    length = len(str(value or ""))
    return "" if length <= _SHORT_TEXT else "long" if length <= _LONG_TEXT else "long whole"


_SHORT_TEXT, _LONG_TEXT = 28, 160
FILTERS: Mapping[str, Callable[..., object]] = {
    "number": number, "percent": percent, "money": money, "moment": moment, "short_moment": short_moment,
    "iso_moment": iso_moment, "day": day,
    "ago": ago, "lasting": lasting, "within": within, "urlencode_path": urlencode_path,
    "record_address": record_address, "room": room, "filter_words": resync_filter,
}  # fmt: skip
