"""A period of time that analytics are asked for. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.errors import UsageError

DEFAULT_LENGTH = timedelta(days=90)


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """From `since` on, and before `until`; `now` is when it is asked."""

    since: datetime
    until: datetime
    now: datetime

    @classmethod
    def resolve(cls, now: datetime, since: datetime | None, until: datetime | None) -> Period:
        """Without `until` up to now, without `since` the 90 days before; UsageError if it ends before it begins."""
        until = until or now
        since = since or until - DEFAULT_LENGTH
        if since >= until:
            hint = "Name a day before it as the first one, or a later one as the end."
            raise UsageError(f"The period from {since:%Y-%m-%d} to {until:%Y-%m-%d} has no day in it.", hint=hint)
        return cls(since=since, until=until, now=now)
