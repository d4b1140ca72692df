"""CometD long polling over the event bus (Streaming API developer guide; Bayeux 1.0). Frozen: see README.md.

A client shakes hands, subscribes to channels from a replay ID on, and keeps one `/meta/connect` request waiting. The
org answers it as soon as there are events, or with none after a timeout.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from connector.localorg.api_call import dump_json, parse_json, parse_version
from connector.localorg.errors import Refusal, not_found
from connector.localorg.events import event_json
from connector.localorg.events.bus import InvalidReplayIdError, encode_replay_id

if TYPE_CHECKING:
    from connector.localorg.events.bus import Event
    from connector.localorg.org import Org

POLL_SECONDS = 110.0
IDLE_SECONDS = 40.0  # a client that does not poll is dropped
MAX_CLIENTS = 1_000
MAX_EVENTS = 100
NEW, ALL = -1, -2
LIMIT_REACHED = "403::Organization total events daily limit exceeded"
EVENT_NAME_SINCE_VERSION = 55.0  # custom channels name the event since this API version
_EXT = {"replay": True, "payload.format": True}
_RETRY = {"interval": 0, "timeout": int(POLL_SECONDS * 1000), "reconnect": "retry"}
_HANDSHAKE = {"interval": 0, "reconnect": "handshake"}

BayeuxMessage = dict[str, Any]


@dataclass
class _Client:
    positions: dict[str, int] = field(default_factory=dict)  # by channel
    seen: float = field(default_factory=time.monotonic)
    polled: bool = False
    polling: bool = False
    version: float = 0.0


MAX_MESSAGES = 100


class CometD:
    """The endpoint `/cometd/<version>`."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.poll_seconds = POLL_SECONDS
        self._clients: dict[str, _Client] = {}

    async def handle(self, _: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
        if len(segments) not in {2, 3} or request.method != "POST":
            raise not_found()
        version = float(parse_version(f"v{segments[1]}"))
        messages = parse_json(await request.read())
        messages = [messages] if isinstance(messages, dict) else messages
        if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
            raise Refusal("INVALID_INPUT", "An array of messages is needed.")
        if len(messages) > MAX_MESSAGES:
            raise Refusal("LIMIT_EXCEEDED", f"At most {MAX_MESSAGES} messages can be sent in one request.")
        authenticated = self.org.auth.bearer_session(request.headers.get("Authorization")) is not None
        self._drop_idle_clients()
        replies: list[BayeuxMessage] = []
        for message in messages:
            replies += await self._handle_message(message, version) if authenticated else [_unauthenticated(message)]
        response = web.Response(
            status=200 if authenticated else 401,
            body=dump_json(replies),
            content_type="application/json",
            charset="UTF-8",
        )
        if not request.cookies.get("BAYEUX_BROWSER"):
            response.set_cookie("BAYEUX_BROWSER", secrets.token_hex(8), path="/", httponly=True)
        return response

    def _drop_idle_clients(self) -> None:
        now = time.monotonic()
        for name, client in list(self._clients.items()):
            if not client.polling and now - client.seen > IDLE_SECONDS + self.poll_seconds:
                del self._clients[name]

    async def _handle_message(self, message: BayeuxMessage, version: float) -> list[BayeuxMessage]:
        channel = str(message.get("channel", ""))
        if channel == "/meta/handshake":
            return [self._handshake(message)]
        client = self._clients.get(str(message.get("clientId", "")))
        if client is None:
            return [_failure(message, "403::Unknown client", advice=_HANDSHAKE)]
        client.seen, client.version = time.monotonic(), version
        match channel:
            case "/meta/connect":
                return await self._connect(message, client)
            case "/meta/subscribe":
                return [self._subscribe(message, client)]
            case "/meta/unsubscribe":
                for name in _subscription_names(message):
                    client.positions.pop(name, None)
                return [_success(message, subscription=message.get("subscription"))]
            case "/meta/disconnect":
                del self._clients[str(message["clientId"])]
                return [_success(message)]
        return [_failure(message, f"403:{channel}:Publish is not allowed")]

    def _handshake(self, message: BayeuxMessage) -> BayeuxMessage:
        connection_types = message.get("supportedConnectionTypes") or ["long-polling"]
        if not isinstance(connection_types, list) or "long-polling" not in connection_types:
            return _failure(message, "412::Only long-polling is supported", advice={"reconnect": "none"})
        if len(self._clients) >= MAX_CLIENTS:
            return _failure(message, "403::Organization concurrent user limit exceeded", advice={"reconnect": "none"})
        name = secrets.token_hex(16)
        self._clients[name] = _Client()
        return _success(
            message,
            clientId=name,
            version="1.0",
            minimumVersion="1.0",
            supportedConnectionTypes=["long-polling"],
            ext=_EXT,
            advice=_RETRY,
        )

    def _subscribe(self, message: BayeuxMessage, client: _Client) -> BayeuxMessage:
        extensions = message.get("ext") or {}
        replay = extensions.get("replay") if isinstance(extensions, Mapping) else None
        for name in _subscription_names(message):
            if self.org.hub.resolve_topics(name) is None:
                return _failure(message, f"404::The channel {name[:200]} was not found", subscription=name)
            replay_id = replay.get(name, NEW) if isinstance(replay, Mapping) else NEW
            try:
                client.positions[name] = self._decode_replay(replay_id)
            except InvalidReplayIdError:
                return _failure(
                    message,
                    f"400::The replayId {{{replay_id}}} you provided was invalid. Please provide a valid ID, -2 to"
                    " replay all events, or -1 to replay only new events.",
                    subscription=name,
                )
        return _success(message, subscription=message.get("subscription"))

    def _decode_replay(self, replay: Any) -> int:
        bus = self.org.hub.bus
        bus.expire()
        if replay == NEW:
            return bus.latest
        if replay == ALL:
            return bus.earliest
        if not isinstance(replay, int) or not 0 <= replay < 2**63:
            raise InvalidReplayIdError
        return bus.decode_replay_id(encode_replay_id(replay))

    async def _connect(self, message: BayeuxMessage, client: _Client) -> list[BayeuxMessage]:
        first, client.polled = not client.polled, True
        events = self._take_events(client)
        if not events and not first:
            woken = asyncio.Event()
            self.org.hub.bus.waiters.add(woken)
            client.polling = True
            try:
                async with asyncio.timeout(self.poll_seconds):
                    while not events and not self._limit_reached(client):
                        woken.clear()
                        await woken.wait()
                        events = self._take_events(client)
            except TimeoutError:
                pass
            finally:
                self.org.hub.bus.waiters.discard(woken)
                client.polling = False
                client.seen = time.monotonic()
        if not events and self._limit_reached(client):
            return [_failure(message, LIMIT_REACHED, advice={"reconnect": "none"})]
        return [*events, _success(message, advice=_RETRY)]

    def _limit_reached(self, client: _Client) -> bool:
        """Whether events wait that the delivery allowance of the day no longer covers."""
        return self.org.usage.deliverable == 0 and any(
            self.org.hub.bus.events_after(position, self.org.hub.resolve_topics(channel) or set(), 1)
            for channel, position in client.positions.items()
        )

    def _take_events(self, client: _Client) -> list[BayeuxMessage]:
        """Return the events that the client's subscriptions have not received yet."""
        messages: list[BayeuxMessage] = []
        bus = self.org.hub.bus
        for channel, position in client.positions.items():
            topics = self.org.hub.resolve_topics(channel) or set()
            left = self.org.usage.deliverable
            most = MAX_EVENTS if left is None else min(MAX_EVENTS, left - len(messages))
            if most <= 0:
                break
            events = bus.events_after(position, topics, most)
            client.positions[channel] = events[-1].replay if events else max(position, bus.latest)
            with_name = client.version >= EVENT_NAME_SINCE_VERSION and channel.endswith("__chn")
            messages += [self._render_event(channel, event, with_name=with_name) for event in events]
        self.org.usage.delivered.add(len(messages))
        return messages

    def _render_event(self, channel: str, event: Event, *, with_name: bool) -> BayeuxMessage:
        schema = self.org.hub.schema_by_id(event.schema_id)
        assert schema is not None
        event_info = {"EventUuid": event.uuid, "replayId": event.replay}
        if with_name:
            event_info["EventApiName"] = event.topic.rpartition("/")[2]
        data = {
            "schema": event.schema_id,
            "payload": event_json.render_payload(schema, event.payload),
            "event": event_info,
        }
        return {"channel": channel, "data": data}


def _subscription_names(message: BayeuxMessage) -> list[str]:
    subscription = message.get("subscription")
    return [str(item) for item in subscription] if isinstance(subscription, list) else [str(subscription or "")]


def _success(message: BayeuxMessage, **more: Any) -> BayeuxMessage:
    reply = {"channel": message.get("channel"), "successful": True, **more}
    return {**{name: message[name] for name in ("id", "clientId") if name in message}, **reply}


def _failure(message: BayeuxMessage, error: str, **more: Any) -> BayeuxMessage:
    return {**_success(message, **more), "successful": False, "error": error}


def _unauthenticated(message: BayeuxMessage) -> BayeuxMessage:
    if message.get("channel") == "/meta/handshake":
        reason = {"sfdc": {"failureReason": "401::Request requires authentication"}, **_EXT}
        return _failure(message, "403::Handshake denied", ext=reason, advice={"reconnect": "none"})
    return _failure(message, "401::Authentication invalid", advice=_HANDSHAKE)
