"""The publish calls of the Pub/Sub API. Each event has its own result; only a bad request as a whole ends the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from connector.localorg.events.bus import encode_replay_id
from connector.localorg.pubsub import grpc_codec
from connector.localorg.pubsub.rpc_error import RpcError, invalid_argument, topic_not_found

if TYPE_CHECKING:
    from connector.localorg.org import Org

Code = grpc.StatusCode
MAX_EVENT_BYTES = 1024 * 1024


class Publisher:
    """The two publish calls. They await `latency` before every response."""

    def __init__(self, org: Org, latency: Callable[[], Awaitable[None]]) -> None:
        self.org = org
        self.hub = org.hub
        self._latency = latency

    async def publish(self, request: Any, rpc_id: str, user_id: str) -> Any:
        return self._publish_events(request, request.topic_name, rpc_id, user_id)

    async def publish_stream(self, requests: AsyncIterator[Any], rpc_id: str, check: Callable[[], str]) -> Any:
        topic = ""
        source = aiter(requests)
        while True:
            try:
                async with asyncio.timeout(self.hub.fetch_seconds):
                    request = await anext(source, None)
            except TimeoutError:
                raise RpcError(
                    Code.DEADLINE_EXCEEDED,
                    "publish.stream.sweeper.timeout",
                    "Nothing was published for too long.",
                ) from None
            if request is None:
                return
            user_id = check()
            topic = topic or request.topic_name
            if request.topic_name and request.topic_name != topic:
                raise invalid_argument("publish.topic.mismatch", "The topic of a stream cannot be changed.")
            await self._latency()
            yield self._publish_events(request, topic, rpc_id, user_id)

    def _publish_events(self, request: Any, topic: str, rpc_id: str, user_id: str) -> Any:
        if not topic:
            raise invalid_argument("publish.topic.validation.empty", "The topic name must not be empty.")
        if self.hub.resolve_topics(topic) is None:
            raise topic_not_found(topic)
        if not self.hub.can_publish(topic):
            raise RpcError(Code.PERMISSION_DENIED, "topic.meta.permission", f"Nothing can be published to {topic}.")
        if not request.events:
            raise invalid_argument("publish.event.count.invalid", "There is no event to publish.")
        with self.org.dml.acting_as(user_id):
            results = [self._publish_event(topic, event) for event in request.events]
        schema = self.hub.schema_for_topic(topic)
        return grpc_codec.message_class("PublishResponse")(
            results=results, schema_id=schema.id if schema else "", rpc_id=rpc_id
        )

    def _publish_event(self, topic: str, event: Any) -> Any:
        try:
            if self.org.faults.take("publish_failure"):
                raise ValueError("The event could not be published. Try again.")
            if len(event.payload) > MAX_EVENT_BYTES:
                raise ValueError("The event message is larger than 1 MB.")
            number = self.hub.publish_encoded(topic, event.schema_id, event.payload, event.id)
        except ValueError as error:
            problem = grpc_codec.message_class("Error")(code=grpc_codec.PUBLISH_ERROR, msg=str(error))
            return grpc_codec.message_class("PublishResult")(error=problem, correlation_key=event.id)
        return grpc_codec.message_class("PublishResult")(replay_id=encode_replay_id(number), correlation_key=event.id)
