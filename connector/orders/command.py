"""A command: an event that somebody asks of an order, and what makes it idempotent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from connector.model.events import Event
from connector.store import order_history
from connector.store.order_history import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCommand:
    """An event asked of an order. `version`: only if the order is still the one that the caller has seen. `request` is
    the caller's own name for it: the same again does nothing. `asked` is what was asked, where the rules or the state
    of the order have made `event` of it."""

    number: str
    event: Event
    version: int | None = None
    request: str | None = None
    asked: Event | None = None

    @property
    def named(self) -> Request | None:
        if self.request is None:
            return None
        digest = order_history.digest_of(self.number, self.request, self.asked or self.event)
        return Request(key=self.request, digest=digest)


def attribute_to(asked: OrderCommand, commands: Sequence[OrderCommand]) -> list[OrderCommand]:
    """`commands`, made of what was asked: the first of them bears its name and, unless it has one, its note."""
    if not commands:
        return []
    first, *others = commands
    event = first.event if first.event.note else replace(first.event, note=asked.event.note)
    return [replace(first, event=event, request=asked.request, asked=asked.event), *others]
