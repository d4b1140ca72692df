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
    text = await client.get("limits", read=lambda response: response.headers.get("Date", ""))
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return otherwise
