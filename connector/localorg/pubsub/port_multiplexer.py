"""One port for plain and TLS connections to the Pub/Sub API: the first byte of a connection tells which it is.

Some clients accept only TLS, some only a plain channel, and a gRPC server serves one of the two per port.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from connector.localorg.certificates import Certificates
from connector.localorg.pubsub.grpc_server import PubSubService

if TYPE_CHECKING:
    from connector.localorg.org import Org

_TLS_HANDSHAKE = b"\x16"
_CHUNK = 256 * 1024
_FIRST_BYTE_SECONDS = 20.0
_GRACE = 0.2


class PortMultiplexer:
    """Accepts connections on loopback and forwards them to the gRPC server, which listens on sockets in a folder."""

    def __init__(self, org: Org, folder: Path) -> None:
        self._server = PubSubService(org).server
        self._folder = folder
        self._grpc: grpc.aio.Server | None = None
        self._outer: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._tls = False

    async def start(self, host: str, port: int, certificates: Certificates | None) -> int:
        """Start and return the port. OSError if the port is not available."""
        self._outer = await asyncio.start_server(self._on_connection, host, port, start_serving=False, limit=_CHUNK)
        self._grpc = self._server()
        self._grpc.add_insecure_port(f"unix:{self._folder / 'plain'}")
        if certificates is not None:
            pair = (certificates.key.read_bytes(), certificates.chain.read_bytes())
            self._grpc.add_secure_port(f"unix:{self._folder / 'tls'}", grpc.ssl_server_credentials([pair]))
            self._tls = True
        await self._grpc.start()
        await self._outer.start_serving()
        bound_port: int = self._outer.sockets[0].getsockname()[1]
        return bound_port

    async def stop(self) -> None:
        if self._outer is not None:
            self._outer.close()
        if self._grpc is not None:
            await self._grpc.stop(_GRACE)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_FIRST_BYTE_SECONDS):
                first = await reader.read(_CHUNK)
            if not first or (first[:1] == _TLS_HANDSHAKE and not self._tls):
                return
            name = "tls" if first[:1] == _TLS_HANDSHAKE else "plain"
            answers, inner = await asyncio.open_unix_connection(self._folder / name, limit=_CHUNK)
            inner.write(first)
            pumps = [asyncio.create_task(_pump(reader, inner)), asyncio.create_task(_pump(answers, writer))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, TimeoutError):
            return
        finally:
            ends = [end for end in (writer, inner) if end is not None]
            for end in ends:
                end.close()
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()
