"""Times in queries."""

from __future__ import annotations

from datetime import UTC, datetime

from connector.web.problem import ProblemError
from connector.web.routing import RequestContext


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
