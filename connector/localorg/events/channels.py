"""Channels that an administrator made: whose events they carry, which of them, and what is added to them (G8).

A member with a filter or with enriched fields has events of its own beside those of its topic, under an alias that
nobody else can subscribe to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Channels = dict[str, dict[str, "ChannelMember"]]
"""By channel name, `/data/ChangeEvents` among them, and by topic."""

MAX_ENRICHED_FIELDS = 10


@dataclass(frozen=True, kw_only=True)
class ChannelMember:
    topic: str
    enriched: tuple[str, ...] = ()  # told with every update and deletion, changed or not
    condition: str = ""  # a WHERE clause; asked of what the event carries

    @property
    def is_plain(self) -> bool:
        return not self.enriched and not self.condition


def member_topics(channel: str, members: Mapping[str, ChannelMember]) -> set[str]:
    """The topics that a subscription to the channel reads."""
    return {member.topic if member.is_plain else member_alias(channel, member) for member in members.values()}


def special_members(channels: Channels, topic: str) -> Iterator[tuple[str, ChannelMember]]:
    """Aliases under which an event of this topic is told, too, and what is different there."""
    for name, members in channels.items():
        member = members.get(topic)
        if member is not None and not member.is_plain:
            yield member_alias(name, member), member


def member_alias(channel: str, member: ChannelMember) -> str:
    return f"{channel}#{member.topic}"
