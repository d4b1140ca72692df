"""Subscriptions and calls over one gRPC channel to the Pub/Sub API.

The server sends what was requested and no more: `Subscription.request` is called when events are stored, so memory does
not grow while the database is slow. A stream on which nothing arrives, not even a keep-alive, is taken for dead: it
would stay silent for ever.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import fastavro
import grpc
from google.protobuf.message import Message

from connector.errors import RetryClass
from connector.model.storable_text import storable, storable_values
from connector.salesforce.auth import TokenOwner
from connector.salesforce.pubsub import pubsub_pb2
from connector.salesforce.pubsub.errors import (
    SessionExpiredError,
    SubscriptionError,
    TopicUnavailableError,
    error_for_rpc,
)
from connector.salesforce.pubsub.events import ReceivedEvent, UnreadableEvent

DEFAULT_ENDPOINT = "api.pubsub.salesforce.com:7443"
MAX_REQUESTED = 100
"""The most events that can be outstanding on a stream (Pub/Sub API documentation, "Subscribe RPC Method")."""
KEEPALIVE_SECONDS = 270
"""The server sends an empty response at least this often while events are requested."""
SILENCE_SECONDS = KEEPALIVE_SECONDS + 30
CALL_SECONDS = 30
SCHEMA_ATTEMPTS = 10
"""So often a schema is asked for, each time by a new stream: about six minutes. Then its events are unreadable."""
_SERVICE = "/eventbus.v1.PubSub/"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPTIONS = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One response: events in their order, the replay ID behind them, and how many requested ones are still to come.
    A keep-alive has no events, and a replay ID that must be stored too: that of a quiet topic would expire."""

    events: tuple[ReceivedEvent | UnreadableEvent, ...]
    replay_id: bytes
    pending: int


class PubSubClient:
    """An async context manager: one channel, any number of subscriptions. `tokens` are those of the org's client."""

    def __init__(self, endpoint: str, tokens: TokenOwner) -> None:
        self._endpoint = endpoint or DEFAULT_ENDPOINT
        self._tokens = tokens
        self._schemas: dict[str, Any] = {}
        self._schema_failures: dict[str, int] = {}
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> PubSubClient:
        host = urlsplit(f"//{self._endpoint}").hostname
        if host in _LOOPBACK:  # a local org; everything else is reached by TLS
            self._channel = grpc.aio.insecure_channel(self._endpoint, options=_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.aio.secure_channel(self._endpoint, credentials, options=_OPTIONS)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def renew_session(self) -> None:
        """Sign in again: the token was refused."""
        if (token := self._tokens.current) is not None:
            await self._tokens.renew(token)

    @asynccontextmanager
    async def subscribe(
        self, topic: str, replay_id: bytes | None, *, from_earliest: bool = False
    ) -> AsyncIterator[Subscription]:
        """Open a subscription behind `replay_id`; None: from now on, or `from_earliest` with all events that the org
        still keeps. Raises SubscriptionError, also while it is read."""
        assert self._channel is not None
        call = self._channel.stream_stream(
            f"{_SERVICE}Subscribe",
            request_serializer=pubsub_pb2.FetchRequest.SerializeToString,
            response_deserializer=pubsub_pb2.FetchResponse.FromString,
        )(metadata=await self._metadata())
        subscription = Subscription(self, call, topic)
        try:
            await subscription.open(replay_id, from_earliest=from_earliest)
            yield subscription
        finally:
            call.cancel()

    async def decode(self, event: pubsub_pb2.ConsumerEvent, topic: str) -> ReceivedEvent | UnreadableEvent:
        """Decode one event by its own schema: the events of a channel have several, and a new one in mid-stream when an
        admin adds a field. Raises SubscriptionError if the schema cannot be fetched, `SCHEMA_ATTEMPTS` times at most:
        no event stops its stream for ever."""
        sent, event_id = event.event, storable(event.event.id)
        try:
            schema = await self._schema(sent.schema_id, topic)
            payload = storable_values(fastavro.schemaless_reader(io.BytesIO(sent.payload), schema, None))
        except SessionExpiredError:
            raise
        except SubscriptionError as error:
            failures = self._schema_failures[sent.schema_id] = self._schema_failures.get(sent.schema_id, 0) + 1
            if failures < SCHEMA_ATTEMPTS:
                raise
            reason = f"its schema {sent.schema_id} cannot be fetched: {error.message:.200}"
            return UnreadableEvent(replay_id=event.replay_id, id=event_id, reason=reason)
        except Exception as error:  # fastavro raises whatever the bytes lead to
            reason = f"its payload does not suit schema {sent.schema_id} ({type(error).__name__})"
            return UnreadableEvent(replay_id=event.replay_id, id=event_id, reason=reason)
        if not isinstance(payload, Mapping):
            return UnreadableEvent(replay_id=event.replay_id, id=event_id, reason="its payload is not a record")
        received = ReceivedEvent(replay_id=event.replay_id, id=event_id, payload=payload)
        try:
            _ = received.change
        except (KeyError, TypeError, ValueError) as error:  # a kind of change that is newer than this release
            return UnreadableEvent(
                replay_id=event.replay_id, id=event_id, reason=f"its header is unknown ({type(error).__name__})"
            )
        return received

    async def _schema(self, schema_id: str, topic: str) -> Any:
        if schema_id not in self._schemas:
            request = pubsub_pb2.SchemaRequest(schema_id=schema_id)
            info = await self.call("GetSchema", request, pubsub_pb2.SchemaInfo, topic)
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(info.schema_json))
            self._schema_failures.pop(schema_id, None)
        return self._schemas[schema_id]

    async def topic_schema(self, topic: str) -> tuple[str, Any]:
        """The ID and the parsed schema by which events of a topic are published now. Raises SubscriptionError."""
        request = pubsub_pb2.TopicRequest(topic_name=topic)
        info = await self.call("GetTopic", request, pubsub_pb2.TopicInfo, topic)
        return info.schema_id, await self._schema(info.schema_id, topic)

    async def check_topic(self, topic: str) -> None:
        """Raise SubscriptionError if the topic does not exist, or our user may not subscribe to it."""
        info = await self.call("GetTopic", pubsub_pb2.TopicRequest(topic_name=topic), pubsub_pb2.TopicInfo, topic)
        if not info.can_subscribe:
            raise TopicUnavailableError(
                f"Our user may not subscribe to {topic}.",
                hint="Give our user View All on the objects of the channel, or read access to the event.",
                retry_class=RetryClass.CONFIG,
            )

    async def call(self, name: str, request: Message, response: type[M], topic: str) -> M:
        """Make a call that has one answer. Raises SubscriptionError, which names the topic."""
        assert self._channel is not None
        rpc = self._channel.unary_unary(
            f"{_SERVICE}{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            answer: M = await rpc(request, metadata=await self._metadata(), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise error_for_rpc(error, topic) from error
        return answer

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = await self._tokens.token()
        return (
            ("accesstoken", token.access_token),
            ("instanceurl", token.instance_url),
            ("tenantid", token.org_id),
        )


class Subscription:
    """One open stream."""

    def __init__(self, client: PubSubClient, call: Any, topic: str) -> None:
        self._client = client
        self._call = call
        self._topic = topic

    async def open(self, replay_id: bytes | None, *, from_earliest: bool = False) -> None:
        """Send the first request, which fixes topic and start."""
        preset = pubsub_pb2.ReplayPreset.CUSTOM
        if replay_id is None:
            preset = pubsub_pb2.ReplayPreset.EARLIEST if from_earliest else pubsub_pb2.ReplayPreset.LATEST
        await self._write(
            pubsub_pb2.FetchRequest(
                topic_name=self._topic,
                replay_preset=preset,
                replay_id=replay_id or b"",
                num_requested=MAX_REQUESTED,
            )
        )

    async def request(self, count: int) -> None:
        """Request `count` events more, up to 100 in all."""
        await self._write(pubsub_pb2.FetchRequest(topic_name=self._topic, num_requested=count))

    async def next(self) -> Delivery:
        """The next response. Raises SubscriptionError when the stream ends, or stays silent for too long."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                response = await self._call.read()
        except TimeoutError:
            raise self._ended(f"nothing arrived for {SILENCE_SECONDS} s") from None
        except grpc.aio.AioRpcError as error:
            raise error_for_rpc(error, self._topic) from error
        if response is grpc.aio.EOF:
            raise self._ended("the server ended the stream")
        events = [await self._client.decode(event, self._topic) for event in response.events]
        replay_id = response.events[-1].replay_id if response.events else response.latest_replay_id
        return Delivery(events=tuple(events), replay_id=replay_id, pending=response.pending_num_requested)

    async def _write(self, request: pubsub_pb2.FetchRequest) -> None:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._call.write(request)
        except TimeoutError:
            raise self._ended(f"the server took no request for {CALL_SECONDS} s") from None
        except grpc.aio.AioRpcError as error:
            raise error_for_rpc(error, self._topic) from error
        except asyncio.InvalidStateError:
            raise self._ended("the stream is closed") from None

    def _ended(self, why: str) -> SubscriptionError:
        return SubscriptionError(
            f"{self._topic}: {why}.",
            hint="Nothing to do: it is opened again automatically.",
            retry_class=RetryClass.TRANSIENT,
        )
