"""Administration (`/_org`): access, and checks of its options."""

from __future__ import annotations

from typing import Any

import pytest

from tests.org.conftest import SHARED, Caller

pytestmark = SHARED


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "faults", b"{"),
        ("POST", "faults", b"[]"),
        ("POST", "faults", b'{"status": [1]}'),
        ("POST", "faults", b'{"status": {"code": {}, "count": 1}}'),
        ("POST", "faults", b'{"lost_response": 100001}'),
        ("POST", "faults", b'{"latency_ms": 60001}'),
        ("POST", "faults", b'{"latency_ms": 1.5}'),
        ("POST", "faults", b'{"latency_ms": 1e400}'),
        ("POST", "faults", b'{"row_lock": -1}'),
        ("POST", "faults", b'{"nothing": 1}'),
        ("POST", "faults", b'{"limit": ' + b"9" * 5_000 + b"}"),
        ("POST", "faults", b"[" * 30_000),
        ("POST", "events", b'{"captured": [{}]}'),
        ("POST", "events", b'{"retention_seconds": "x"}'),
        ("PUT", "managed-subscriptions/x", b'{"topic": 5}'),
        ("PUT", "managed-subscriptions/x", b'{"topic": "/data/ChangeEvents", "starts": ["LATEST"]}'),
        ("PUT", "managed-subscriptions/" + "x" * 81, b'{"topic": "/data/ChangeEvents"}'),
        ("PUT", "jwt-key", b"\xff\xfe"),
        ("PUT", "jwt-key", b"no key"),
        ("GET", "calls?limit=" + "9" * 5_000, b""),
        ("GET", "calls?limit=-1", b""),
    ],
)
async def test_invalid_option_is_rejected_with_400(shared: Caller, method: str, path: str, body: bytes) -> None:
    answer = await shared.raw(method, f"/_org/{path}", body or None)
    assert answer.status == 400, answer.body
    assert answer.code


@pytest.mark.parametrize(
    "path",
    ["/_org/faults", "/services/oauth2/token", "/cometd/66.0", "/services/Soap/u/58.0/x"],
)
async def test_oversized_body_is_rejected(shared: Caller, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    from connector.localorg.http import app

    limits = {place: min(most, 100_000) for place, most in app._MAX_BYTES_BY_PATH.items()}
    monkeypatch.setattr(app, "_MAX_BYTES_BY_PATH", limits)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await shared.raw("POST", path, b"a=" + b"b" * 200_000, **form)
    assert answer.status == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
async def test_page_of_another_site_is_rejected_even_with_a_token(shared: Caller, headers: dict[str, Any]) -> None:
    for method, path in (("GET", "usage"), ("POST", "faults"), ("DELETE", "faults")):
        answer = await shared.raw(method, f"/_org/{path}", None, **headers)
        assert (answer.status, answer.code) == (403, "FORBIDDEN")


async def test_own_page_and_programs_are_accepted(shared: Caller) -> None:
    port = shared.org.url.rpartition(":")[2]
    for headers in ({}, {"Origin": shared.org.url}, {"Host": f"localhost:{port}"}, {"Host": f"[::1]:{port}"}):
        assert (await shared.raw("GET", "/_org/usage", None, **headers)).status == 200
    denied = await shared.raw("GET", "/_org/usage", None, Authorization="Bearer x")
    assert denied.status == 401
