"""The metric type, and how averages and shares are rounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from connector.model.money import to_cents
from connector.model.period import Period
from connector.model.shipments import ZERO
from connector.store.engine import Connection

YEARS = range(1900, 9000)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric as a table. `about` says how it is measured; the last column is the measured value. `low_is_bad`: low
    values are the ones to look at first."""

    name: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    low_is_bad: bool = False

    @property
    def as_dict(self) -> dict[str, object]:
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"name": self.name, "about": self.about, "columns": self.columns, "rows": rows}


MetricQuery = Callable[[Connection, Period], Awaitable[Iterable[tuple[object, ...]]]]


def parse_day(text: str) -> datetime:
    """`2026-01-31`, or a moment, in UTC if it names no zone; ValueError if it is none."""
    moment = datetime.fromisoformat(text)
    if moment.year not in YEARS:
        raise ValueError(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(kw_only=True, slots=True)
class Durations:
    """A number of durations, with their total and maximum."""

    count: int = 0
    total: timedelta = timedelta()
    longest: timedelta = timedelta()

    def add(self, time: timedelta) -> None:
        self.count += 1
        self.total += time
        self.longest = max(self.longest, time)

    def average(self, unit: timedelta) -> Decimal | None:
        return to_cents(Decimal(self.total / unit) / self.count) if self.count else None


def share(part: Decimal | int, total: Decimal | int) -> Decimal:
    """Return `part` of `total` in percent."""
    return to_cents(Decimal(part) * 100 / Decimal(total)) if total else ZERO
