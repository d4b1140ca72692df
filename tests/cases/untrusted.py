"""Malicious or mistyped requests, files and bodies."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.acceptance.sides import CONNECTOR, ROOT, Org, an_org
from tests.cases.api import Api, serving
from tests.cases.lab import Case, Claim, Lab, holds, same

REFUSED = {400, 401, 404, 413, 415, 422}


def malformed_headers_and_bodies(folder: Path) -> Iterator[Claim]:
    """400 with a problem document, never 500, and no traceback in the log."""
    lab = Lab(folder)
    lab.must("db", "upgrade")
    with serving(lab) as api:
        api.place("A1", "ANN")
        good = f"Authorization: Bearer {api.token}".encode()
        verify = b'{"action":"verify"}'
        move = b"POST /api/v1/orders/A1/transitions HTTP/1.1"
        json_ = b"Content-Type: application/json"

        def asked(body: bytes, *headers: bytes, kind: bytes = json_) -> tuple[list[bytes], bytes]:
            return [move, good, kind, f"Content-Length: {len(body)}".encode(), *headers], body

        def read(path: bytes) -> tuple[list[bytes], bytes]:
            return [b"GET /api/v1/orders" + path + b" HTTP/1.1", good], b""

        requests = {
            "a token that is no text": ([b"GET /api/v1/orders HTTP/1.1", b"Authorization: Bearer \xff"], b""),
            "an If-Match that is no text": asked(verify, b'If-Match: "\xff"'),
            "an Idempotency-Key that is no text": asked(verify, b"Idempotency-Key: \xff"),
            "gzip that is none": asked(b"xx", b"Content-Encoding: gzip"),
            "an encoding nobody knows": asked(verify, b"Content-Encoding: xyz"),
            "a charset nobody knows": asked(b"{}", kind=b"Content-Type: application/json; charset=xyz"),
            "a key twice": asked(b'{"action":"verify","action":"cancel"}'),
            "brackets without end": asked(b"[" * 100_000),
            "half a document": asked(b'{"act'),
            "a surrogate": asked(b'{"action":"verify","note":"\\ud800"}'),
            "a number without end": asked(b'{"action":"authorize","amount":1e999999}'),
            "NUL in a path": read(b"/A%00"),
            "NUL in a query": read(b"?customer=%00"),
            "a path that is no text": read(b"/%E0%A4"),
        }
        for name, (lines, body) in requests.items():
            answer = api.raw(*lines, body=body)
            status = int(answer.split(b" ", 2)[1]) if answer else 0
            yield holds(name, status, status in REFUSED, "refused")
        yield same("the order", "placed", api("GET", "/orders/A1")[1]["stage"])
        yield from _slow(api)
    log = (folder / "serve.log").read_text()
    yield same("tracebacks in the log", 0, log.count("Traceback"))


def _slow(api: Api) -> Iterator[Claim]:
    """A client that sends a byte now and then."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", api.port), timeout=90) as connection:
        connection.sendall(b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + api.token.encode())
        connection.sendall(b"\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
        cut = False
        while not cut and time.monotonic() - started < 80:
            with suppress(TimeoutError):
                connection.settimeout(1)
                cut = connection.recv(4096) is not None
            if not cut:
                try:
                    connection.sendall(b" ")
                except OSError:
                    cut = True
    yield holds("a body that drips is cut after", f"{time.monotonic() - started:.0f} s", cut, "at most 80 s")


def files_that_expand_without_end(folder: Path) -> Iterator[Claim]:
    """Rules, mappings and profiles that double or nest at every level: one line, exit status 2."""
    lab = Lab(folder)
    lab.must("db", "upgrade")
    merge = ["x0: &x0 {a: 1}"] + [f"x{n}: &x{n}\n  <<: [*x{n - 1}, *x{n - 1}]\n  k{n}: 1" for n in range(1, 28)]
    texts = {
        "merge keys": "\n".join(merge),
        "aliases": "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]),
        "brackets": "a: " + "[" * 20_000,
        "indents": "\n".join(" " * n + "a:" for n in range(3000)),
        "not text": "\ud800",
        "nothing": "",
        "large": "a: " + "x" * 30_000_000,
    }
    for name, text in texts.items():
        for what in ("rules", "profile", "mapping"):
            file = folder / f"{what}.yaml"
            if what == "mapping":
                (folder / "mappings").mkdir(exist_ok=True)
                file = folder / "mappings" / "customer.yaml"
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            if what == "rules":
                lab.settings["RULES_FILE"] = str(file)
                words: tuple[str | Path, ...] = ("act", "A1", "verify")
            elif what == "profile":
                words = ("import", "--profile", file, ROOT / "fixtures" / "samples" / "shop")
            else:
                lab.settings["MAPPINGS_DIR"] = str(file.parent)
                words = ("push", "--dry-run")
            started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            result = lab(*words)
            took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - started
            lab.settings.pop("RULES_FILE", None)
            lab.settings.pop("MAPPINGS_DIR", None)
            fine = "Traceback" not in result.text and "RecursionError" not in result.text
            lines = len(result.text.strip().splitlines())
            yield holds(f"{name}, as {what}", f"{result.status}, {took:.0f} s, {result.text.strip()[:120]}",
                        result.status == 2 and fine and took < 15 and lines <= 5, "2, one line")  # fmt: skip


def large_soap_bodies(folder: Path) -> Iterator[Claim]:
    """The local org reads a body of twice the size in about twice the time."""
    with an_org() as org:
        small, large = _cpu(org, 4000), _cpu(org, 16000)
        yield holds(
            "CPU of a body four times as large",
            f"{large:.2f} s against {small:.2f} s",
            large < max(8 * small, 0.5),
            "about four times",
        )


def _cpu(org: Org, count: int) -> float:
    import psutil

    body = ("<E><Body><![CDATA[" + "<sessionId " * count + "]]></Body></E>").encode()
    process = psutil.Process(org.process.pid)
    before = process.cpu_times().user
    head = "POST /services/Soap/m/66.0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n"
    port = int(org.banner["instance_url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.encode() + body)
        while connection.recv(65536):
            pass
    return process.cpu_times().user - before


def header_fields_in_a_channel_filter(folder: Path) -> Iterator[Claim]:
    """All are allowed except arrays."""
    with an_org() as org:
        path = "/services/data/v66.0/tooling/sobjects/PlatformEventChannel"
        org.ask("POST", path, {"FullName": "Quiet__chn", "Metadata": {"channelType": "data", "label": "Quiet"}})
        for field, right in (
            ("commitUser != '005000000000001AAA'", True),
            ("changeType = 'UPDATE'", True),
            ("changedFields = 'Status'", False),
        ):
            metadata = {
                "eventChannel": "Quiet__chn",
                "selectedEntity": "OrderChangeEvent",
                "filterExpression": f"ChangeEventHeader.{field}",
            }
            try:
                made = org.ask(
                    "POST", f"{path}Member", {"FullName": "Quiet_chn_OrderChangeEvent", "Metadata": metadata}
                )
                org.ask("DELETE", f"{path}Member/{made['id']}")
                taken = True
            except OSError:
                taken = False
            yield same(field, right, taken)


def permissions_of_created_files(folder: Path) -> Iterator[Claim]:
    """Only the owner can read the database."""
    folder.mkdir(parents=True)
    environment = {**os.environ, "CONNECTOR_DATABASE_URL": f"sqlite:///{folder / 'mine.db'}", "PYTHONPATH": str(ROOT)}
    umask = f"import os, sys; os.umask(0); os.execv({sys.executable!r}, {[*CONNECTOR, 'db', 'upgrade']!r})"
    subprocess.run(
        [sys.executable, "-c", umask], env=environment, cwd=folder, check=True, timeout=60, capture_output=True
    )
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}
    yield same("modes", dict.fromkeys(modes, "0o600"), modes)


CASES: tuple[Case, ...] = (
    malformed_headers_and_bodies, files_that_expand_without_end, large_soap_bodies, header_fields_in_a_channel_filter,
    permissions_of_created_files,
)  # fmt: skip
