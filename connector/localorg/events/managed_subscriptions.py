"""Managed subscriptions: the org stores the replay ID that a client has committed.

(Metadata API developer guide, "ManagedEventSubscription", beta.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connector.localorg import ids
from connector.localorg.events.hub import EventHub
from connector.localorg.storage import Storage

PREFIX = "18x"
PRESETS = ("LATEST", "EARLIEST")
STATES = ("RUN", "PAUSE", "STOP")
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS _managed (id TEXT PRIMARY KEY, name TEXT UNIQUE, topic TEXT, starts TEXT,"
    " recovers TEXT, state TEXT, committed INTEGER)"
)


class SubscriptionError(Exception):
    """A client cannot have a subscription. `code` is the end of the error code that the client gets."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnnamedSubscriptionError(SubscriptionError):
    """The client sent neither an ID nor a developer name."""


class SubscriptionNotFoundError(SubscriptionError):
    """No subscription has this ID or name."""


class SubscriptionStoppedError(SubscriptionError):
    """The state of the subscription is not RUN."""


class SubscriptionInUseError(SubscriptionError):
    """Another client reads the subscription at this moment."""


@dataclass(slots=True)
class ManagedSubscription:
    id: str
    name: str
    topic: str
    starts: str  # LATEST | EARLIEST: where the first client starts
    recovers: str  # LATEST | EARLIEST: where to continue if the committed position has expired
    state: str  # RUN | PAUSE | STOP
    committed: int | None


class ManagedSubscriptions:
    """The subscriptions of an org, and which of them a client reads now."""

    def __init__(self, storage: Storage, hub: EventHub) -> None:
        self._storage = storage
        self._hub = hub
        self._active: set[str] = set()
        storage.connection.execute(_SCHEMA)

    def define(
        self, name: str, topic: str, *, starts: str = "LATEST", recovers: str = "LATEST", state: str = "RUN"
    ) -> ManagedSubscription:
        """Create or change the subscription of this name, but not its committed position. ValueError if invalid."""
        if not {starts, recovers} <= set(PRESETS) or state not in STATES:
            raise ValueError(
                f"starts and recovers must be one of {', '.join(PRESETS)}; state one of {', '.join(STATES)}"
            )
        if self._hub.resolve_topics(topic) is None:
            raise ValueError(f"topic: {topic} does not exist")
        with self._storage.transaction():
            number = self._storage.next_number("ManagedEventSubscription")
            self._storage.connection.execute(
                "INSERT INTO _managed VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (name) DO UPDATE SET"
                " topic = excluded.topic, starts = excluded.starts, recovers = excluded.recovers,"
                " state = excluded.state",
                (ids.make(PREFIX, number), name, topic, starts, recovers, state),
            )
        return self._find("", name)

    def remove(self, name: str) -> None:
        """Delete the subscription of this name, with its committed position."""
        with self._storage.transaction():
            self._storage.connection.execute("DELETE FROM _managed WHERE name = ?", (name,))

    def _find(self, subscription_id: str, name: str) -> ManagedSubscription:
        if not subscription_id and not name:
            raise UnnamedSubscriptionError(
                "id.or.developer.name.empty", "A subscription ID or a developer name is needed."
            )
        column, value = ("id", subscription_id) if subscription_id else ("name", name)
        row = self._storage.connection.execute(
            f"SELECT id, name, topic, starts, recovers, state, committed FROM _managed WHERE {column} = ?",  # noqa: S608
            (value,),
        ).fetchone()
        if row is None:
            code = "subscription.id.not.found" if subscription_id else "developer.name.not.found"
            raise SubscriptionNotFoundError(code, f"There is no subscription {value[:80]}.")
        return ManagedSubscription(*row)

    @contextmanager
    def acquire(self, subscription_id: str, name: str) -> Iterator[ManagedSubscription]:
        """Give a subscription to one client for the duration of the block. SubscriptionError if it cannot have it."""
        subscription = self._find(subscription_id, name)
        if subscription.state != "RUN":
            raise SubscriptionStoppedError("config.stopped", f"The subscription {subscription.name} is not running.")
        if subscription.id in self._active:
            raise SubscriptionInUseError(
                "already.active", f"The subscription {subscription.name} has a client already."
            )
        self._active.add(subscription.id)
        try:
            yield subscription
        finally:
            self._active.discard(subscription.id)

    def start_position(self, subscription: ManagedSubscription) -> int:
        """Return the replay number after which the next client starts."""
        bus = self._hub.bus
        bus.expire()
        if subscription.committed is None:
            return bus.earliest if subscription.starts == "EARLIEST" else bus.latest
        if subscription.committed < bus.earliest:
            return bus.earliest if subscription.recovers == "EARLIEST" else bus.latest
        return subscription.committed

    def commit(self, subscription: ManagedSubscription, replay_id: bytes) -> None:
        """Store the position up to which the client has read. InvalidReplayIdError for a bad replay ID."""
        number = self._hub.bus.decode_replay_id(replay_id)
        with self._storage.transaction():
            self._storage.connection.execute(
                "UPDATE _managed SET committed = ? WHERE id = ?", (number, subscription.id)
            )
        subscription.committed = number
