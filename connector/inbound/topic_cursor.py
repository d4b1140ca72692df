"""How far a topic has been read, and how it is being read: kept in the database, for the next holder and for `status`.

The position moves in the transaction that stores what was read up to it. The state is written when it changes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.model.listening_state import ListeningState
from connector.store import cursors, leases
from connector.store.engine import Connection
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicPosition:
    """`replay_id` None: it was never known, or the org knows it no more; then `lost_since` is when it was stored.
    `begun_at`: when the topic was first read, by the clock of the org, if that matters."""

    replay_id: bytes | None = None
    lost_since: str | None = None
    begun_at: datetime | None = None


class TopicCursor:
    """The position and the state of one topic of one org. One process uses it at a time: the holder of the lease."""

    def __init__(self, org_id: str, topic: str) -> None:
        self.topic = topic
        self._org_id = org_id
        self._stored: dict[str, Any] = {}

    async def read(self, connection: Connection) -> TopicPosition | None:
        """The position as stored; None if there is none yet."""
        stored = await cursors.get(connection, self._org_id, cursors.events_of(self.topic))
        if stored is None:
            return None
        self._stored = dict(stored)
        begun = stored.get("begun_at")
        return TopicPosition(
            replay_id=decode(stored.get("replay_id")),
            lost_since=None if stored.get("replay_id") is not None else stored.get("at"),
            begun_at=None if begun is None else datetime.fromisoformat(begun),
        )

    async def begin(self, uow: UnitOfWork, at: datetime) -> None:
        """Note when the topic was first read, by the clock of the org, which says when its events were published."""
        await self._set(uow, {"replay_id": None, "begun_at": at.isoformat()})

    async def move(self, uow: UnitOfWork, replay_id: bytes, *, with_event: bool) -> None:
        """Move the position; `with_event`: it is that of an event, not of a keep-alive."""
        changes = {"replay_id": encode(replay_id), "at": uow.now.isoformat()}
        if with_event:
            changes["last_event_at"] = uow.now.isoformat()
        await self._set(uow, changes)

    async def forget(self, uow: UnitOfWork) -> None:
        """The org knows the position no more. Keep when it was stored: the gap begins there."""
        at = self._stored.get("at", uow.now.isoformat())
        await self._set(uow, {"replay_id": None, "at": at})

    async def _set(self, uow: UnitOfWork, changes: Mapping[str, Any]) -> None:
        self._stored |= changes
        await cursors.set_position(uow, self._org_id, cursors.events_of(self.topic), self._stored)

    async def write_state(self, uow: UnitOfWork, state: ListeningState) -> None:
        """Say how the topic is being read from now on."""
        await cursors.set_position(uow, self._org_id, state_name(self.topic), state.as_document())


STATE = "topic:"
PUBLISHED_STATE = "publish:"
"""Cursors with the state of a topic begin with these: of one that is listened to, of one that is published to."""


def state_name(topic: str) -> str:
    """The name of the cursor with the state of a topic."""
    return f"{STATE}{topic}"


def listen_lease(org_id: str, topic: str) -> str:
    """The name of the lease of a topic."""
    return f"{leases.LISTEN}{org_id}:{topic}"


def encode(replay_id: bytes) -> str:
    return base64.b64encode(replay_id).decode()


def decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
