"""Both sides as programs: a local org, the connector's command line, and a wire tap between them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil

CONNECTOR = (sys.executable, "-m", "connector")
ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "fixtures" / "profiles" / "northwind.yaml"
LONGEST = 300


class Org:
    """A local org in a process of its own."""

    process: subprocess.Popen[str]

    def __init__(self, *more: str) -> None:
        self.banner: dict[str, str] = json.loads(self.start("localorg", "--port", "0", "--json", *more))

    def start(self, *words: str) -> str:
        """The first line that `connector WORDS` prints."""
        self.process = subprocess.Popen([*CONNECTOR, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.banner["instance_url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.banner['access_token']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def usage(self) -> dict[str, int]:
        told: dict[str, int] = self.ask("GET", "/_org/usage")
        return told

    def count(self, sobject: str) -> int:
        told = self.ask("GET", f"/services/data/v66.0/query?q=SELECT+COUNT()+FROM+{sobject}")
        return int(told["totalSize"])

    def read_back(self) -> dict[str, Any]:
        """What a client that is not ours finds there, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.acceptance.readback"],
            env={**os.environ, "ORG_URL": self.banner["instance_url"], "ORG_TOKEN": self.banner["access_token"]},
            cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


@contextmanager
def an_org(*more: str) -> Iterator[Org]:
    """`more`: other options of `connector localorg`."""
    org = Org(*more)
    try:
        yield org
    finally:
        org.stop()


def run_program(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """Run the installed command: its exit status, standard output and standard error."""
    done = subprocess.run(
        [*CONNECTOR, *words], env=environment, cwd=folder, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    return done.returncode, done.stdout, done.stderr


class Process(Protocol):
    """A command that runs beside us, like `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


def start_program(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> Process:
    """Start the installed command."""
    return subprocess.Popen(
        [*CONNECTOR, *words], env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


class Connector:
    """The command line with a database of its own."""

    run = staticmethod(run_program)
    start = staticmethod(start_program)

    def __init__(self, org: Org, folder: Path, *, login_url: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")},
            "CONNECTOR_DATABASE_URL": f"sqlite:///{folder / 'connector.db'}",
            "CONNECTOR_SALESFORCE__LOGIN_URL": login_url or org.banner["instance_url"],
            "CONNECTOR_SALESFORCE__CLIENT_ID": org.banner["client_id"],
            "CONNECTOR_SALESFORCE__CLIENT_SECRET": org.banner["client_secret"],
            "CONNECTOR_SYNC__LEASE_SECONDS": "3",  # so that a killed push is waited for three seconds, not fifteen
            "PYTHONPATH": str(ROOT),
        }
        self("db", "upgrade")

    def __call__(self, *words: str | Path, status: int | None = 0) -> str:
        """Standard output; RuntimeError when the exit status is another."""
        found, out, err = self.run([str(word) for word in words], self.environment, self.folder)
        if status is not None and found != status:
            raise RuntimeError(f"connector {' '.join(map(str, words))}: {found}\n{out}{err}")
        return out

    def told(self, *words: str | Path, status: int | None = 0) -> Any:
        return json.loads(self(*words, "--json", status=status))

    def import_(self, folder: Path) -> Any:
        return self.told("import", folder, "--profile", PROFILE)

    def push_killed_when(self, ripe: Callable[[], bool]) -> bool:
        """Start a push and kill it once `ripe` says so. Whether it was still alive."""
        process = self.start(["push"], self.environment, self.folder)
        end = time.monotonic() + LONGEST
        while process.poll() is None and not ripe() and time.monotonic() < end:
            time.sleep(0.005)
        alive = process.poll() is None and kill_children(process.pid)
        process.kill()
        process.wait()
        return alive


def kill_children(pid: int) -> bool:
    """Kill all that the process has started. Return whether it was there: a fork is gone before `poll` says so."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return False
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    return True


@contextmanager
def wire_tap(org: Org) -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """An address that passes every call on to the org, and the list of (method, path, body) that it saw."""
    seen: list[tuple[str, str, bytes]] = []
    target = urlsplit(org.banner["instance_url"])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            packed = self.headers.get("Content-Encoding") == "gzip"
            seen.append((self.command, self.path, gzip.decompress(body) if packed else body))
            connection = HTTPConnection(str(target.hostname), target.port, timeout=60)
            connection.request(self.command, self.path, body, {**dict(self.headers), "Accept-Encoding": "identity"})
            answer = connection.getresponse()
            here = f"http://{self.headers['Host']}"
            content = answer.read().replace(
                org.banner["instance_url"].encode(), here.encode()
            )  # calls go on through us
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815 - names of the library

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
