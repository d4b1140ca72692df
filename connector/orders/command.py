"""A command: a request for an action on an order, with its idempotency key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from connector.model.events import Event
from connector.store import order_history
from connector.store.order_history import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCommand:
    """A command to an order, with the event that it leads to.

    `version`: the command is rejected unless the order is still at this version. `request` is the caller's idempotency
    key: a second command with the same key changes nothing. `original` is the event as the caller asked for it, if
    `event` was derived from it by the rules or the state of the order. `author`: who gave the command, if not the actor
    of the whole call.
    """

    number: str
    event: Event
    version: int | None = None
    request: str | None = None
    original: Event | None = None
    author: str | None = None

    @property
    def stored_request(self) -> Request | None:
        """The idempotency key and digest to store with the event; None without a key."""
        """The idempotency key and digest to store with the event; None without a key."""
        if self.request is None:
            return None
        digest = order_history.digest_of(self.number, self.request, self.original or self.event)
        return Request(key=self.request, digest=digest)


def attribute_to(original: OrderCommand, commands: Sequence[OrderCommand]) -> list[OrderCommand]:
    """Return `commands`, which were derived from `original`: the first one gets its idempotency key, and its note
    unless it has one."""
    if not commands:
        return []
    first, *others = commands
    event = first.event if first.event.note else replace(first.event, note=original.event.note)
    return [replace(first, event=event, request=original.request, original=original.event), *others]
