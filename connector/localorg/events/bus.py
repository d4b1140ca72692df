"""Events in the order of their commit, stored for the retention time, and the subscribers that wait for them.

Clients treat a replay ID as opaque. Here it is a number in 8 bytes that rises over all topics, with gaps.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from connector.localorg.faults import Faults
from connector.localorg.storage import Storage

MAX_REPLAY_GAP = 3
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS _event (replay INTEGER PRIMARY KEY, topic TEXT, schema_id TEXT, uuid TEXT,"
    " payload BLOB, at REAL)",
    "CREATE INDEX IF NOT EXISTS ix_event_topic ON _event (topic, replay)",
    "CREATE INDEX IF NOT EXISTS ix_event_at ON _event (at)",
)
_LAST, _FLOOR = "event_last", "event_floor"


class InvalidReplayIdError(Exception):
    """The replay ID is malformed, was never issued, or is older than the retention."""


@dataclass(frozen=True, slots=True)
class Event:
    replay: int
    topic: str
    schema_id: str
    uuid: str
    payload: bytes

    @property
    def replay_id(self) -> bytes:
        return encode_replay_id(self.replay)


class OutgoingEvent(NamedTuple):
    """An event that is to be published."""

    topic: str
    schema_id: str
    uuid: str
    payload: bytes


def encode_replay_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


class EventBus:
    """The stored events. `retention` is in seconds and can be changed at any time."""

    def __init__(
        self,
        storage: Storage,
        clock: Callable[[], datetime],
        source: random.Random,
        faults: Faults,
        *,
        retention: float,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._source = source
        self.retention = retention
        self.waiters: set[asyncio.Event] = set()
        self._faults = faults
        for statement in _SCHEMA:
            storage.connection.execute(statement)
        self.latest = int(storage.get_meta(_LAST) or 0)
        self.earliest = int(storage.get_meta(_FLOOR) or 0)

    def publish(self, topic: str, events: Sequence[tuple[str, str, bytes]]) -> list[int]:
        """Append events (schema ID, UUID, payload) to a topic; return their replay numbers."""
        return self.publish_all([OutgoingEvent(topic, *event) for event in events])

    def publish_all(self, events: Sequence[OutgoingEvent]) -> list[int]:
        """Append events to their topics, in this order; return their replay numbers."""
        if not events:
            return []
        at = self._clock().timestamp()
        numbers: list[int] = []
        rows = []
        for event in events:
            for _ in range(2 if self._faults.take("event_duplicate") else 1):
                self.latest += self._source.randint(1, MAX_REPLAY_GAP)
                rows.append((self.latest, *event, at))
            numbers.append(self.latest)
        with self._storage.transaction():
            self._storage.connection.executemany("INSERT INTO _event VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._storage.set_meta(_LAST, str(self.latest))
        for waiter in self.waiters:
            waiter.set()
        return numbers

    def events_after(self, replay: int, topics: Iterable[str], limit: int) -> list[Event]:
        """Return up to `limit` events of these topics after a replay number, in order."""
        self.expire()
        rows = self._storage.connection.execute(
            "SELECT replay, topic, schema_id, uuid, payload FROM _event"
            " WHERE replay > ? AND topic IN (SELECT value FROM json_each(?)) ORDER BY replay LIMIT ?",
            (replay, json.dumps(list(topics)), limit),
        )
        return [Event(*row) for row in rows]

    def events_containing(self, topic: str, text: str, *, among: int, limit: int) -> tuple[list[Event], bool]:
        """Return the latest events of a topic with this text, newest first, and whether older ones may exist."""
        latest = "SELECT replay, topic, schema_id, uuid, payload FROM _event WHERE topic = ? ORDER BY replay DESC"
        rows = self._storage.connection.execute(
            f"SELECT * FROM ({latest} LIMIT ?) WHERE instr(payload, ?) ORDER BY replay DESC LIMIT ?",  # noqa: S608
            (topic, among, text.encode(), limit + 1),
        ).fetchall()
        events = [Event(*row) for row in rows[:limit]]
        if len(rows) > limit:
            return events, True
        older = "SELECT 1 FROM _event WHERE topic = ? ORDER BY replay DESC LIMIT 1 OFFSET ?"
        return events, self._storage.connection.execute(older, (topic, among)).fetchone() is not None

    def decode_replay_id(self, replay_id: bytes) -> int:
        """Return the number of a replay ID that a client kept. InvalidReplayIdError if it cannot be replayed from."""
        self.expire()
        number = int.from_bytes(replay_id, "big") if len(replay_id) == 8 else -1
        if not self.earliest <= number <= self.latest:
            raise InvalidReplayIdError
        return number

    def expire(self) -> None:
        """Delete events that are older than the retention."""
        until = self._clock().timestamp() - self.retention
        oldest = self._storage.connection.execute("SELECT at FROM _event ORDER BY at LIMIT 1").fetchone()
        if oldest is None or oldest[0] > until:
            return
        with self._storage.transaction():
            [last] = self._storage.connection.execute("SELECT MAX(replay) FROM _event WHERE at <= ?", (until,))
            self._storage.connection.execute("DELETE FROM _event WHERE at <= ?", (until,))
            self.earliest = int(last[0])
            self._storage.set_meta(_FLOOR, str(self.earliest))

    def drop_all(self) -> None:
        """Fault injection: delete every event, as after an outage longer than the retention."""
        with self._storage.transaction():
            self._storage.connection.execute("DELETE FROM _event")
            self.latest += 1
            self.earliest = self.latest
            self._storage.set_meta(_LAST, str(self.latest))
            self._storage.set_meta(_FLOOR, str(self.earliest))
