"""The parser of options that are times."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def time(text: str) -> datetime:
    """Return the time of an ISO 8601 text in UTC; without an offset it is in UTC. Typer puts the name of the option
    before the error."""
    from connector.model.literals import parse_moment

    try:
        return parse_moment(text).astimezone(UTC)
    except ValueError as error:
        raise typer.BadParameter(f"{text[:80]!r} {error}.") from None
