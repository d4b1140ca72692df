"""Keys over HTTP are normalized in bodies, paths and queries, so that no two entities share one record in the org."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from tests.web.conftest import ORDER, Api, Said

SPELLINGS = ("M-1 ", " M-1", "\u00a0M-1", "M-1\u200b", "\ufeffM-1\t")


async def get(api: Api, path: str, **more: Any) -> Said:
    return await api("GET", path, **more)


@pytest.mark.parametrize("number", SPELLINGS)
async def test_order_under_a_number_that_looks_the_same_is_rejected(api: Api, number: str) -> None:
    assert (await api("POST", "/orders", ORDER | {"number": "M-1"})).status == 201
    other = await api("POST", "/orders", ORDER | {"number": number, "customer": "BLONP"})
    assert (other.status, other.body["field"]) == (409, "number")
    same = await api("POST", "/orders", ORDER | {"number": number, "customer": " ALFKI\u00a0"})
    assert (same.status, same.body["number"], same.headers["Location"]) == (200, "M-1", "/api/v1/orders/M-1")
    listed = await get(api, "/orders", params={"customer": "ALFKI "})
    assert [order["number"] for order in listed.body["orders"]] == ["M-1"]
    path = f"/orders/{quote(number)}"
    assert (await get(api, path)).body["number"] == "M-1"
    assert (await api("POST", f"{path}/transitions", {"action": "capture", "amount": 1})).status == 200
    for part in ("history", "invoices", "messages"):
        assert (await get(api, f"{path}/{part}")).status == 200


async def test_keys_of_product_warehouse_and_customer_are_normalized(api: Api) -> None:
    assert (await api("PUT", "/products/CHAI%20", {"name": "Chai", "sku": "CHAI"})).status == 200
    assert (await api("PUT", "/customers/%C2%A0ALFKI", {"name": "Alfreds", "number": "ALFKI\u3000"})).status == 200
    counted = await api("PUT", "/stock", {"warehouse": " EAST", "counts": {"CHAI ": 5}, "expected": {"CHAI": 50}})
    assert (counted.status, counted.body["counted"]) == (200, 1)
    levels = await get(api, "/stock", params={"sku": "\u00a0CHAI"})
    assert [(item["warehouse"], item["on_hand"]) for item in levels.body["stock"]] == [("EAST", "5")]
    twice = await api("PUT", "/stock", {"warehouse": "EAST", "counts": {"CHAI ": 5, "CHAI": 6}})
    assert (twice.status, twice.body["field"]) == (422, "counts")


async def test_composed_and_decomposed_letters_are_one_key(api: Api) -> None:
    assert (await api("PUT", f"/customers/{quote('Cafe' + chr(0x301))}", {"name": "Caf\u00e9"})).status == 201
    assert (await api("PUT", f"/customers/{quote('Caf' + chr(0xE9))}", {"name": "Caf\u00e9"})).status == 200


@pytest.mark.parametrize("key", ["a/b", "50%", 'it\'s "it"', "a\\b", "\u65e5\u672c", "a+b c", "?x=1&y#z", "..."])
async def test_key_with_special_characters_is_found_under_its_address(api: Api, key: str) -> None:
    made = await api("POST", "/orders", ORDER | {"number": key})
    assert made.status == 201
    url = URL(made.headers["Location"], encoded=True)
    headers = {"Authorization": f"Bearer {next(iter(api.secrets.values()))}"}
    async with api.client.get(url, headers=headers) as answer:
        assert (answer.status, (await answer.json())["number"]) == (200, key)


@pytest.mark.parametrize("number", ["", " \u200b", "a\u202eb", "a\x00b", "x" * 61])
async def test_empty_invisible_or_too_long_order_number_is_rejected(api: Api, number: str) -> None:
    said = await api("POST", "/orders", ORDER | {"number": number})
    assert (said.status, said.body["field"]) == (422, "number")


async def test_repeat_with_another_spelling_of_the_idempotency_key_changes_nothing(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    for key, replayed in (("k 1", None), (" k  1 ", "true"), ('"k 1"', "true")):
        said = await api("POST", "/orders/W-1/transitions", {"action": "capture", "amount": 10},
                         headers={"Idempotency-Key": key})  # fmt: skip
        assert (said.body["captured"], said.headers.get("Idempotency-Replayed")) == ("10", replayed)


async def test_line_number_given_in_two_spellings_is_rejected(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    said = await api.move(action="cancel", lines={"1": 1, "01": 2})
    assert (said.status, said.body["field"]) == (422, "lines")
