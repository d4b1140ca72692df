"""Routes, declared once for the server and for the OpenAPI document, and the requests and responses of handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel

from connector.jobs.conflict_resolution import ConflictResolver
from connector.jobs.mappings.admin import MappingAdmin
from connector.jobs.schedule import JobDefinition
from connector.jobs.undo import Undoer
from connector.log import get_logger
from connector.model.allowances import AllowancePolicies
from connector.model.health_check import DoctorReport
from connector.model.keys import normalize_key
from connector.model.money import plain
from connector.model.role import Role
from connector.notifications.composer import NotificationComposer
from connector.orders.service import OrderService
from connector.store.engine import Store
from connector.store.tokens import Token
from connector.web.problem import ProblemError
from connector.web.request_body import JSON, read_body

OF_ORG = "only of the org of this name, `default` for the default one; without it, of all"
MAX_STREAM_SECONDS = 600.0
"""Seconds that a client can take to read a response; a stream holds a database connection for as long."""

log = get_logger("web")

B = TypeVar("B", bound=BaseModel)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """An authenticated request, with the services that a handler uses."""

    store: Store
    orders: OrderService
    composer: NotificationComposer
    conflict_resolver: Callable[[], ConflictResolver]
    mappings: MappingAdmin
    allowances: AllowancePolicies
    jobs: Sequence[JobDefinition]
    partitions: int
    doctor: Callable[[], Awaitable[DoctorReport]]
    undoer: Undoer
    request: web.Request
    token: Token

    def path_key(self, name: str) -> str:
        """Return a path parameter as a key; raises ProblemError 404 if it is not a valid key."""
        return _key(name, self.request.match_info[name], 404, "unknown")

    def query_value(self, name: str) -> str | None:
        """Return a query parameter; None if it is absent or empty."""
        return self.request.query.get(name) or None

    def query_choice(self, name: str, among: type[E]) -> E | None:
        """Return a query parameter that has one of these values; None if it is absent or empty."""
        value = self.query_value(name)
        if value is None:
            return None
        if value not in set(among):
            hint = f"Use one of {', '.join(among)}."
            raise ProblemError(400, "query", f"{name}: invalid value {value[:80]!r}.", field=name, hint=hint)
        return among(value)

    def query_keys(self, name: str) -> list[str]:
        """Return the distinct keys of a repeatable query parameter; an empty value is skipped."""
        return list(
            dict.fromkeys(_key(name, text, 400, "query") for text in self.request.query.getall(name, ()) if text)
        )

    def query_key(self, name: str) -> str | None:
        """Return a query parameter as a key; None if it is absent or empty."""
        return next(iter(self.query_keys(name)), None)


@dataclass(frozen=True)
class TextBody:
    """A response body that is not JSON."""

    body: str | bytes
    content_type: str


@dataclass(frozen=True)
class StreamBody:
    """A response body that is streamed piece by piece."""

    pieces: AsyncGenerator[str, None]
    content_type: str


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """A response. `value`: a TextBody, a StreamBody, or a value that is sent as JSON. `is_versioned`: its ETag is that
    of all that it says, and not only of what a condition is about."""

    value: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_versioned: bool = True


@dataclass(frozen=True)
class BodyHandler(Generic[B]):
    """A handler of requests that have a body. It reads the body as `model` and passes it to `handle`."""

    model: type[B]
    handle: Callable[[RequestContext, B], Awaitable[ApiResponse]]

    async def __call__(self, call: RequestContext) -> ApiResponse:
        return await self.handle(call, await read_body(call.request, self.model))


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route of the API.

    `queries`: query parameters with their description; `choices`: the values of those that have only some, by name;
    `required`: those that must be given. `headers`: request headers that the handler reads. `statuses`:
    status codes of success. `kind`: the content type of a successful response; `result`: the dataclass that its JSON
    is made of, for the OpenAPI document. `by_org`: the parameter `org` chooses one of several orgs.
    """

    method: str
    path: str
    role: Role
    summary: str
    handler: Callable[[RequestContext], Awaitable[ApiResponse]]
    queries: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Iterable[str]] = field(default_factory=dict)
    required: Sequence[str] = ()
    headers: Sequence[str] = ()
    statuses: Sequence[int] = (200,)
    kind: str = JSON
    result: type | None = None
    by_org: bool = False

    @property
    def all_queries(self) -> Mapping[str, str]:
        """The query parameters, with `org` if it has that."""
        return {**self.queries, **({"org": OF_ORG} if self.by_org else {})}

    @property
    def body(self) -> type[BaseModel] | None:
        """The type of the request's body; None for requests without one."""
        return self.handler.model if isinstance(self.handler, BodyHandler) else None


def matching_path_key(call: RequestContext, name: str, body_key: str | None) -> str:
    """Return the key in the path; raises ProblemError if it is invalid, or the body has another one."""
    key = _key(name, call.request.match_info[name], 422, "input")
    if body_key is not None and body_key != key:
        raise ProblemError(422, "input", f"{name}: the path says {key}, the body {body_key}.", field=name)
    return key


def _key(name: str, text: str, status: int, rule: str) -> str:
    try:
        return normalize_key(text)
    except ValueError as error:
        raise ProblemError(status, rule, f"{name}: {error}.", field=name) from None


async def make_response(request: web.Request, api_response: ApiResponse) -> web.StreamResponse:
    if isinstance(api_response.value, StreamBody):
        return await _stream(request, api_response, api_response.value)
    tag = api_response.headers.get("ETag")
    asked = [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]
    if request.method == "GET" and api_response.is_versioned and tag in asked:
        return web.Response(status=304, headers=dict(api_response.headers))
    return _respond(api_response)


async def _stream(request: web.Request, api_response: ApiResponse, stream: StreamBody) -> web.StreamResponse:
    """Stream the body. An error before the first piece becomes a problem document; after an error later, the connection
    is aborted, so that the client does not take a partial body for a complete one."""
    response = web.StreamResponse(status=api_response.status, headers=dict(api_response.headers))
    response.content_type, response.charset = stream.content_type, "utf-8"
    async with aclosing(stream.pieces) as pieces:
        first = await anext(pieces, "")
        try:
            async with asyncio.timeout(MAX_STREAM_SECONDS):
                await response.prepare(request)
                await response.write(first.encode())
                async for piece in pieces:
                    await response.write(piece.encode())
                await response.write_eof()
        except Exception as error:
            log.warning("response_aborted", path=request.path, error=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
    return response


def _respond(api_response: ApiResponse) -> web.Response:
    if isinstance(api_response.value, TextBody):
        kind = api_response.value.content_type
        body = api_response.value.body
        body = body.encode() if isinstance(body, str) else body
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(
            status=api_response.status,
            body=body,
            content_type=kind,
            charset=charset,
            headers=dict(api_response.headers),
        )
    body = orjson.dumps(api_response.value, default=_to_json_value, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(status=api_response.status, body=body, content_type=JSON, headers=dict(api_response.headers))


def _to_json_value(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(type(value).__name__)
