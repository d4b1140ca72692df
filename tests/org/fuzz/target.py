"""The org under test in its own thread, and a client that detects faults of the org."""

from __future__ import annotations

import asyncio
import http.client
import logging
import threading
import traceback
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from connector.cli.localorg import our_metadata
from connector.localorg.http import bulk_v1
from connector.localorg.org import OrgOptions
from connector.localorg.rest import metadata_api
from connector.localorg.server import LocalOrg, Ports

PATIENCE = 20.0
BASE = "/services/data/v66.0"


class FaultError(AssertionError):
    """The org did what it must never do. `signature` tells faults apart."""

    def __init__(self, signature: str, told: str) -> None:
        super().__init__(f"{signature}: {told[:500]}")
        self.signature = signature


class _Listener(logging.Handler):
    """Collects exceptions that the org or its event loop logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.heard.append(place(error) if error else record.getMessage()[:200])


def place(error: BaseException) -> str:
    """Return the type of an exception and where in the org it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "localorg" in frame.filename] or frames
    where = f"{ours[-1].filename.rpartition('localorg/')[2]}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__} at {where}: {str(error)[:120]}"


class Target:
    """The org under test, as a context manager."""

    org: LocalOrg

    def __enter__(self) -> Target:
        self._listener = _Listener()
        for name in ("connector.localorg", "asyncio"):
            logging.getLogger(name).addHandler(self._listener)
            logging.getLogger(name).propagate = False
        logging.getLogger("aiohttp.server").propagate = False  # what is no HTTP at all is its own affair
        logging.getLogger("aiohttp.server").addHandler(logging.NullHandler())
        self._kept = bulk_v1.QUEUE_SECONDS, metadata_api.QUEUE_SECONDS
        bulk_v1.QUEUE_SECONDS = metadata_api.QUEUE_SECONDS = 0
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        started.result(PATIENCE)
        self._connection: http.client.HTTPConnection | None = None
        return self

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as self.org:
            self.org.app.cometd.poll_seconds = 0.005
            started.set_result(None)
            await self._over.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._forget()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)
        bulk_v1.QUEUE_SECONDS, metadata_api.QUEUE_SECONDS = self._kept
        for name in ("connector.localorg", "asyncio"):
            logging.getLogger(name).removeHandler(self._listener)
            logging.getLogger(name).propagate = True

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body. FaultError if the org failed or did not answer."""
        target = path if path.startswith("/") else f"{BASE}/{path}"
        given = {"Authorization": f"Bearer {self.org.access_token}", **(headers or {})}
        try:
            if self._connection is None:
                address = self.org.url.removeprefix("http://")
                self._connection = http.client.HTTPConnection(address, timeout=PATIENCE)
            self._connection.request(method, target, body=body, headers=given)
            answer = self._connection.getresponse()
            status, result = answer.status, answer.read()
            if answer.will_close:
                self._forget()
        except TimeoutError:
            self._forget()
            raise FaultError("no answer", f"{method} {target}") from None
        except (http.client.HTTPException, ConnectionError):
            self._forget()
            self.check()
            return 0, b""  # the HTTP layer itself refused it
        self.check()
        if b"UNKNOWN_EXCEPTION" in result or (status >= 500 and b"Fault>" not in result):
            raise FaultError(f"status {status}", result.decode("utf-8", "replace"))
        return status, result

    def check(self) -> None:
        """Raise FaultError for anything logged since the last check."""
        heard, self._listener.heard = self._listener.heard, []
        if heard:
            raise FaultError(heard[0], heard[0])

    def works(self) -> None:
        """Check that a row can be written, found and deleted."""
        status, body = self.send("POST", "sobjects/Account", b'{"Name": "still here"}', JSON)
        assert status == 201, body
        record = body.partition(b'"id":"')[2][:18].decode()
        assert self.send("GET", f"query?q=SELECT+Id+FROM+Account+WHERE+Id='{record}'")[1].startswith(b'{"totalSize":1')
        assert self.send("DELETE", f"sobjects/Account/{record}")[0] == 204

    def inside(self, act: Any) -> Any:
        """Call a function in the org's own thread."""
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(act())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(PATIENCE)


JSON = {"Content-Type": "application/json"}
