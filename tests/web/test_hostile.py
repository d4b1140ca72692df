"""Raw bytes on the connection: the response is a problem document or nothing, never a server error."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from connector.model.role import Role
from connector.store import tokens
from connector.store.engine import Store
from connector.web.app import PREFIX, ROUTES
from connector.web.request_body import LARGEST_BODY, read_body
from connector.web.server import Limits, Runner
from tests.unit.store import samples
from tests.web.conftest import ORDER, app_on

WAIT = 5.0


@dataclass
class Wire:
    """A server, and a client that sends raw bytes."""

    port: int
    token: str

    async def send(self, *parts: bytes, pause: float = 0) -> bytes:
        """Return everything that the server sends until it closes."""
        async with asyncio.timeout(WAIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()

    async def request(
        self,
        body: bytes = b"",
        *more: bytes,
        method: bytes = b"POST",
        path: bytes = b"/api/v1/orders",
        kind: bytes = b"application/json",
        token: bool = True,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and problem of one request; `more` are header lines."""
        lines = [method + b" " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *more]
        lines += [b"Authorization: Bearer " + self.token.encode()] if token else []
        lines += [b"Content-Type: " + kind] if kind else []
        if not any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in more):
            lines.append(b"Content-Length: %d" % len(body))
        return parsed(await self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body))


def parsed(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status >= 400:
        assert b"application/problem+json" in head, answer
        assert status < 500, answer
    return status, json.loads(body)


@pytest.fixture
async def wire(store: Store, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Wire]:
    """The API, with a head and a body that must arrive within a second. No log record may show a traceback."""
    caplog.set_level(logging.DEBUG)
    await samples.stock(store)
    async with store.transaction() as uow:
        token = await tokens.create(uow, "wire", Role.ADMIN)
    runner = Runner(app_on(store), limits=Limits(head=0.5, body=0.4, rest=0.2, connections=40))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Wire(runner.addresses[0][1], token)
    await runner.cleanup()
    assert not [record for record in caplog.records if record.exc_info]
    assert "Traceback" not in caplog.text


VERIFY = b'{"action": "verify"}'
MOVE = b"/api/v1/orders/W-1/transitions"


@pytest.mark.parametrize(
    ("header", "path", "body", "token"),
    [
        (b"Authorization: Bearer \xff", b"/api/v1/orders", b"{}", False),
        (b"Authorization: Bearer \xed\xa0\x80", b"/api/v1/orders", b"{}", False),
        (b"Authorization: Bearer \x01", b"/api/v1/orders", b"{}", False),
        (b'If-Match: "\xff"', MOVE, VERIFY, True),
        (b'If-None-Match: "\xff"', b"/api/v1/customers/C", b"{}", True),
        (b"Idempotency-Key: \xff", MOVE, VERIFY, True),
        (b"Idempotency-Key: a\xe2\x80\x8bb", MOVE, VERIFY, True),
        (b"Idempotency-Key: 1\r\nIdempotency-Key: 2", MOVE, VERIFY, True),
        (b"Accept: \xff", MOVE, VERIFY, True),
        (b"Content-Encoding: \xff", MOVE, VERIFY, True),
        (b"Content-Encoding: gzip", MOVE, b"xx", True),
        (b"Content-Encoding: deflate", MOVE, b"xx", True),
        (b"Content-Encoding: gzip", MOVE, gzip.compress(VERIFY, mtime=0)[:-14], True),
        (b"Transfer-Encoding: chunked", MOVE, b"zz\r\n" + VERIFY, True),
        (b"Transfer-Encoding: chunked", MOVE, b"ffffffffffffffffffff\r\n", True),
        (b"Content-Length: -1", MOVE, b"", True),
        (b"Content-Length: 5\r\nContent-Length: 6", MOVE, b"{}", True),
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked", MOVE, b"{}", True),
        (b"No colon", MOVE, b"", True),
        (b"Bad\x00Name: 1", MOVE, b"", True),
        (b"X: " + b"x" * 9000, MOVE, b"", True),
        (b"X: 1\r\n" * 200 + b"X: 1", MOVE, b"", True),
    ],
)  # fmt: skip
async def test_malformed_header_or_framing_is_a_bad_request(
    wire: Wire, header: bytes, path: bytes, body: bytes, token: bool
) -> None:
    method = b"PUT" if b"customers" in path else b"POST"
    status, problem = await wire.request(body, header, method=method, path=path, token=token)
    assert (status, problem["status"]) == (400, 400), problem


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/api/v1/orders/%FF", 400),
        (b"/api/v1/orders/%zz", 400),
        (b"/api/v1/orders/%", 400),
        (b"/api/v1/orders?customer=%C3%28", 400),
        (b"/api/v1/orders/\xff", 400),
        (b"/api/v1/orders/%00", 400),
        (b"/api/v1/orders/a%00b", 400),
        (b"/api/v1/orders?customer=a%00b", 400),
        (b"/api/v1/orders?customer=a%E2%80%AEb", 400),
        (b"/api/v1/orders/%E2%80%AE", 404),
        (b"/api/v1/orders/%20", 404),
        (b"/api/v1/orders?" + b"&".join(b"x%d=1" % number for number in range(900)), 400),
        (b"/api/v1/orders?limit=" + b"9" * 5000, 400),
        (b"//evil.example/api/v1/orders", 404),
        (b"*", 400),
        (b"http://[::1", 400),
    ],
)
async def test_address_that_is_not_utf8_is_a_bad_request(wire: Wire, path: bytes, status: int) -> None:
    assert (await wire.request(method=b"GET", path=path, kind=b""))[0] == status


def order(**changes: Any) -> bytes:
    return json.dumps(ORDER | changes).encode()


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b'{"number": "W-1"', 400, "JSON"),
        (b"\xff\xfe{}", 400, "UTF-8"),
        (b'{"number": "\xff"}', 400, "UTF-8"),
        (b'{"number": "\xed\xa0\x80"}', 400, "UTF-8"),
        (b'{"number": 1, "number": 2}', 400, '"number"'),
        (b'{"lines": [{"sku": "A", "sku": "B"}]}', 400, '"sku"'),
        (order(number="\ud800"), 400, "surrogate"),
        (order(**{"\udfff": 1}), 400, "surrogate"),
        (order(freight=0).replace(b'"freight": 0', b'"freight": NaN'), 400, "NaN"),
        (order(freight=0).replace(b'"freight": 0', b'"freight": -Infinity'), 400, "Infinity"),
        (order(freight=0).replace(b'"freight": 0', b'"freight": ' + b"9" * 5000), 400, "5,000"),
        (order(freight=0).replace(b'"freight": 0', b'"freight": 1e99999999999999999999'), 400, "exponent"),
        (order(freight=0).replace(b'"freight": 0', b'"freight": 1e999999'), 422, "18 digits"),
        (order(lines=[]).replace(b'"lines": []', b'"lines": [{"line": 1e999999, "sku": "CHAI", "quantity": 1}]'),
         422, "at most"),
        (b"[" * 100_000, 400, "nested"),
        (b'{"a":' * 100_000, 400, "nested"),
        (order(notes="a\x00b"), 422, "NUL"),
        (order(number="a\x00b"), 422, "U+0000"),
        (order(number="a\u202eb"), 422, "U+202E"),
        (b'{"a": 1}' + b" " * LARGEST_BODY, 413, "large"),
        (b"null", 422, "object"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)  # fmt: skip
async def test_malformed_body_is_rejected_with_a_reason(wire: Wire, body: bytes, status: int, word: str) -> None:
    found, problem = await wire.request(body)
    assert (found, word in problem["detail"]) == (status, True), problem


@pytest.mark.parametrize(
    ("body", "header", "kind", "status"),
    [
        (b"{}", b"Content-Encoding: br", b"application/json", 415),
        (b"{}", b"Content-Encoding: gzip, gzip", b"application/json", 415),
        (b"{}", b"X: 1", b"text/plain", 415),
        (b"{}", b"X: 1", b"", 415),
        (b"{}", b"X: 1", b"application/json; charset=nonsense", 400),
        (b"{}", b"X: 1", b"application/json; charset=rot13", 400),
        (b"{}", b"X: 1", b"application/json; charset=utf-16", 400),
        (b"{}", b"X: 1", b"application/json; charset=\xff", 400),
        (gzip.compress(b" " * (LARGEST_BODY * 20), mtime=0), b"Content-Encoding: gzip", b"application/json", 413),
        (gzip.compress(order(), mtime=0), b"Content-Encoding: gzip", b"application/json; charset=UTF-8", 201),
        (b"\xef\xbb\xbf" + order(), b"X: 1", b"application/json", 201),
    ],
)  # fmt: skip
async def test_compressed_and_differently_encoded_bodies_are_read_or_rejected(
    wire: Wire, body: bytes, header: bytes, kind: bytes, status: int
) -> None:
    assert (await wire.request(body, header, kind=kind))[0] == status


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ((), 0),
        ((b"GET /healthz HT",), 0),
        ((b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n", *[b"X: 1\r\n"] * 30), 0),
        ((b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",), 1),
    ],
    ids=["nothing", "half a line", "a header at a time", "idle after an answer"],
)
async def test_client_that_sends_no_complete_head_is_disconnected(
    wire: Wire, parts: tuple[bytes, ...], answers: int
) -> None:
    answer = await wire.send(*parts, pause=0.05)  # raises TimeoutError if the server does not close
    assert answer.count(b"HTTP/1.1 ") == answers


async def test_slow_body_is_a_timeout_and_the_client_is_disconnected(wire: Wire) -> None:
    head = (
        b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        b"Authorization: Bearer " + wire.token.encode() + b"\r\n\r\n"
    )
    status, problem = parsed(await wire.send(head, *[b" "] * 4, pause=0.05))
    assert (status, problem["rule"]) == (408, "timeout")


async def test_excess_connections_are_refused_and_the_others_served(wire: Wire) -> None:
    held = [await asyncio.open_connection("127.0.0.1", wire.port) for _ in range(40)]
    assert await wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
    for _ in range(50):
        if b"200 OK" in await wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the server did not recover")


NOISE = (
    b"\x00", b"\xff", b"\r\n", b"\n", b"\r", b"%00", b"%FF", b"%", b"\xed\xa0\x80", b" ", b"\t", b":", b"9" * 30,
    b"\xe2\x80\xae", b"{", b'"', b"\\ud800", b"1e99999", b"gzip", b"chunked", b"-1", b"HTTP/9.9", b"\x16\x03\x01",
)  # fmt: skip


async def test_random_bytes_to_every_route_cause_no_server_error(wire: Wire) -> None:
    chance = random.Random(7)
    for route in ROUTES:
        path = (PREFIX + route.path).replace("{", "").replace("}", "").encode()
        for _ in range(4):
            body = b'{"number": "W-9", "action": "verify"}'
            lines = [
                route.method.encode() + b" " + path + b" HTTP/1.1", b"Host: x", b"Connection: close",
                b"Authorization: Bearer " + wire.token.encode(), b"Content-Type: application/json",
                b"Content-Length: %d" % len(body), b'If-Match: "1"', b"Idempotency-Key: 1",
            ]  # fmt: skip
            raw = bytearray(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            for _ in range(chance.choice((1, 1, 2, 4))):
                at = chance.randrange(len(raw))
                raw[at : at + chance.choice((0, 1, 3))] = chance.choice(NOISE)
            answer = await wire.send(bytes(raw))
            assert not answer or (answer.startswith(b"HTTP/") and b" 500 " not in answer[:20]), (bytes(raw), answer)


@pytest.mark.parametrize("cut", [False, True], ids=["whole body", "half a body"])
async def test_disconnected_client_is_logged_without_an_error(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request, kind: Any) -> Any:
        began.set()
        body = await read_body(request, kind)
        await gone.wait()
        return body

    monkeypatch.setattr("connector.web.routing.read_body", slow)
    body = json.dumps(ORDER).encode()
    head = (
        b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (wire.token.encode(), len(body))
    )
    with capture_logs() as logs:
        async with asyncio.timeout(WAIT):
            _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
            peer = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            writer.write(head + body[: 20 if cut else None])
            await began.wait()
            writer.transport.abort()
            await asyncio.sleep(0.05)
            gone.set()
            for _ in range(300):
                await asyncio.sleep(0.01)
                if logs:
                    break
            await asyncio.sleep(0.05)  # nothing comes after it
    [entry] = logs
    assert (entry["event"], entry["log_level"], entry["path"]) == ("request", "info", "/api/v1/orders")
    assert (entry["status"], "aborted" in entry) == (400 if cut else 201, True)
