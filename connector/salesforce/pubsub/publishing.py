"""Publishes platform events by the Pub/Sub API: up to 200 with one call, which counts as no API request.

Each event has an outcome of its own; the answer to the call alone says nothing of them (Pub/Sub API documentation,
"Publish RPC Method").
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import fastavro

from connector.salesforce.pubsub import pubsub_pb2
from connector.salesforce.pubsub.subscription import PubSubClient

EVENTS_PER_CALL = 200
"""Recommended for one call, with 3 MB at most (Pub/Sub API documentation, "Publish RPC Method"). Ours have less than
one kilobyte each."""
_LIMIT_WORDS = ("limit_exceeded", "limit exceeded", "hourly limit", "allocation")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishRefusal:
    """Why the org did not take an event. `is_limit`: it may publish no more events in this hour, whichever."""

    reason: str
    is_limit: bool = False


class EventPublisher:
    """Publishes to any topic over one channel. `user_id` is our user, whom the schema names; the org writes the one of
    the session."""

    def __init__(self, client: PubSubClient, user_id: str) -> None:
        self._client = client
        self._user_id = user_id
        self._schemas: dict[str, tuple[str, Any]] = {}

    async def publish(
        self, topic: str, events: Sequence[tuple[str, Mapping[str, Any]]], now: datetime
    ) -> list[PublishRefusal | None]:
        """Publish events (ID, fields) and return for each why the org did not take it, None if it did.

        Fields that the org does not have are left out. Raises SubscriptionError if the call failed: then some of the
        events may have been taken.
        """
        outcomes = await self._attempt(topic, events, now)
        failed = [place for place, outcome in enumerate(outcomes) if outcome is not None and not outcome.is_limit]
        if failed and await self._has_new_schema(topic):  # an admin has added or removed a field
            again = await self._attempt(topic, [events[place] for place in failed], now)
            for place, outcome in zip(failed, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def _attempt(
        self, topic: str, events: Sequence[tuple[str, Mapping[str, Any]]], now: datetime
    ) -> list[PublishRefusal | None]:
        if topic not in self._schemas:
            self._schemas[topic] = await self._client.topic_schema(topic)
        schema_id, schema = self._schemas[topic]
        common = {"CreatedDate": round(now.timestamp() * 1000), "CreatedById": self._user_id}
        outcomes: list[PublishRefusal | None] = [None] * len(events)
        encoded: dict[int, pubsub_pb2.ProducerEvent] = {}
        for place, (event_id, fields) in enumerate(events):
            buffer = io.BytesIO()
            try:
                fastavro.schemaless_writer(buffer, schema, {**fields, **common})
            except Exception as error:  # fastavro raises whatever a value leads to
                reason = f"It does not suit the schema of the event in the org: {error!r:.200}"
                outcomes[place] = PublishRefusal(reason=reason)
                continue
            uuid = str(uuid5(NAMESPACE_URL, f"{topic}/{event_id}"))
            encoded[place] = pubsub_pb2.ProducerEvent(id=uuid, schema_id=schema_id, payload=buffer.getvalue())
        if not encoded:
            return outcomes
        request = pubsub_pb2.PublishRequest(topic_name=topic, events=list(encoded.values()))
        response = await self._client.call("Publish", request, pubsub_pb2.PublishResponse, topic)
        for place, result in zip(encoded, response.results, strict=True):
            if result.HasField("error"):
                reason = result.error.msg or "The org gave no reason."
                outcomes[place] = PublishRefusal(reason=reason, is_limit=_is_limit(reason))
        return outcomes

    async def _has_new_schema(self, topic: str) -> bool:
        before, _ = self._schemas.pop(topic)
        self._schemas[topic] = await self._client.topic_schema(topic)
        return self._schemas[topic][0] != before


def _is_limit(reason: str) -> bool:
    return any(words in reason.lower() for words in _LIMIT_WORDS)
