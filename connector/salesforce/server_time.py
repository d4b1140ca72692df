"""The time by the clock of the org, which stamps its records and events with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from connector.salesforce.transport import HttpResponse

T = TypeVar("T")


class GetClient(Protocol):
    async def get(self, path: str, *, read: Callable[[HttpResponse], T]) -> T: ...


async def read_server_time(client: GetClient, *, otherwise: datetime) -> datetime:
    """The time of the org, to the second, by one call; `otherwise` if a proxy has removed it from the response.

    Raises AuthError, RefusedError or TransportError if the org does not answer.
    """
    return await client.get("limits", read=sent_at) or otherwise


def sent_at(response: HttpResponse) -> datetime | None:
    """When the org sent this response, by its clock, to the second; None if a proxy has removed it."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).astimezone(UTC)
    except ValueError:
        return None
