"""The HTTP application: authenticate a call, count it, inject faults, dispatch it and render the response."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from email.utils import format_datetime

from aiohttp import web

from connector.localorg.api_call import (
    ApiCall,
    ApiResponse,
    dump_json,
    error_response,
    parse_json,
    parse_version,
    split_target,
)
from connector.localorg.bulk_worker import BulkWorker
from connector.localorg.errors import Refusal, json_parser_error
from connector.localorg.events.change_events import change_origin
from connector.localorg.http import admin, bulk_v1, oauth, soap
from connector.localorg.http.cometd import CometD
from connector.localorg.locks import RowLockedError
from connector.localorg.org import Org
from connector.localorg.page.site import Site
from connector.localorg.rest import resources
from connector.localorg.rest.router import Router, describe_call, takes_raw_body
from connector.localorg.usage import LoggedCall

LIMIT_EXCEEDED = Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
_MAX_HEAD_BYTES = 16_384
_MAX_BODY_BYTES = 200 * 1024 * 1024
_MIN_COMPRESSED_BYTES = 8_192
_log = logging.getLogger(__name__)

Endpoint = Callable[["Org", web.Request, list[str]], Awaitable[web.StreamResponse]]
RenderRefusal = Callable[[web.Request, ApiResponse], web.Response]
_MAX_BYTES_BY_PATH: dict[tuple[str, ...], int] = {  # of the body, by the first segments
    ("services", "soap"): soap.MAX_BYTES,
    ("services", "async"): 50 * 1024 * 1024,
    ("services", "data"): _MAX_BODY_BYTES,
    ("cometd",): 1024 * 1024,
}
_DEFAULT_MAX_BYTES = 64 * 1024
_REFUSAL_RENDERERS: dict[Endpoint, RenderRefusal] = {
    soap.handle: soap.render_refusal,
    bulk_v1.handle: bulk_v1.render_refusal,
}


class App:
    """The org behind one aiohttp application. `endpoints` maps the first path segments to what answers there."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.router = Router(org)
        self.cometd = CometD(org)
        self.site = Site(org)
        self.endpoints: dict[tuple[str, ...], Endpoint] = {
            ("services", "oauth2"): oauth.handle,
            ("secur", "frontdoor.jsp"): oauth.frontdoor,
            ("id",): oauth.identity_endpoint,
            (".well-known", "openid-configuration"): oauth.openid_configuration,
            ("services", "apexrest"): bulk_v1.apex_not_found,
            ("services", "soap"): soap.handle,
            ("services", "async"): bulk_v1.handle,
            ("_org",): admin.handle,
            ("cometd",): self.cometd.handle,
        }

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{tail:.*}", self.handle, expect_handler=handle_expect)
        app.cleanup_ctx.append(self._background)
        app.on_response_prepare.append(self._add_date)
        return app

    async def _add_date(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say the time of the org, which may differ from that of this machine."""
        response.headers["Date"] = format_datetime(self.org.clock(), usegmt=True)

    async def _background(self, app: web.Application) -> AsyncIterator[None]:
        worker = asyncio.create_task(BulkWorker(self.org).run())
        yield
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except Refusal as refusal:
            return respond(request, error_response(refusal))
        except web.HTTPRequestEntityTooLarge:
            problem = "The entity body is larger than this resource takes."
            return respond(request, error_response(Refusal("REQUEST_ENTITY_TOO_LARGE", problem, status=413)))
        except web.RequestPayloadError:
            return respond(
                request, error_response(json_parser_error("The entity body is not encoded as its headers say"))
            )
        except (web.HTTPException, asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            incident = uuid.uuid4().hex[:12]
            _log.exception("local org failed, ErrorId %s", incident)
            return respond(
                request,
                error_response(
                    Refusal(
                        "UNKNOWN_EXCEPTION",
                        f"An unexpected error occurred. Please include this ErrorId if you contact support: {incident}",
                        status=500,
                    )
                ),
            )

    async def _route(self, request: web.Request) -> web.StreamResponse:
        target = request.raw_path
        if len(target) > _MAX_HEAD_BYTES:
            raise Refusal("URI_TOO_LONG", "The URI is longer than 16,384 bytes.", status=414)
        if len(target) + sum(len(name) + len(value) for name, value in request.raw_headers) > _MAX_HEAD_BYTES:
            raise Refusal("HEADERS_TOO_LONG", "URI and headers are longer than 16,384 bytes.", status=431)
        segments, params = split_target(target)
        first = [part.lower() for part in segments[:2]]
        limits = (_MAX_BYTES_BY_PATH.get(tuple(first[:length])) for length in (2, 1))
        request = request.clone(client_max_size=next((limit for limit in limits if limit), _DEFAULT_MAX_BYTES))
        if first == ["services", "data"]:
            return await self._handle_data_call(request, segments, params)
        for length in (2, 1):
            endpoint = self.endpoints.get(tuple(first[:length])) if len(first) >= length else None
            if endpoint is oauth.handle and (canned := self.org.faults.take_canned_response(sign_in=True)) is not None:
                return respond(request, canned.response(request.raw_path))
            if endpoint is not None:
                render_refusal = _REFUSAL_RENDERERS.get(endpoint)
                return await (
                    self._call_with_faults(endpoint, render_refusal, request, segments)
                    if render_refusal
                    else endpoint(self.org, request, segments)
                )
        if self.site.accepts(request, segments):
            return self.site.handle(request, segments, params)
        raise Refusal("NOT_FOUND", "The requested resource does not exist")

    async def _handle_data_call(
        self, request: web.Request, segments: list[str], params: dict[str, str]
    ) -> web.StreamResponse:
        org = self.org
        if len(segments) == 2:
            return respond(request, ApiResponse(200, resources.list_versions()))
        session = org.auth.bearer_session(request.headers.get("Authorization"))
        if session is None:
            return respond(request, unauthorized())
        version = parse_version(segments[2])
        started = time.perf_counter()
        call = ApiCall(
            method=params.pop("_HTTP_METHOD", request.method).upper() if request.method == "POST" else request.method,
            version=version,
            tail=segments[3:],
            params=params,
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        raw = await request.read()
        await asyncio.sleep(self._latency())
        fault, reply = self._take_fault()
        if fault == "reset":
            self._log_call(request, call.method, 0, fault, 0, started)
            return drop_connection(request)
        if fault is None and (canned := org.faults.take_canned_response(write=describe_call(call)[1])) is not None:
            fault, reply = "answer", canned.response(request.raw_path)
        if reply is None:
            try:
                if takes_raw_body(call):
                    call.raw = raw
                else:
                    self._check_body(request, raw)
                    call.body = parse_json(raw) if raw else None
            except Refusal as refusal:
                reply = error_response(refusal)
        resource, write, calls = describe_call(call)
        if fault is None and org.usage.exhausted:
            fault, reply = "exhausted", error_response(LIMIT_EXCEEDED)
        else:
            org.usage.record_call(resource, write=write, calls=calls)
        rows = 0
        if reply is None:
            fault = "row_lock" if write and org.faults.take("row_lock") else None
            reply, rows = await self._dispatch_with_locks(
                call, session.user_id, write=write, next_row_held=fault is not None
            )
        lost = fault is None and write and org.faults.take("lost_response")
        cut = not lost and org.faults.take("truncated")
        fault = "lost_response" if lost else "truncated" if cut else fault
        self._log_call(request, call.method, 0 if lost else reply.status, fault, rows, started)
        if lost:
            return drop_connection(request)
        response = respond(request, reply, {"Sforce-Limit-Info": org.usage.header})
        return await truncate_response(request, response) if cut else response

    async def _call_with_faults(
        self, endpoint: Endpoint, render_refusal: RenderRefusal, request: web.Request, segments: list[str]
    ) -> web.StreamResponse:
        """Call SOAP or Bulk API 1.0 with the same faults as data calls, rendered in the shape of that API."""
        org, started, written = self.org, time.perf_counter(), self.org.dml.rows_written
        await request.read()
        await asyncio.sleep(self._latency())
        fault, reply = self._take_fault()
        if fault is None and (canned := org.faults.take_canned_response(write=request.method == "POST")) is not None:
            fault, reply = "answer", canned.response(request.raw_path)
        if fault is None and org.usage.exhausted:
            fault, reply = "exhausted", error_response(LIMIT_EXCEEDED)
        response: web.StreamResponse | None = None
        if reply is not None:
            response = respond(request, reply) if fault in {"status", "answer"} else render_refusal(request, reply)
        elif fault is None:
            response = await endpoint(org, request, segments)
            if request.method == "POST" and response.status < 300 and org.faults.take("lost_response"):
                fault = "lost_response"
            elif org.faults.take("truncated"):
                fault = "truncated"
        lost = response is None or fault == "lost_response"
        status = 0 if lost or response is None else response.status
        self._log_call(request, request.method, status, fault, org.dml.rows_written - written, started)
        if lost or response is None:
            return drop_connection(request)
        return await truncate_response(request, response) if fault == "truncated" else response

    def _latency(self) -> float:
        """Return how many seconds to wait before a call is handled."""
        faults = self.org.faults
        spread = faults.latency_spread_ms
        extra = min(self.org.random.expovariate(1 / spread), 10 * spread) if spread else 0.0
        return (faults.latency_ms + extra) / 1000

    async def _dispatch_with_locks(
        self, call: ApiCall, user_id: str, *, write: bool, next_row_held: bool
    ) -> tuple[ApiResponse, int]:
        """Dispatch a call and hold its row locks as the faults say. Return the response and the rows written."""
        org = self.org
        stamped = org.clock() if write and org.faults.late_commit_ms else None
        if stamped is not None:
            org.open_writes.append(stamped)
            try:
                await asyncio.sleep(org.faults.late_commit_ms / 1000)
            finally:
                org.open_writes.remove(stamped)
        deadline = time.monotonic() + org.locks.wait_seconds
        while True:
            org.hub.origin = change_origin("rest", call.version, call.client)
            written = org.dml.rows_written
            can_wait = time.monotonic() < deadline
            try:
                with (
                    org.dml.acting_as(user_id),  # outermost: the commit tells who changed what
                    org.locks.call_scope(can_wait=can_wait, next_fails=next_row_held),
                    org.storage.transaction() if org.locks.active and write else nullcontext(),
                    org.dml.at_time(stamped),
                ):
                    reply = self.router.dispatch(call)
                break
            except RowLockedError as held:
                org.dml.rows_written = written
                await asyncio.sleep(min(held.seconds, max(deadline - time.monotonic(), 0)))
        rows = org.dml.rows_written - written
        await asyncio.sleep(org.locks.hold_acquired(rows) + org.faults.latency_row_ms * rows / 1000)
        return reply, rows

    def _take_fault(self) -> tuple[str | None, ApiResponse | None]:
        faults = self.org.faults
        if faults.take("reset"):
            return "reset", None
        if faults.take("status_count"):
            return "status", ApiResponse(faults.status, f"<html><body><h1>{faults.status}</h1></body></html>")
        if faults.take("expired_session"):
            return "expired_session", unauthorized()
        if faults.take("limit"):
            return "limit", error_response(LIMIT_EXCEEDED)
        if faults.take("concurrent_limit"):
            text = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
            return "concurrent_limit", error_response(Refusal("REQUEST_LIMIT_EXCEEDED", text))
        return None, None

    def _check_body(self, request: web.Request, raw: bytes) -> None:
        if raw.strip() and request.content_type != "application/json":
            raise Refusal(
                "UNSUPPORTED_MEDIA_TYPE",
                f"Content-Type header specified in HTTP request is not supported: {request.content_type}",
            )

    def _log_call(
        self, request: web.Request, method: str, status: int, fault: str | None, rows: int, started: float
    ) -> None:
        self.org.usage.log.append(
            LoggedCall(
                time=self.org.clock().isoformat(timespec="milliseconds"),
                method=method,
                path=request.raw_path[:500],
                status=status,
                rows=rows,
                ms=round((time.perf_counter() - started) * 1000, 2),
                fault=fault,
            )
        )


async def handle_expect(request: web.Request) -> web.StreamResponse | None:
    """Answer the header `Expect`. Only `100-continue` can be expected."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return respond(
            request, error_response(Refusal("EXPECTATION_FAILED", "Only 100-continue can be expected.", status=417))
        )
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
    return None


def unauthorized() -> ApiResponse:
    reply = error_response(Refusal("INVALID_SESSION_ID", "Session expired or invalid"))
    reply.headers["WWW-Authenticate"] = "Token"
    return reply


def drop_connection(request: web.Request) -> web.StreamResponse:
    """End the connection without a response."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def truncate_response(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Send half of the response, then end the connection."""
    body = response.body if isinstance(response, web.Response) else b""
    content = bytes(body) if isinstance(body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = len(content)
    await half.prepare(request)
    await half.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.abort()
    return half


def respond(request: web.Request, reply: ApiResponse, headers: dict[str, str] | None = None) -> web.Response:
    all_headers = {**reply.headers, **(headers or {})}
    if reply.body is None:
        return web.Response(status=reply.status, headers=all_headers)
    if isinstance(reply.body, bytes):
        return web.Response(status=reply.status, body=reply.body, headers=all_headers)
    if isinstance(reply.body, str):
        return web.Response(status=reply.status, text=reply.body, content_type="text/html", headers=all_headers)
    raw = dump_json(reply.body, pretty=request.headers.get("X-PrettyPrint") == "1")
    if len(raw) > _MIN_COMPRESSED_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        raw = gzip.compress(raw, compresslevel=1)
        all_headers["Content-Encoding"] = "gzip"
    all_headers["Content-Type"] = "application/json;charset=UTF-8"
    return web.Response(status=reply.status, body=raw, headers=all_headers)
