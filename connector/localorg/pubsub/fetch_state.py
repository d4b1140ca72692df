"""The state of one subscription on the Pub/Sub API."""

from __future__ import annotations

from dataclasses import dataclass

from connector.localorg.events.managed_subscriptions import ManagedSubscription
from connector.localorg.pubsub.rpc_error import invalid_argument

MAX_PENDING = 100
"""Events that one subscription may have requested and not received."""


@dataclass
class FetchState:
    """One subscription: its position, and how many events the client has requested and not received."""

    topic: str
    position: int
    pending: int = 0
    ended: bool = False
    managed: ManagedSubscription | None = None

    def request_events(self, count: int) -> None:
        if count <= 0:
            raise invalid_argument(
                "subscription.fetch.requested.events.invalid", "The number of requested events must be greater than 0."
            )
        self.pending = min(self.pending + count, MAX_PENDING)
