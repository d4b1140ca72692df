"""Publishing by the Pub/Sub API: each event has its own result, and only the whole request can end the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from connector.localorg.events.bus import as_replay_id
from connector.localorg.pubsub import grpc_codec
from connector.localorg.pubsub.rpc_error import RpcFailure, invalid, not_found

if TYPE_CHECKING:
    from connector.localorg.org import Org

Code = grpc.StatusCode
LARGEST_EVENT = 1024 * 1024


class Publisher:
    """The two calls that publish. `latency` is waited before every answer."""

    def __init__(self, org: Org, latency: Callable[[], Awaitable[None]]) -> None:
        self.org = org
        self.hub = org.hub
        self._latency = latency

    async def publish(self, request: Any, rpc_id: str) -> Any:
        return self._published(request, request.topic_name, rpc_id)

    async def publish_stream(self, requests: AsyncIterator[Any], rpc_id: str, check: Callable[[], None]) -> Any:
        topic = ""
        source = aiter(requests)
        while True:
            try:
                async with asyncio.timeout(self.hub.fetch_seconds):
                    request = await anext(source, None)
            except TimeoutError:
                raise RpcFailure(
                    Code.DEADLINE_EXCEEDED,
                    "publish.stream.sweeper.timeout",
                    "Nothing was published for too long.",
                ) from None
            if request is None:
                return
            check()
            topic = topic or request.topic_name
            if request.topic_name and request.topic_name != topic:
                raise invalid("publish.topic.mismatch", "The topic of a stream cannot be changed.")
            await self._latency()
            yield self._published(request, topic, rpc_id)

    def _published(self, request: Any, topic: str, rpc_id: str) -> Any:
        if not topic:
            raise invalid("publish.topic.validation.empty", "The topic name must not be empty.")
        if self.hub.topics(topic) is None:
            raise not_found(topic)
        if not self.hub.can_publish(topic):
            raise RpcFailure(Code.PERMISSION_DENIED, "topic.meta.permission", f"Nothing can be published to {topic}.")
        if not request.events:
            raise invalid("publish.event.count.invalid", "There is no event to publish.")
        results = [self._result(topic, event) for event in request.events]
        schema = self.hub.current(topic)
        return grpc_codec.message("PublishResponse")(
            results=results, schema_id=schema.id if schema else "", rpc_id=rpc_id
        )

    def _result(self, topic: str, event: Any) -> Any:
        try:
            if self.org.faults.take("publish_failure"):
                raise ValueError("The event could not be published. Try again.")
            if len(event.payload) > LARGEST_EVENT:
                raise ValueError("The event message is larger than 1 MB.")
            number = self.hub.publish_encoded(topic, event.schema_id, event.payload, event.id)
        except ValueError as error:
            problem = grpc_codec.message("Error")(code=grpc_codec.PUBLISH_ERROR, msg=str(error))
            return grpc_codec.message("PublishResult")(error=problem, correlation_key=event.id)
        return grpc_codec.message("PublishResult")(replay_id=as_replay_id(number), correlation_key=event.id)
