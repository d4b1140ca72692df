"""Times in queries."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, tzinfo

from connector.model.literals import parse_day
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

YEARS = range(1900, 9000)


def query_moment(call: RequestContext, name: str) -> datetime | None:
    """A query parameter that is a time; one without a zone is in UTC. Raises ProblemError 400 if it is none."""
    text = call.query_value(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "Use a time such as 2026-03-01T12:00:00Z."
        raise ProblemError(400, "query", f"{name}: invalid time {text[:80]!r}.", field=name, hint=hint) from None


def query_day(call: RequestContext, name: str) -> date | None:
    """A query parameter that is a day. Raises ProblemError 400 if it is none, or one that nothing here can have."""
    text = call.query_value(name)
    if text is None:
        return None
    try:
        day = parse_day(text)
        if day.year in YEARS:
            return day
    except ValueError:
        pass
    raise ProblemError(
        400, "query", f"{name}: invalid day {text[:80]!r}.", field=name, hint="Use a day such as 2026-03-01."
    )


def first_moment(day: date, zone: tzinfo) -> datetime:
    """When the day begins in this time zone."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
