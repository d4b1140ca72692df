"""Faults on a real socket: truncated responses, dropped connections, responses that never end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from connector.errors import TransportError
from connector.salesforce.client import SalesforceClient
from connector.salesforce.meter import Meter
from connector.salesforce.transport import Transport
from connector.salesforce.usage import CallCounts
from connector.settings.salesforce import SalesforceSettings
from tests.unit.salesforce.conftest import OwnClock, TokenEndpoint

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
SAVED = b'[{"id":"801xx0000000001AAA","success":true,"errors":[],"created":true}]'


async def whole(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(SAVED), SAVED))


async def cut_short(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + SAVED[:20])


async def nothing(writer: asyncio.StreamWriter) -> None:
    pass


async def broken_gzip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd")


async def trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    for _ in range(50):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def server_that(*answers: Answer) -> AsyncIterator[str]:
    """A server that handles the n-th request with the n-th handler and closes each connection afterwards."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
            await left.pop(0)(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.close()


@pytest.mark.parametrize("broken", [cut_short, nothing, broken_gzip])
async def test_read_with_a_broken_response_is_repeated(
    client: SalesforceClient, endpoint: TokenEndpoint, broken: Answer
) -> None:
    async with server_that(broken, whole) as endpoint.instance_url:
        [outcome] = await client.collections_upsert("Order", "Key__c", [{"Key__c": "1"}])
    assert outcome.id == "801xx0000000001AAA"
    assert client.calls_made == CallCounts(reads=0, writes=2)


@pytest.mark.parametrize("broken", [cut_short, nothing, broken_gzip])
async def test_create_with_a_broken_response_has_an_unknown_outcome(
    client: SalesforceClient, endpoint: TokenEndpoint, broken: Answer
) -> None:
    async with server_that(broken, whole) as endpoint.instance_url:
        with pytest.raises(TransportError):
            await client.collections_create("PricebookEntry", [{"Name": "x"}])
    assert client.calls_made == CallCounts(reads=0, writes=1)


async def test_response_that_never_ends_times_out(
    settings: SalesforceSettings, endpoint: TokenEndpoint, clock: OwnClock
) -> None:
    hasty = settings.model_copy(update={"timeout_seconds": 0.3})
    async with (
        server_that(trickle) as endpoint.instance_url,
        SalesforceClient(hasty, clock=clock, attempts=1) as client,
    ):
        with pytest.raises(TransportError, match="did not answer in time"):
            await client.collections_upsert("Order", "Key__c", [{"Key__c": "1"}])


async def test_each_client_reads_the_authorities_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of authorities may be replaced while the process runs."""
    create = httpx2.create_ssl_context
    contexts: list[ssl.SSLContext] = []

    def read() -> ssl.SSLContext:
        contexts.append(create())
        return contexts[-1]

    monkeypatch.setattr(httpx2, "create_ssl_context", read)
    for _ in range(2):
        await Transport(timeout=1.0, client="test", meter=Meter()).close()
    assert len(contexts) == 2
