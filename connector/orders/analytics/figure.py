"""What a figure is, which orders it is about, and how averages and shares are rounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select

from connector.errors import UsageError
from connector.model.money import to_cents
from connector.model.shipments import ZERO
from connector.model.stage import Stage
from connector.store.engine import Connection
from connector.store.tables import orders

GONE = (Stage.SHIPPED.value, Stage.DELIVERED.value, Stage.COMPLETED.value)
ARRIVED = (Stage.DELIVERED.value, Stage.COMPLETED.value)
IMPORTED = orders.c.events == 0
"""Never acted on here: what it has come to is implied by its stage (`model.implied`), and not stored."""

USUAL = timedelta(days=90)
YEARS = range(1900, 9000)
HOUR = timedelta(hours=1)
_PART = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """From `since` on, and before `until`; `now` is when it is asked."""

    since: datetime
    until: datetime
    now: datetime

    @property
    def orders(self) -> ColumnElement[bool]:
        return (orders.c.placed_at >= self.since) & (orders.c.placed_at < self.until)

    @classmethod
    def asked(cls, now: datetime, since: datetime | None, until: datetime | None) -> Period:
        """Without `until` up to now, without `since` the 90 days before; UsageError if it ends before it begins."""
        until = until or now
        since = since or until - USUAL
        if since >= until:
            hint = "Name a day before it as the first one, or a later one as the end."
            raise UsageError(f"The period from {since:%Y-%m-%d} to {until:%Y-%m-%d} has no day in it.", hint=hint)
        return cls(since=since, until=until, now=now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """`about` says how it is measured; the last column is the one to draw. `low_is_bad`: what is low is what to look
    at first."""

    name: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    low_is_bad: bool = False

    @property
    def said(self) -> dict[str, Any]:
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"name": self.name, "about": self.about, "columns": self.columns, "rows": rows}


Counted = Callable[[Connection, Period], Awaitable[Iterable[tuple[Any, ...]]]]


def day(text: str) -> datetime:
    """`2026-01-31`, or a moment, in UTC if it names no zone; ValueError if it is none."""
    found = datetime.fromisoformat(text)
    if found.year not in YEARS:
        raise ValueError(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


async def stream(connection: Connection, statement: Select[Any]) -> AsyncIterator[Any]:
    """The rows one by one, however many there are; never all in memory."""
    async with connection.stream(statement) as rows:
        async for part in rows.partitions(_PART):
            for row in part:
                yield row


@dataclass(kw_only=True, slots=True)
class Times:
    """How often, and how long altogether."""

    count: int = 0
    total: timedelta = timedelta()
    longest: timedelta = timedelta()

    def add(self, time: timedelta) -> None:
        self.count += 1
        self.total += time
        self.longest = max(self.longest, time)

    def average(self, unit: timedelta) -> Decimal | None:
        return to_cents(Decimal(self.total / unit) / self.count) if self.count else None


def share(part: Decimal | int, whole: Decimal | int) -> Decimal:
    """In percent."""
    return to_cents(Decimal(part) * 100 / Decimal(whole)) if whole else ZERO
