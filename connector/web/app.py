"""The HTTP application. Every API route needs a token with a role; health checks, OpenAPI and tracking pages do not."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from connector import tracing
from connector.errors import StoreError
from connector.jobs.conflict_resolution import ConflictResolver
from connector.jobs.mappings.admin import MappingAdmin
from connector.jobs.role_supervisor import RoleState
from connector.jobs.schedule import JobDefinition
from connector.jobs.undo import Undoer
from connector.log import bind, get_logger, request_id
from connector.metrics import HTTP_SECONDS
from connector.model.allowances import AllowancePolicies
from connector.model.health_check import DoctorReport
from connector.model.role import Role
from connector.notifications.composer import NotificationComposer
from connector.openid.provider import OpenIdProvider
from connector.orders.analytics.recent import RecentMetrics
from connector.orders.service import OrderService
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import job_schedules, schema
from connector.store.engine import Store
from connector.store.tokens import Token
from connector.web import tracking_page
from connector.web.api import ROUTES
from connector.web.auth import authenticate
from connector.web.console.analytics import RECENT_METRICS
from connector.web.console.frame import NOWHERE, ConsoleFrame
from connector.web.console.pages import ACTIONS, PAGES
from connector.web.metrics import CONTENT_TYPE, render_metrics
from connector.web.openapi import build_document
from connector.web.problem import ProblemError, render_problems
from connector.web.rate_limit import ALLOWANCE, RateLimiter
from connector.web.request_body import BODY_SECONDS, DEFAULT_BODY_SECONDS, LARGEST_BODY
from connector.web.request_checks import check_parameters, check_request
from connector.web.routing import MAX_STREAM_SECONDS, RequestContext, Route, make_response

PREFIX = "/api/v1"
ORDERS = f"{PREFIX}/orders/"
METHODS = {"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
PROBED = {"/healthz", "/readyz", "/metrics"}
"""Paths that machines ask for again and again: of these, only what went wrong is logged."""

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, kw_only=True)
class AppServices:
    """What the application works with.

    Each request calls `current_composer`, which follows edited rules and templates; one that resolves a conflict calls
    `conflict_resolver`, which reads the mappings. `mappings`: their versions. `allowances`: for the forecasts of API
    calls and event deliveries. `jobs`: all of the service, wherever they run. `partitions`: those of workers, for
    forecasts. `role_states`: how the roles of this process are. `doctor` checks the whole installation, `undoer`
    undoes runs.
    """

    store: Store
    orders: OrderService
    current_composer: Callable[[], NotificationComposer]
    conflict_resolver: Callable[[], ConflictResolver]
    mappings: MappingAdmin
    allowances: AllowancePolicies = field(default_factory=AllowancePolicies)
    jobs: Sequence[JobDefinition] = ()
    partitions: int = 8
    role_states: Callable[[], Sequence[RoleState]] = lambda: ()
    orgs: Sequence[str] = ()
    """The names of the orgs besides the default one."""
    requests_per_minute: int = 0
    """How many requests a token may make; 0: as many as it likes."""
    doctor: Callable[[], Awaitable[DoctorReport]]
    undoer: Undoer
    openid: OpenIdProvider | None = None
    """Who knows the people of the console, besides tokens."""


_NUMBER = web.RequestKey("number", str)
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = get_logger("web")


def make_app(services: AppServices) -> web.Application:
    """Build the application."""
    store = services.store

    stores = {name or DEFAULT_ORG: store.for_org(name) for name in ("", *services.orgs)}

    def context(request: web.Request, token: Token, by_org: bool) -> RequestContext:
        org = request.query.get("org", "") if by_org else ""
        if org and org not in stores:
            hint = f"Use one of {', '.join(stores)}."
            raise ProblemError(400, "query", f"org: there is no org {org!r}.", field="org", hint=hint)
        return RequestContext(
            store=stores.get(org, store),
            orders=services.orders,
            composer=services.current_composer(),
            conflict_resolver=services.conflict_resolver,
            mappings=services.mappings,
            allowances=services.allowances,
            jobs=services.jobs,
            partitions=services.partitions,
            doctor=services.doctor,
            undoer=services.undoer,
            request=request,
            token=token,
        )

    app = web.Application(middlewares=[_log_request, render_problems, check_request], client_max_size=LARGEST_BODY)
    app[BODY_SECONDS] = DEFAULT_BODY_SECONDS
    app[RECENT_METRICS] = RecentMetrics(store.clock)
    limiter = RateLimiter(services.requests_per_minute, store.clock)
    app.on_response_prepare.append(_add_headers)
    for route in ROUTES:
        app.router.add_route(route.method, PREFIX + route.path, _make_handler(route, store, limiter, context))

    async def healthy(request: web.Request) -> web.Response:
        return web.json_response({"status": "up"})

    async def ready(request: web.Request) -> web.Response:
        try:
            await schema.check(store)
            async with store.reader() as connection:
                paused = await job_schedules.list_paused(connection)
        except StoreError as error:
            raise ProblemError(503, "database", error.message, hint=error.hint) from None
        states = services.role_states()
        roles = {
            state.role: {"up": state.up, "since": state.since.isoformat(), "error": state.error} for state in states
        }
        is_ready = all(state.is_steady(store.clock.now()) for state in states)
        status = "ready" if is_ready else "degraded"
        parts: dict[str, object] = {"roles": roles, "paused_jobs": [job.name for job in paused]}
        return web.json_response({"status": status, **{name: part for name, part in parts.items() if part}})

    async def metrics(request: web.Request) -> web.Response:
        await authenticate(store, request, Role.VIEWER)
        body = await render_metrics(
            store, services.allowances, services.role_states(), [job.name for job in services.jobs]
        )
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def openapi(request: web.Request) -> web.Response:
        return web.json_response(_openapi_document())

    app.router.add_get("/healthz", healthy)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/openapi.json", openapi)
    app.router.add_routes(tracking_page.routes(store, services.orders))
    ConsoleFrame(store, context, limiter, services.openid).add_to(app, PAGES, ACTIONS)
    return app


@cache
def _openapi_document() -> dict[str, Any]:
    """Build the document when it is first asked for: the schemas of all bodies take a tenth of a second."""
    return build_document(PREFIX, ROUTES)


def _make_handler(
    route: Route, store: Store, limiter: RateLimiter, context: Callable[[web.Request, Token, bool], RequestContext]
) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        token = await authenticate(store, request, route.role)
        if (allowance := limiter.take(token.name)) is not None:
            request[ALLOWANCE] = allowance
        unknown = sorted(set(request.query) - route.all_queries.keys())
        if unknown:
            allowed = ", ".join(route.all_queries) or "none"
            raise ProblemError(
                400, "query", f"Unknown query parameter {unknown[0]!r}.", field=unknown[0], hint=f"Allowed: {allowed}."
            )
        check_parameters(request)
        return await make_response(request, await route.handler(context(request, token, route.by_org)))

    return handle


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers and the request ID just before the response is sent."""
    allowance = request.get(ALLOWANCE)
    limits = {} if allowance is None else allowance.headers
    for name, value in {**SECURITY, **limits, "X-Request-ID": request[_NUMBER]}.items():
        response.headers.setdefault(name, value)


async def _send(request: web.Request, response: web.StreamResponse) -> dict[str, str]:
    """Send the response within a time limit, because a client that reads nothing would hold its connection forever.

    Returns a field to log if the client did not get the response.
    """
    try:
        async with asyncio.timeout(MAX_STREAM_SECONDS):
            await response.prepare(request)
            await response.write_eof()
    except (TimeoutError, ConnectionError) as error:
        if request.transport is not None:
            request.transport.abort()
        return {"aborted": type(error).__name__}
    return {}


def _request_number(request: web.Request) -> str:
    """The ID that the caller has given the request, if it is a short plain word; else a new one."""
    given = request.headers.get("X-Request-ID", "")
    return given if _PLAIN_ID.fullmatch(given) else uuid4().hex[:12]


def _span_of(request: web.Request, route: str) -> AbstractContextManager[tracing.Span]:
    """The span of a request, which may be part of a trace of its client; none of those that ask again and again."""
    if request.path in PROBED:
        return nullcontext(tracing.Span())
    return tracing.span(f"{request.method} {route}", "server", parent=request.headers)


@web.middleware
async def _log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log one line per request, without query, body and headers."""
    began = time.perf_counter()
    number = request[_NUMBER] = _request_number(request)
    request_id.set(number)
    if request.path.startswith(ORDERS) and (order := request.match_info.get("number")) is not None:
        bind(order=order)
    resource = request.match_info.route.resource
    route = "unknown" if resource is None or resource.canonical == NOWHERE else resource.canonical
    with _span_of(request, route) as part:
        response = await handler(request)
        aborted = await _send(request, response)
        part.set(http__route=route, http__response__status_code=response.status, connector__request=number)
        if response.status >= 500:
            part.fail(str(response.status))
    seconds = time.perf_counter() - began
    HTTP_SECONDS.observe(seconds, request.method if request.method in METHODS else "other", str(response.status))
    took = round(seconds * 1000)
    # The path of a tracking page is a secret of its customer.
    path = request.path if not request.path.startswith("/track/") else "/track/…"
    write = log.debug if path in PROBED and response.status == HTTPStatus.OK else log.info
    write("request", method=request.method, path=path, status=response.status, ms=took, **aborted)
    return response
