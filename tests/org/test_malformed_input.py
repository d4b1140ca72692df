"""Malformed input found by fuzzing: each once made the org fail or hang, and is answered with an error now."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from connector.localorg.http import bulk_v1
from tests.org.conftest import SHARED, Caller
from tests.org.test_e_bulk import Bulk

pytestmark = SHARED
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "limits", None, {"Expect": "tU"}, 417),
        ("POST", "sobjects/Account", b"no gzip", {**JSON, "Content-Encoding": "gzip"}, 400),
        ("POST", "/services/oauth2/token", b"", {"Content-Type": "multipart/form-data"}, 400),
        ("POST", "/services/oauth2/token", b"x", {"Content-Type": "multipart/form-data; boundary=X"}, 400),
        (
            "POST",
            "/services/oauth2/token",
            b"--X\r\n\r\n--X--",
            {"Content-Type": "multipart/form-data; boundary=X"},
            400,
        ),
        ("GET", "limits", None, {"If-Modified-Since": "Thu, 99 Foo 99999 99:99:99 +9999"}, 200),
        ("GET", "query?q=SELECT+Id+FROM+Account+WHERE+Name='%5CuD800'", None, {}, 200),
        ("GET", "sobjects/Account/updated?start=0001-01-01T00:00:00%2B23:59&end=2026-01-01T00:00:00Z", None, {}, 400),
    ],
)
async def test_malformed_request_is_answered(
    shared: Caller, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    """Headers, bodies and addresses that contradict each other."""
    assert (await shared.raw(method, path, body, **headers)).status == status


@pytest.mark.parametrize("echoed", [1.5, 10**40, "\ud800", {"a": [10**40]}, None])
async def test_cometd_reply_echoes_any_id_and_channel(shared: Caller, echoed: Any) -> None:
    """The ID and the channel may be any JSON value."""
    for message in ({"channel": echoed}, {"channel": "/meta/connect", "id": echoed}, {"clientId": echoed}):
        answer = await shared.raw("POST", "/cometd/66.0", json.dumps([message]).encode(), **JSON)
        assert answer.json[0]["error"] == "403::Unknown client"


@pytest.mark.parametrize("types", [1, "long-polling", {"a": 1}, True])
async def test_invalid_connection_types_are_rejected(shared: Caller, types: Any) -> None:
    """The handshake is rejected."""
    shake = {"channel": "/meta/handshake", "supportedConnectionTypes": types}
    answer = await shared.raw("POST", "/cometd/66.0", json.dumps([shake]).encode(), **JSON)
    assert (answer.status, answer.json[0]["successful"]) == (200, False)


@pytest.mark.parametrize(
    "inner",
    [b"<m:deploy><m:ZipFile>\xc3\x9c</m:ZipFile></m:deploy>", b"<m:deploy>", b"<m:deploy>" * 50_000, b"", b"<m:query/>",
     b"<m:checkDeployStatus/>"],
    ids=["letters", "open", "many", "none", "other", "empty"],
)  # fmt: skip
async def test_malformed_envelope_is_a_fault(shared: Caller, inner: bytes) -> None:
    """The fault comes soon."""
    session = f"<m:sessionId>{shared.org.access_token}</m:sessionId>".encode()
    content = b'<e:Envelope xmlns:e="urn:e" xmlns:m="urn:m">' + session + inner + b"</e:Envelope>"
    async with asyncio.timeout(10):
        answer = await shared.raw("POST", "/services/Soap/m/66.0", content, **{"Content-Type": "text/xml"})
    assert (answer.status, b"Fault>" in answer.body, b"UNKNOWN" in answer.body) == (500, True, False)


async def over(caller: Caller, path: str, session: dict[str, str]) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            [batch] = (await caller.raw("GET", f"{path}/batch", **session)).json["batchInfo"]
            if batch["state"] not in {"Queued", "InProgress"}:
                return dict(batch)
            await asyncio.sleep(bulk_v1.QUEUE_SECONDS)


@pytest.mark.parametrize(
    ("kind", "operation", "content"),
    [
        ("JSON", "insert", b'[{"Name": 1e99999999999999999999}]'), ("JSON", "insert", b"[" * 3_000), ("JSON", "query",
        b"\xff"),
        ("JSON", "query", b"SELECT COUNT(Id) FROM Account"), ("JSON", "query",
        b"SELECT TYPEOF What WHEN Order THEN Id END FROM Task"),
    ],
)  # fmt: skip
async def test_malformed_batch_fails_with_a_reason(shared: Caller, kind: str, operation: str, content: bytes) -> None:
    """The state is Failed."""
    session = {"X-SFDC-Session": shared.org.access_token, **JSON}
    info = json.dumps({"operation": operation, "object": "Account", "contentType": kind}).encode()
    job = (await shared.raw("POST", "/services/async/66.0/job", info, **session)).json
    path = f"/services/async/66.0/job/{job['id']}"
    await shared.raw("POST", f"{path}/batch", content, **session)
    batch = await over(shared, path, session)
    assert (batch["state"], "InternalServerError" in batch["stateMessage"]) == ("Failed", False)


async def test_invalid_bulk_version_is_rejected(shared: Caller) -> None:
    """It is rejected before a job is created."""
    session = {"X-SFDC-Session": shared.org.access_token, **JSON}
    info = b'{"operation": "insert", "object": "Account"}'
    for version in ("x", "66", "", "6600.0"):
        answer = await shared.raw("POST", f"/services/async/{version}/job", info, **session)
        assert answer.status in {400, 404}


async def test_job_with_an_internal_error_stops_no_other(shared: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker continues with the next job."""
    from connector.localorg import bulk_worker

    class Broken:
        patient = True

        def __init__(self, *_: object) -> None:
            raise KeyError("broken")

    bulk = Bulk(shared)
    body = {"operation": "query", "query": "SELECT Id FROM User"}
    with monkeypatch.context() as broken:
        broken.setattr(bulk_worker, "QueryJobRunner", Broken)
        _, first = await shared.call("POST", "jobs/query", body)
        assert (await bulk.over(first["id"], "query"))["state"] == "Failed"
    _, second = await shared.call("POST", "jobs/query", body)
    assert (await bulk.over(second["id"], "query"))["state"] == "JobComplete"
