"""A long CSV is streamed: little of it is in memory, and a part never looks like a complete file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientResponse

from connector.errors import StoreError
from connector.model.role import Role
from connector.store.queries import backorders
from connector.store.queries.backorders import BackorderLine
from connector.web import csv_response
from tests.web.conftest import PREFIX, Api
from tests.web.test_backorders import waiting

ITEM = BackorderLine(
    sku="CHAI", number="W-1", line=1, quantity=Decimal(4), priority=0, promised_on=None,
    placed_at=datetime(2026, 2, 27, tzinfo=UTC), on_hold=False,
)  # fmt: skip


@asynccontextmanager
async def asked(api: Api) -> AsyncIterator[ClientResponse]:
    headers = {"Authorization": f"Bearer {api.secrets[Role.VIEWER]}"}
    async with api.client.get(f"{PREFIX}/back-orders/csv", headers=headers) as answer:
        yield answer


def lines(monkeypatch: pytest.MonkeyPatch, many: int, error: Exception | None = None) -> list[int]:
    """Let `many` backorder lines wait, then raise `error`; return the requested counts, and -1 at the end."""
    seen: list[int] = []

    async def stream_lines(*_arguments: Any) -> AsyncGenerator[BackorderLine, None]:
        try:
            for number in range(many):
                seen.append(number)
                yield ITEM
            if error is not None:
                raise error
        finally:
            seen.append(-1)

    monkeypatch.setattr(backorders, "stream_backorder_lines", stream_lines)
    return seen


async def test_streamed_csv_equals_the_whole_csv(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await waiting(api)
    async with asked(api) as answer:
        whole = await answer.text()
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/csv", "utf-8")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-ID"]
    assert whole.count("\r\n") == 4
    monkeypatch.setattr(csv_response, "PIECE_CHARACTERS", 1)
    async with asked(api) as answer:
        assert await answer.text() == whole


async def test_stream_starts_before_all_rows_are_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = lines(monkeypatch, 1_000_000)
    async with asked(api) as answer:
        first = await answer.content.readany()
        assert first.startswith(b"sku,number,line,quantity")
        # A reader who does not go on reading holds it up: what is on its way is in the buffers of the connection.
        assert 0 < len(seen) < 500_000
        answer.close()


async def test_error_before_the_first_piece_is_a_problem_document(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(monkeypatch, 5, StoreError("gone"))
    async with asked(api) as answer:
        assert (answer.status, answer.content_type) == (503, "application/problem+json")


async def test_error_after_the_first_piece_aborts_the_connection(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = lines(monkeypatch, 20_000, StoreError("gone"))
    async with asked(api) as answer:
        assert answer.status == 200
        with pytest.raises(ClientPayloadError):
            await answer.read()
    assert seen[-1] == -1
    assert (await api("GET", "/status")).status == 200
