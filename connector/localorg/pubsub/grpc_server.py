"""The Pub/Sub API: a gRPC service over the event bus. Errors carry an `error-code` trailer.

A subscriber pulls: it requests up to 100 events at a time, and the stream ends when it requests nothing for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from connector.localorg.events.bus import Event, InvalidReplayIdError, encode_replay_id
from connector.localorg.events.managed_subscriptions import (
    ManagedSubscription,
    SubscriptionError,
    SubscriptionInUseError,
    SubscriptionNotFoundError,
    SubscriptionStoppedError,
    UnnamedSubscriptionError,
)
from connector.localorg.pubsub import grpc_codec
from connector.localorg.pubsub.fetch_state import FetchState
from connector.localorg.pubsub.publisher import Publisher
from connector.localorg.pubsub.rpc_error import RpcError, invalid_argument, topic_not_found

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.pubsub.rpc_error import Context

    Handler = grpc.RpcMethodHandler[Any, Any]

MAX_STREAMS = 1_000
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
)
Code = grpc.StatusCode
_SUBSCRIPTION_STATUS: dict[type[SubscriptionError], grpc.StatusCode] = {
    UnnamedSubscriptionError: Code.INVALID_ARGUMENT,
    SubscriptionNotFoundError: Code.NOT_FOUND,
    SubscriptionStoppedError: Code.FAILED_PRECONDITION,
    SubscriptionInUseError: Code.ALREADY_EXISTS,
}


class PubSubService(grpc.GenericRpcHandler):
    """The six calls of `eventbus.v1.PubSub`."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.hub = org.hub
        self.managed = org.managed_subscriptions
        self._streams = 0
        publisher = Publisher(org, self._latency)
        calls: dict[str, Callable[..., Any]] = {
            "GetTopic": self._get_topic,
            "GetSchema": self._get_schema,
            "Publish": publisher.publish,
            "PublishStream": publisher.publish_stream,
            "Subscribe": self._subscribe,
            "ManagedSubscribe": self._managed_subscribe,
        }
        self._handlers = {f"/{grpc_codec.SERVICE}/{name}": self._handler(name, act) for name, act in calls.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        return self._handlers.get(handler_call_details.method)

    def server(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((self,))
        return server

    def _handler(self, name: str, act: Callable[..., Any]) -> Handler:
        request, response, streams_in, streams_out = grpc_codec.METHODS[name]
        make = grpc.stream_stream_rpc_method_handler if streams_in else grpc.unary_unary_rpc_method_handler
        assert streams_in == streams_out
        return make(
            self._stream_call(act) if streams_in else self._unary_call(act),
            request_deserializer=_deserializer(grpc_codec.message_class(request)),
            response_serializer=grpc_codec.message_class(response).SerializeToString,
        )

    def _unary_call(self, act: Callable[..., Awaitable[Any]]) -> Any:
        async def call(request: Any, context: Context) -> Any:
            rpc_id = str(uuid.uuid4())
            try:
                if request is None:
                    raise invalid_argument("request.invalid", "The message cannot be read.")
                user_id = self._check_token(self._authenticate(context))
                await self._latency()
                return await act(request, rpc_id, user_id)
            except RpcError as failure:
                await failure.abort(context, rpc_id)

        return call

    def _stream_call(self, act: Callable[..., AsyncIterator[Any]]) -> Any:
        async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            rpc_id = str(uuid.uuid4())
            try:
                token = self._authenticate(context)
                with self._count_stream():
                    async for response in act(requests, rpc_id, lambda: self._check_token(token)):
                        yield response
            except RpcError as failure:
                await failure.abort(context, rpc_id)

        return call

    # -- who calls ---------------------------------------------------------------------------------------------------

    def _authenticate(self, context: Context) -> str:
        """Return the caller's access token after checking all three headers."""
        headers = {str(key): value for key, value in context.invocation_metadata() or ()}
        token, url, tenant = (str(headers.get(name, "")) for name in ("accesstoken", "instanceurl", "tenantid"))
        organization = self.org.auth.identity.organization_id
        if not token or not url.startswith(("http://", "https://")) or tenant not in {organization, organization[:15]}:
            raise RpcError(
                Code.UNAUTHENTICATED,
                "service.auth.headers.invalid",
                "The accesstoken, instanceurl and tenantid headers are needed: a token, the org's URL and its ID.",
            )
        self._check_token(token)
        return token

    def _check_token(self, token: str) -> str:
        """Return the user of an access token."""
        session = self.org.auth.read_session(token)
        if session is None or session.kind != "A":
            raise RpcError(Code.UNAUTHENTICATED, "service.auth.error", "The access token is invalid or has expired.")
        return session.user_id

    @contextmanager
    def _count_stream(self) -> Iterator[None]:
        if self._streams >= MAX_STREAMS:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                "service.protection.stream.limit.triggered",
                "There are too many concurrent streams.",
            )
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def _latency(self) -> None:
        if self.org.faults.latency_ms:
            await asyncio.sleep(self.org.faults.latency_ms / 1000)

    # -- topics and schemas ------------------------------------------------------------------------------------------

    async def _get_topic(self, request: Any, rpc_id: str, user_id: str) -> Any:
        name = request.topic_name
        self._require_topics(name)
        schema = self.hub.schema_for_topic(name)
        return grpc_codec.message_class("TopicInfo")(
            topic_name=name,
            tenant_guid=f"core/local/{self.org.auth.identity.organization_id}",
            can_publish=self.hub.can_publish(name),
            can_subscribe=True,
            schema_id=schema.id if schema else "",
            rpc_id=rpc_id,
        )

    async def _get_schema(self, request: Any, rpc_id: str, user_id: str) -> Any:
        schema = self.hub.schema_by_id(request.schema_id)
        if schema is None:
            text = f"There is no schema with the ID '{request.schema_id[:80]}'."
            raise invalid_argument("schema.validation.failed", text)
        return grpc_codec.message_class("SchemaInfo")(schema_json=schema.json, schema_id=schema.id, rpc_id=rpc_id)

    def _require_topics(self, name: str) -> set[str]:
        if not name:
            raise invalid_argument("topic.validation.empty", "The topic name must not be empty.")
        topics = self.hub.resolve_topics(name)
        if topics is None:
            raise topic_not_found(name)
        return topics

    # -- subscribing -------------------------------------------------------------------------------------------------

    async def _subscribe(self, requests: AsyncIterator[Any], rpc_id: str, check: Callable[[], str]) -> Any:
        first = await self._first_request(requests)
        self._require_topics(first.topic_name)
        fetch = FetchState(first.topic_name, self._start_position(first))

        def handle_request(request: Any) -> None:
            if request.topic_name and request.topic_name != fetch.topic:
                raise invalid_argument("subscription.fetch.topic.mismatch", "The topic of a stream cannot be changed.")
            fetch.request_events(request.num_requested)

        handle_request(first)
        async for events, latest in self._stream_events(fetch, requests, handle_request, check):
            yield grpc_codec.message_class("FetchResponse")(
                events=events, latest_replay_id=latest, rpc_id=rpc_id, pending_num_requested=fetch.pending
            )

    async def _managed_subscribe(self, requests: AsyncIterator[Any], rpc_id: str, check: Callable[[], str]) -> Any:
        first = await self._first_request(requests)
        commit_responses: list[Any] = []
        with self._acquire(first) as subscription:
            fetch = FetchState(subscription.topic, self.managed.start_position(subscription), managed=subscription)

            def handle_request(request: Any) -> None:
                if request.HasField("commit_replay_id_request"):
                    commit_responses.append(self._commit(subscription, request.commit_replay_id_request))
                elif request.num_requested <= 0:
                    fetch.request_events(request.num_requested)
                if request.num_requested > 0:
                    fetch.request_events(request.num_requested)

            handle_request(first)
            async for events, latest in self._stream_events(fetch, requests, handle_request, check, commit_responses):
                response = grpc_codec.message_class("ManagedFetchResponse")(
                    events=events, latest_replay_id=latest, rpc_id=rpc_id, pending_num_requested=fetch.pending
                )
                if commit_responses:
                    response.commit_response.CopyFrom(commit_responses.pop(0))
                yield response

    @contextmanager
    def _acquire(self, request: Any) -> Iterator[ManagedSubscription]:
        try:
            with self.managed.acquire(request.subscription_id, request.developer_name) as subscription:
                yield subscription
        except SubscriptionError as error:
            raise RpcError(
                _SUBSCRIPTION_STATUS[type(error)], f"managed.subscription.{error.code}", str(error)
            ) from None

    def _commit(self, subscription: ManagedSubscription, request: Any) -> Any:
        """The response to a commit. A bad replay ID is an error in the response, and the stream goes on."""
        response = grpc_codec.message_class("CommitReplayResponse")(
            commit_request_id=request.commit_request_id,
            replay_id=request.replay_id,
            process_time=round(time.time() * 1000),
        )
        try:
            self.managed.commit(subscription, bytes(request.replay_id))
        except InvalidReplayIdError:
            response.error.code = grpc_codec.COMMIT_ERROR
            response.error.msg = "The Replay ID validation failed. Ensure that the Replay ID is valid."
        return response

    async def _first_request(self, requests: AsyncIterator[Any]) -> Any:
        try:
            async with asyncio.timeout(self.hub.fetch_seconds):
                first = await anext(aiter(requests), None)
        except TimeoutError:
            first = None
        if first is None:
            raise invalid_argument("subscription.fetch.request.invalid", "A stream begins with a request.")
        return first

    def _start_position(self, request: Any) -> int:
        match request.replay_preset:
            case grpc_codec.EARLIEST:
                self.hub.bus.expire()
                return self.hub.bus.earliest
            case grpc_codec.CUSTOM:
                if not request.replay_id:
                    raise invalid_argument(
                        "subscription.fetch.replayid.validation.failed", "CUSTOM needs a replay ID to start after."
                    )
                return self.decode_replay_id(bytes(request.replay_id))
        return self.hub.bus.latest

    def decode_replay_id(self, replay_id: bytes) -> int:
        try:
            return self.hub.bus.decode_replay_id(replay_id)
        except InvalidReplayIdError:
            raise invalid_argument(
                "subscription.fetch.replayid.corrupted",
                "The Replay ID validation failed. Ensure that the Replay ID is valid.",
            ) from None

    async def _stream_events(
        self,
        fetch: FetchState,
        requests: AsyncIterator[Any],
        handle_request: Callable[[Any], None],
        check: Callable[[], str],
        commit_responses: Sequence[Any] = (),
    ) -> AsyncIterator[tuple[list[Any], bytes]]:
        """Yield requested events as they come, and an empty list with the latest position as a keepalive."""
        woken = asyncio.Event()
        failure: list[RpcError] = []

        async def listen() -> None:
            try:
                async for request in requests:
                    if request is None:
                        raise invalid_argument("subscription.fetch.request.invalid", "The message cannot be read.")
                    handle_request(request)
                    woken.set()
            except RpcError as error:
                failure.append(error)
            finally:
                fetch.ended = True
                woken.set()

        listener = asyncio.create_task(listen())
        self.hub.bus.waiters.add(woken)
        sent_at = asyncio.get_running_loop().time()
        try:
            while True:
                woken.clear()
                check()
                if failure:
                    raise failure[0]
                if fetch.ended:
                    return
                if fetch.pending and (events := self._next_events(fetch)):
                    await self._delay_delivery(len(events))
                    yield [_consumer_event(event) for event in events], encode_replay_id(fetch.position)
                    self._break_stream_if_set()
                elif not commit_responses and await self._wait_for_event(woken, fetch, sent_at):
                    continue
                elif commit_responses or fetch.pending:
                    yield [], encode_replay_id(fetch.position)
                else:
                    return
                sent_at = asyncio.get_running_loop().time()
        finally:
            self.hub.bus.waiters.discard(woken)
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    def _next_events(self, fetch: FetchState) -> list[Event]:
        """Return the next events of a subscription and move its position behind them."""
        faults, bus = self.org.faults, self.hub.bus
        left = self.org.usage.deliverable
        events = bus.events_after(
            fetch.position,
            self._require_topics(fetch.topic),
            fetch.pending if left is None else min(fetch.pending, left + 1),
        )
        if faults.take("event_limit") or (left == 0 and events):
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                "subscription.limit.exceeded",
                "You have exceeded the event delivery limit for your org.",
            )
        events = events if left is None else events[:left]
        # What lies between is none of this topic's: a subscriber that keeps the latest position skips it.
        fetch.position = events[-1].replay if events else max(fetch.position, bus.latest)
        fetch.pending -= len(events)
        self.org.usage.delivered.add(len(events))
        return events

    async def _delay_delivery(self, count: int) -> None:
        if self.org.faults.event_delay_ms:
            await asyncio.sleep(self.org.faults.event_delay_ms * count / 1000)

    def _break_stream_if_set(self) -> None:
        if self.org.faults.take("stream_break"):
            raise RpcError(Code.UNAVAILABLE, "service.unavailable", "The service is being restarted.")

    async def _wait_for_event(self, woken: asyncio.Event, fetch: FetchState, sent_at: float) -> bool:
        """Wait until something happens, perhaps on another topic. Return False if the keepalive or fetch time, counted
        from the last response (`sent_at`), ends first."""
        deadline = sent_at + (self.hub.keepalive_seconds if fetch.pending else self.hub.fetch_seconds)
        try:
            async with asyncio.timeout_at(deadline):
                await woken.wait()
        except TimeoutError:
            return False
        return True


def _consumer_event(event: Event) -> Any:
    produced = grpc_codec.message_class("ProducerEvent")(
        id=event.uuid, schema_id=event.schema_id, payload=event.payload
    )
    return grpc_codec.message_class("ConsumerEvent")(event=produced, replay_id=event.replay_id)


def _deserializer(kind: Any) -> Callable[[bytes], Any]:
    """Return a function that parses a message, or gives None for bytes that are none: the handler then refuses them."""

    def read(raw: bytes) -> Any:
        try:
            return kind.FromString(raw)
        except DecodeError:
            return None

    return read
