"""Channels that an administrator made: whose events they carry, which of them, and what is added to them (G8).

A member with a filter or with enriched fields has events of its own beside those of its topic, under an alias that
nobody else can subscribe to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Channels = dict[str, dict[str, "Member"]]
"""By channel name, `/data/ChangeEvents` among them, and by topic."""

MOST_ENRICHED = 10


@dataclass(frozen=True, kw_only=True)
class Member:
    topic: str
    enriched: tuple[str, ...] = ()  # told with every update and deletion, changed or not
    condition: str = ""  # a WHERE clause; asked of what the event carries

    @property
    def plain(self) -> bool:
        return not self.enriched and not self.condition


def carried(channel: str, members: Mapping[str, Member]) -> set[str]:
    """The topics that a subscription to the channel reads."""
    return {member.topic if member.plain else alias(channel, member) for member in members.values()}


def special(channels: Channels, topic: str) -> Iterator[tuple[str, Member]]:
    """Aliases under which an event of this topic is told, too, and what is different there."""
    for name, members in channels.items():
        member = members.get(topic)
        if member is not None and not member.plain:
            yield alias(name, member), member


def alias(channel: str, member: Member) -> str:
    return f"{channel}#{member.topic}"
