"""Concurrent identical requests: one creates the entity, the others get the responses of later repeats."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.web.conftest import ORDER, Api
from tests.web.test_entities import ADA, TEA

MANY = 20
NEW: dict[str, Any] = {key: value for key, value in ORDER.items() if key != "placed_at"}


@pytest.mark.parametrize("customer", ["ALFKI", {"number": "NEW-1", "name": "New"}], ids=["known", "new"])
async def test_concurrent_identical_orders_are_created_once(api: Api, customer: Any) -> None:
    body = NEW | {"customer": customer}
    said = await asyncio.gather(*(api("POST", "/orders", body) for _ in range(MANY)))
    assert sorted(answer.status for answer in said) == [200] * (MANY - 1) + [201]
    assert len({answer.body["version"] for answer in said}) == 1


async def test_concurrent_different_orders_under_one_number_create_one(api: Api) -> None:
    spellings = ("W-1", "W-1 ", "\u00a0W-1", "W-1\u200b")
    bodies = [NEW | {"number": spellings[index % 4], "freight": str(index)} for index in range(12)]
    said = await asyncio.gather(*(api("POST", "/orders", body) for body in bodies))
    assert sorted(answer.status for answer in said) == [201] + [409] * 11
    assert {answer.body.get("rule") for answer in said if answer.status == 409} == {"idempotency"}


@pytest.mark.parametrize(("path", "body"), [("/customers/C-7", ADA), ("/products/TEA", TEA)])
async def test_concurrent_identical_puts_create_one_entity(api: Api, path: str, body: Any) -> None:
    said = await asyncio.gather(*(api("PUT", path, body) for _ in range(MANY)))
    assert sorted(answer.status for answer in said) == [200] * (MANY - 1) + [201]
    assert {answer.headers["ETag"] for answer in said} == {'"1"'}


async def test_concurrent_identical_counts_all_succeed(api: Api) -> None:
    body = {"warehouse": "NORTH", "counts": {"CHAI": 5, "TOFU": 7}}
    said = await asyncio.gather(*(api("PUT", "/stock", body) for _ in range(MANY)))
    assert [answer.status for answer in said] == [200] * MANY
