"""The HTTP API in a separate process, called over a plain connection."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from tests.cases.lab import Lab, wait_until

STREET = {"street": "1 Main Road", "city": "Portland", "state": "OR", "postal_code": "97201", "country": "USA"}


class Api:
    """`api("POST", "/orders", {...})` returns (status, document)."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        return self.send(method, path, None if body is None else json.dumps(body).encode(), **headers)

    def send(self, method: str, path: str, body: bytes | None, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1{path}", method=method, data=body,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **named},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            content = error.read()
            return error.code, json.loads(content) if content[:1] in b"{[" else content.decode()

    def raw(self, *lines: bytes, body: bytes = b"", seconds: float = 10) -> bytes:
        """Send these header lines unchanged, and return the response; empty if the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(b"\r\n".join([*lines, b"Host: 127.0.0.1", b"Connection: close", b"", b""]) + body)
            found = b""
            while part := connection.recv(65536):
                found += part
        return found

    def place(self, number: str, customer: str, quantity: int = 1, **more: object) -> tuple[int, Any]:
        body = {
            "number": number, "customer": {"number": customer, "name": customer, **STREET}, "currency": "USD",
            "lines": [{"line": 1, "sku": "A", "quantity": quantity}], **more,
        }  # fmt: skip
        return self("POST", "/orders", body)

    def act(self, number: str, action: str, **more: object) -> tuple[int, Any]:
        return self("POST", f"/orders/{quote(number, safe='')}/transitions", {"action": action, **more})


@contextmanager
def serving(lab: Lab) -> Iterator[Api]:
    """The API of `lab`, with product A (10 USD) and 100 of it in EAST."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab.settings["HTTP__PORT"] = str(port)
    token = lab.must("tokens", "create", "--role", "ops", "--name", "case", "--json").document["token"]
    process = lab.start("serve")
    api = Api(port, token)
    try:
        if not wait_until(lambda: _up(port), 30):
            raise RuntimeError("the API did not start: " + (lab.folder / "serve.log").read_text()[-2000:])
        api("PUT", "/products/A", {"name": "A", "prices": [{"currency": "USD", "unit_price": 10}]})
        api("PUT", "/stock", {"warehouse": "EAST", "counts": {"A": 100}})
        yield api
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()


def _up(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
