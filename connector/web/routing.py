"""What a route is: declared once, for the server and for the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel

from connector.log import get_logger
from connector.model.keys import normalize_key
from connector.model.money import plain
from connector.model.role import Role
from connector.notifications.composer import NotificationComposer
from connector.orders.policy.rules import Rules
from connector.orders.service import OrderService
from connector.store.engine import Store
from connector.store.tokens import Token
from connector.web.problem import ProblemError
from connector.web.request_body import JSON

LONGEST_FLOW = 600.0
"""Seconds that a reader may take; it holds a connection to the database as long."""

log = get_logger("web")


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """One request that was let in. `body` is what `Route.body` made of it."""

    store: Store
    orders: OrderService
    rules: Rules
    composer: NotificationComposer
    request: web.Request
    token: Token
    body: Any = None

    def at(self, name: str) -> str:
        """A part of the path, as a key; ProblemError 404 if it cannot be one, for then nothing is there."""
        return _key(name, self.request.match_info[name], 404, "unknown")

    def asked(self, name: str) -> str | None:
        """A query parameter; None if it is absent or empty."""
        return self.request.query.get(name) or None

    def keys(self, name: str) -> list[str]:
        """The keys that a query parameter names, once each; an empty one names none."""
        return list(
            dict.fromkeys(_key(name, text, 400, "query") for text in self.request.query.getall(name, ()) if text)
        )

    def key(self, name: str) -> str | None:
        """The key that a query parameter names; None if it is absent or empty."""
        return next(iter(self.keys(name)), None)


@dataclass(frozen=True)
class TextBody:
    """A text that is no JSON."""

    body: str | bytes
    content_type: str


@dataclass(frozen=True)
class StreamBody:
    """A text that is written as it comes, and never held as a whole."""

    pieces: AsyncGenerator[str, None]
    content_type: str


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Route:
    """`queries` are the query parameters with what they mean, `headers` those of the request that the handler heeds;
    `statuses` those of an answer that is no problem, `kind` its content type."""

    method: str
    path: str
    role: Role
    summary: str
    handler: Callable[[RequestContext], Awaitable[ApiResponse]]
    body: type[BaseModel] | None = None
    queries: Mapping[str, str] = field(default_factory=dict)
    headers: Sequence[str] = ()
    statuses: Sequence[int] = (200,)
    kind: str = JSON


def named(call: RequestContext, name: str, said: str | None) -> str:
    """The key in the path; ProblemError where the body names another one, or it is none."""
    key = _key(name, call.request.match_info[name], 422, "input")
    if said is not None and said != key:
        raise ProblemError(422, "input", f"{name}: the path says {key}, the body {said}.", field=name)
    return key


def _key(name: str, text: str, status: int, rule: str) -> str:
    try:
        return normalize_key(text)
    except ValueError as error:
        raise ProblemError(status, rule, f"{name}: {error}.", field=name) from None


async def sent(request: web.Request, answer: ApiResponse) -> web.StreamResponse:
    if isinstance(answer.value, StreamBody):
        return await _flowing(request, answer, answer.value)
    return _whole(answer)


async def _flowing(request: web.Request, answer: ApiResponse, flow: StreamBody) -> web.StreamResponse:
    """What goes wrong before the first piece is refused like anything else. Later it is too late for that: the
    connection is cut, so that nobody takes a part for the whole."""
    response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    response.content_type, response.charset = flow.content_type, "utf-8"
    async with aclosing(flow.pieces) as pieces:
        first = await anext(pieces, "")
        try:
            async with asyncio.timeout(LONGEST_FLOW):
                await response.prepare(request)
                await response.write(first.encode())
                async for piece in pieces:
                    await response.write(piece.encode())
                await response.write_eof()
        except Exception as error:
            log.warning("cut", path=request.path, error=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
    return response


def _whole(answer: ApiResponse) -> web.Response:
    if isinstance(answer.value, TextBody):
        kind = answer.value.content_type
        body = answer.value.body
        body = body.encode() if isinstance(body, str) else body
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(
            status=answer.status, body=body, content_type=kind, charset=charset, headers=dict(answer.headers)
        )
    body = orjson.dumps(answer.value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(status=answer.status, body=body, content_type=JSON, headers=dict(answer.headers))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(type(value).__name__)
