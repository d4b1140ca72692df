"""The period of an analytics query. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.errors import UsageError

DEFAULT_LENGTH = timedelta(days=90)


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """From `since` (included) to `until` (excluded); `now` is the time of the query."""

    since: datetime
    until: datetime
    now: datetime

    @classmethod
    def resolve(cls, now: datetime, since: datetime | None, until: datetime | None, *, option: str = "") -> Period:
        """Return the period, by default up to `now` and 90 days long. UsageError if it is empty; `option` precedes the
        names in its message (`--`)."""
        until = until or now
        since = since or until - DEFAULT_LENGTH
        if since >= until:
            raise UsageError(
                f"{option}since ({since:%Y-%m-%d}) must be before {option}until ({until:%Y-%m-%d}).",
                hint="Correct one of them.",
            )
        return cls(since=since, until=until, now=now)
