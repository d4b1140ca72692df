"""An address of the local org that can be closed, or lead elsewhere: bytes are passed on as they come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

MOVED = b"HTTP/1.1 301 Moved Permanently\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Relay:
    """Use as an async context manager; `url` is where it listens, `calls` how many connections came."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        self._target = (parts.hostname, parts.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._leads_to: str | None = None
        self.calls = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nobody answers here any more, nor on a connection that is open."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def lead_to(self, url: str) -> None:
        """Answer everything with a redirect."""
        self._leads_to = url
        for writer in self._writers:
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        self._writers.add(writer)
        try:
            if self._leads_to is not None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(MOVED % self._leads_to.encode())
                await writer.drain()
                return
            there, back = await asyncio.open_connection(*self._target)
            self._writers.add(back)
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
