"""Customers and products over HTTP: replaced as a whole, with preconditions, and never created twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from connector.model.change import EntityKind
from connector.model.role import Role
from connector.store import customers, products
from tests.unit.store import samples
from tests.web.conftest import ORDER, Api

ADA: dict[str, Any] = {"name": "Ada Ltd", "city": "Oslo", "tier": "gold", "credit_limit": "500.50"}
TEA: dict[str, Any] = {
    "name": "Tea",
    "prices": [{"currency": "USD", "unit_price": "9.50"}, {"currency": "EUR", "unit_price": 8}],
}
BOTH = pytest.mark.parametrize(
    ("path", "body", "change", "kind"),
    [
        ("/customers/C-7", ADA, {"city": "Bergen"}, EntityKind.CUSTOMER),
        ("/products/TEA", TEA, {"prices": [{"currency": "USD", "unit_price": "9.75"}]}, EntityKind.PRODUCT),
    ],
)


@BOTH
async def test_put_entity_is_stored_and_captured_for_the_org(
    api: Api, path: str, body: dict[str, Any], change: dict[str, Any], kind: EntityKind
) -> None:
    assert (await api("GET", path)).status == 404
    new = await api("PUT", path, body, headers={"If-None-Match": "*"})
    assert (new.status, new.headers["ETag"]) == (201, '"1"')
    assert await samples.due_keys(api.store, kind) == [path.rsplit("/", 1)[1]]
    changed = await api("PUT", path, body | change, headers={"If-Match": new.headers["ETag"]})
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    read = await api("GET", path, role=Role.VIEWER)
    assert (read.body, read.headers["ETag"]) == (changed.body, '"2"')
    [name] = change
    assert read.body[name] == change[name]


@BOTH
async def test_identical_put_changes_and_captures_nothing(
    api: Api, path: str, body: dict[str, Any], change: dict[str, Any], kind: EntityKind
) -> None:
    await api("PUT", path, body)
    await samples.settle_everything(api.store)
    said = (await api("GET", path)).body
    for again in (body, said):  # what was read can be put back as it is
        assert (await api("PUT", path, again)).headers["ETag"] == '"1"'
    assert await samples.due_keys(api.store, kind) == []


@BOTH
async def test_second_put_of_the_same_version_is_rejected(
    api: Api, path: str, body: dict[str, Any], change: dict[str, Any], kind: EntityKind
) -> None:
    new = [api("PUT", path, body | {"name": f"Name {n}"}, headers={"If-None-Match": "*"}) for n in range(6)]
    assert sorted(said.status for said in await asyncio.gather(*new)) == [201] + [412] * 5
    tries = [api("PUT", path, body | {"name": f"Other {n}"}, headers={"If-Match": '"1"'}) for n in range(6)]
    answers = await asyncio.gather(*tries)
    assert sorted(said.status for said in answers) == [200] + [412] * 5
    [winner] = [said.body["name"] for said in answers if said.status == 200]
    there = await api("GET", path)
    assert (there.body["name"], there.headers["ETag"]) == (winner, '"2"')
    lost = next(said for said in answers if said.status == 412)
    assert (lost.body["rule"], lost.body["field"]) == ("version", "If-Match")


@BOTH
async def test_put_with_unmet_or_invalid_precondition_is_rejected(
    api: Api, path: str, body: dict[str, Any], change: dict[str, Any], kind: EntityKind
) -> None:
    for header in ('"1"', "*"):
        assert (await api("PUT", path, body, headers={"If-Match": header})).status == 412
    assert (await api("PUT", path, body | {"version": 3})).status == 409
    await api("PUT", path, body)
    assert (await api("PUT", path, body, headers={"If-None-Match": "*"})).status == 412
    for header in ("soon", "9" * 5000, '"2"'):
        assert (await api("PUT", path, body, headers={"If-Match": header})).status == 412
    assert (await api("PUT", path, body, headers={"If-Match": "*"})).status == 200
    assert (await api("PUT", path, body, headers={"If-None-Match": '"1"'})).status == 400
    said = await api("PUT", path, body | {"version": 3})
    assert (said.status, said.body["rule"]) == (409, "version")
    assert (await api("PUT", path, body, role=Role.VIEWER)).status == 403
    async with api.store.reader() as connection:
        store: Any = customers if kind is EntityKind.CUSTOMER else products
        assert set((await store.versions(connection, [path.rsplit("/", 1)[1]])).values()) == {1}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/customers/C-7", ADA | {"number": "C-8"}, "number"),
        ("/customers/C-7", ADA | {"name": "a\x00b"}, "name"),
        ("/customers/C-7", ADA | {"credit_limit": -1}, "credit_limit"),
        ("/customers/C-7", ADA | {"color": "red"}, "color"),
        ("/customers/" + "C" * 81, ADA, "number"),
        ("/products/TEA", TEA | {"sku": "TEE"}, "sku"),
        ("/products/TEA", {"name": ""}, "name"),
        ("/products/TEA", TEA | {"active": "yes"}, "active"),
        ("/products/TEA", TEA | {"prices": TEA["prices"] * 2}, "prices"),
        ("/products/TEA", TEA | {"prices": [{"currency": "usd", "unit_price": 1}]}, "prices.0.currency"),
    ],
)
async def test_invalid_customer_or_product_is_rejected(api: Api, path: str, body: dict[str, Any], field: str) -> None:
    said = await api("PUT", path, body)
    assert (said.status, said.body["field"]) == (422, field)
    assert (await api("GET", path)).status == 404


async def test_customers_and_products_are_listed_page_by_page(api: Api) -> None:
    for number in range(3):
        await api("PUT", f"/customers/A-{number}", ADA)
        await api("PUT", f"/products/A-{number}", TEA)
    for path, key in (("/customers", "number"), ("/products", "sku")):
        first = (await api("GET", path, params={"limit": "2"}, role=Role.VIEWER)).body
        rest = (await api("GET", path, params={"after": first["after"]})).body
        items = [*first[path[1:]], *rest[path[1:]]]
        assert [item[key] for item in items][:3] == ["A-0", "A-1", "A-2"]
        assert (len(items), rest["after"], {item["version"] for item in items}) == (5, None, {1})
        assert (await api("GET", path, params={"limit": "9" * 5000})).status == 400


async def test_order_updates_its_customer_and_its_repeat_does_not(api: Api) -> None:
    known = {"name": "Alfreds", "tier": "gold", "credit_limit": 10, "email": "a@alfreds.example"}
    await api("PUT", "/customers/ALFKI", known)
    order = ORDER | {"customer": {"number": "ALFKI", "phone": "030-1", "tier": "none", "credit_limit": 10**6}}
    assert (await api("POST", "/orders", order)).status == 201
    said = (await api("GET", "/customers/ALFKI")).body
    assert {name: said[name] for name in (*known, "phone")} == known | {"credit_limit": "10", "phone": "030-1"}
    await api("PUT", "/customers/ALFKI", known | {"name": "Alfreds Futterkiste", "phone": "030-2"})
    assert (await api("POST", "/orders", order)).status == 200
    said = (await api("GET", "/customers/ALFKI")).body
    assert (said["name"], said["phone"]) == ("Alfreds Futterkiste", "030-2")
    assert (await api("POST", "/orders", order | {"freight": "1000"})).status == 409
