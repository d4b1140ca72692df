"""A proxy in front of an org, which answers in its place as a case demands."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Reply = tuple[int, Mapping[str, str], bytes]
Answer = Callable[[str, str, bytes], Reply | None]
"""Of method, path and body; None: the org answers itself."""


class Proxy:
    """`url` is its address. Sign-ins return `instance` as the address of the org. `seen` are the data calls."""

    def __init__(self, target: str) -> None:
        self.answer: Answer | None = None
        self.seen: list[tuple[str, str]] = []
        self.sign_ins = 0
        self.gone = False
        self._target = target
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.instance = self.url
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, and close the open connections."""
        self.gone = True
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if "/services/data" in path:
            self.seen.append((method, path.partition("?")[0]))
            if self.answer is not None and (reply := self.answer(method, path, body)) is not None:
                return reply
        elif "/oauth2/token" in path:
            self.sign_ins += 1
        target = urlsplit(self._target)
        connection = HTTPConnection(str(target.hostname), target.port, timeout=60)
        dropped = {"host", "content-encoding", "content-length", "connection", "accept-encoding"}
        kept = {name: value for name, value in headers.items() if name.lower() not in dropped}
        connection.request(method, path, body, kept)
        answer = connection.getresponse()
        content = answer.read().replace(self._target.encode(), self.instance.encode())
        connection.close()
        dropped = {"content-length", "transfer-encoding", "connection"}
        return answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in dropped}, content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_call(self) -> None:
                if proxy.gone:
                    self.close_connection = True
                    self.connection.close()
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status, headers, content = proxy._reply(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):  # the other side was killed meanwhile
                    self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_call  # noqa: N815 - names of the library

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

        return Handler
