"""The server that runs the application: it answers malformed requests by a problem document, and cuts slow clients off.

aiohttp limits the time for headers only by its idle timeout, answers malformed requests in plain text, and logs them
with a traceback; therefore this module has its own connection class.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError

from connector.log import get_logger
from connector.web.problem import ProblemError
from connector.web.request_body import BODY_SECONDS, DEFAULT_BODY_SECONDS, unknown_encoding

log = get_logger("web")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits for clients, in seconds and connections.

    `head`: to send the headers of a request, and to be idle between two. `body`: to send a body. `rest`: to send the
    remainder of a body after the response. `connections`: open connections at a time.
    """

    head: float = 30
    body: float = DEFAULT_BODY_SECONDS
    rest: float = 2
    connections: int = 1000


class Runner(web.AppRunner):
    """Runs an application with connections that keep to `limits`."""

    def __init__(self, app: web.Application, *, limits: Limits | None = None, **options: Any) -> None:
        self.limits = limits or Limits()
        app[BODY_SECONDS] = self.limits.body
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=self.limits.head,
            lingering_time=self.limits.rest,
            logger=_quiet_logger(),
            **options,
        )

    async def _make_server(self) -> web.Server:
        default_server = await super()._make_server()
        return _Server(
            default_server.request_handler,
            limit=self.limits.connections,
            request_factory=default_server.request_factory,
            **default_server._kwargs,
        )


class _Server(web.Server):
    def __init__(self, handler: Any, *, limit: int, **options: Any) -> None:
        super().__init__(handler, **options)
        self._limit = limit

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > self._limit:
            log.warning("connection_refused", connections=len(self.connections))
            transport.abort()


class _Connection(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed. The application itself answers what its handlers raise."""
        log.info("malformed_request", status=status, error=type(exc).__name__)
        response = _problem(status, exc).response()
        response.force_close()
        return response


def _problem(status: int, error: BaseException | None) -> ProblemError:
    if isinstance(error, ContentEncodingError):
        return unknown_encoding()
    if status >= 500:
        return ProblemError(status, "internal", "Internal error of the connector.")
    hint = "Check the request line, the headers, and their length."
    return ProblemError(status, "malformed", "The request is not valid HTTP.", hint=hint)


def _quiet_logger() -> logging.Logger:
    """Return the logger for connections: one line per error, without the traceback, which can show client data."""
    logger = logging.getLogger("connector.web.connection")
    if not logger.filters:
        logger.addFilter(_one_line)
    return logger


def _one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[0] if record.exc_info else None
    record.exc_info, record.exc_text = None, None
    if error is not None:
        record.msg = f"A connection ended: {error.__name__}."
        record.args = ()
    return True
