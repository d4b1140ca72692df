"""Custom channels: the topics they carry, their filters, and the fields their events are enriched with.

A member with a filter or enriched fields has events of its own, stored under an alias that nobody can subscribe to
(Change Data Capture developer guide, "Enrich Change Events with Extra Fields").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Channels = dict[str, dict[str, "ChannelMember"]]
"""Members by channel name (`/data/ChangeEvents` is one) and by topic."""

MAX_ENRICHED_FIELDS = 10


@dataclass(frozen=True, kw_only=True)
class ChannelMember:
    topic: str
    enriched: tuple[str, ...] = ()  # in every update and deletion, changed or not
    condition: str = ""  # a WHERE clause on the event's fields

    @property
    def is_plain(self) -> bool:
        return not self.enriched and not self.condition


def member_topics(channel: str, members: Mapping[str, ChannelMember]) -> set[str]:
    """Return the topics that a subscription to the channel reads."""
    return {member.topic if member.is_plain else member_alias(channel, member) for member in members.values()}


def special_members(channels: Channels, topic: str) -> Iterator[tuple[str, ChannelMember]]:
    """Yield alias and member of every channel that filters or enriches the events of this topic."""
    for name, members in channels.items():
        member = members.get(topic)
        if member is not None and not member.is_plain:
            yield member_alias(name, member), member


def member_alias(channel: str, member: ChannelMember) -> str:
    return f"{channel}#{member.topic}"
