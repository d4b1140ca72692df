"""HTTP to the data API: one pooled client, JSON with all digits, and a NoResponse for each way in which a response can
fail.

Only this module knows httpx2. It does not interpret errors that the org reports; it returns status and body.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import orjson

from connector.model.outcome import RowError
from connector.model.storable_text import storable_json
from connector.salesforce.auth import Token
from connector.salesforce.errors import UnreadableResponseError, read_errors
from connector.salesforce.fault import NoResponse
from connector.salesforce.meter import Meter
from connector.tracing import add_trace_header, span

T = TypeVar("T")

CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 60.0
CONNECTIONS = 32

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# A proxy from the environment is not used for this machine.
_NO_PROXY: Mapping[str, httpx2.AsyncBaseTransport | None] = {
    f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpResponse:
    """Status, headers (case-insensitive) and decompressed body."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def redirect_host(self) -> str | None:
        """The host of a redirect; empty if it names none, None if this is no redirect. Redirects are not followed: the
        other host would receive our token."""
        if self.status not in _REDIRECTS:
            return None
        try:
            return urlsplit(self.headers.get("Location", "")).hostname or ""
        except ValueError:
            return ""

    def json(self) -> Any:
        """The body with floats as floats, for outcomes, which contain no amounts."""
        return self._load(orjson.loads)

    def records(self) -> Any:
        """The body with every fraction as Decimal, for records."""
        return self._load(_with_decimals)

    def parse(self, read: Callable[[HttpResponse], T]) -> T:
        """The result of `read`. Raises UnreadableResponseError if the JSON does not have the shape of the API."""
        try:
            return read(self)
        except (LookupError, TypeError, AttributeError, ValueError):
            raise UnreadableResponseError(NoResponse.UNREADABLE) from None

    def errors(self) -> Sequence[RowError]:
        """The errors in the body; empty if it is not an error body of the API."""
        try:
            return read_errors(self.json())
        except UnreadableResponseError:
            return ()

    def _load(self, loads: Any) -> Any:
        try:
            return loads(storable_json(self.content))
        except ValueError:
            page = self.content.lstrip()[:1] == b"<"
            raise UnreadableResponseError(NoResponse.WEB_PAGE if page else NoResponse.UNREADABLE) from None


def encode_body(body: Any) -> bytes:
    """JSON in which a Decimal is a number with all its digits (9.80 stays 9.80). Raises ValueError for NaN and
    infinity."""
    try:
        return orjson.dumps(body, default=_number)
    except TypeError as error:
        raise ValueError(f"a request body cannot be written: {error.__cause__ or error}") from None


def _number(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(f"{value:f}")
    raise TypeError(f"{type(value).__name__} {value!r} has no form in JSON")


def _with_decimals(content: bytes) -> Any:
    return json.loads(content, parse_float=Decimal)


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Transport:
    """Sends one request at a time per call, counts it, and reads how much of the org's API allowance is used.

    `timeout` is the longest wait for a whole response, in seconds. `client` identifies us to the org, and is returned
    as the origin of change events. `headers` are sent with every write.
    """

    def __init__(self, *, timeout: float, client: str, meter: Meter, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        self._timeout = timeout
        self._write_headers = dict(headers)
        self._meter = meter
        self._http = httpx2.AsyncClient(
            http2=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(timeout, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(
                max_connections=CONNECTIONS,
                max_keepalive_connections=CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": client,
                "Sforce-Call-Options": f"client={client}",
                "Sforce-Auto-Assign": "FALSE",
            },
            mounts=_NO_PROXY,
            verify=httpx2.create_ssl_context(),
        )

    async def send(
        self, method: str, path: str, *, token: Token, content: bytes | None, write: bool, call: str
    ) -> HttpResponse:
        """The org's response, whatever its status. Raises UnreadableResponseError if none arrived whole, ApiBudgetError
        if no call may be made now. `path` starts with a slash; `call` is an ID by which proxies on the way can log the
        request."""
        headers = {"Authorization": f"Bearer {token.access_token}", "X-Request-ID": call}
        if write:
            headers |= self._write_headers
        if path.partition("?")[0].endswith("/results"):  # of a bulk query: the only resource that answers in CSV
            headers["Accept"] = "text/csv"
        if content is not None:
            headers["Content-Type"] = "application/json"
        await self._meter.admit(token.org_id)
        plain = path.partition("?")[0]  # a query can hold personal data
        part = span(f"{method} org", "client", url__path=plain, connector__call=call)
        with part as traced, self._meter.recording(write=write) as record:
            add_trace_header(headers)
            try:
                async with asyncio.timeout(self._timeout):
                    response = await self._http.request(
                        method, token.instance_url + path, content=content, headers=headers
                    )
            except (httpx2.RequestError, TimeoutError) as error:
                # Not chained: the exception holds the request, whose headers contain the token.
                raise UnreadableResponseError(_classify_error(error), token.instance_url) from None
            traced.set(http__response__status_code=response.status_code)
            record.answered(response.status_code, response.headers.get("Sforce-Limit-Info"), response.content)
        return HttpResponse(status=response.status_code, headers=response.headers, content=response.content)

    async def close(self) -> None:
        await self._http.aclose()


def _classify_error(error: Exception) -> NoResponse:
    match error:
        case httpx2.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return NoResponse.NOT_TRUSTED
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout() | httpx2.ProxyError():
            return NoResponse.NOT_CONNECTED
        case httpx2.TimeoutException() | TimeoutError():
            return NoResponse.TIMED_OUT
        case httpx2.DecodingError():
            return NoResponse.UNREADABLE
        case _:
            return NoResponse.CONNECTION_LOST
