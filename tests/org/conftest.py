"""Fixtures: a local org over real HTTP, and a client for the calls that the tests make."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from yarl import URL

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from tests.org.grpc_client import Client
from tests.org.pages import Reader

BASE = "/services/data/v66.0"
SHARED = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of a refusal."""
        return str(self.json[0]["errorCode"])


@dataclass
class Caller:
    """HTTP calls to the org as its administrator. They return (status, parsed body)."""

    org: LocalOrg
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        url = self.org.url + (path if path.startswith("/services") else f"{BASE}/{path}")
        given = {"Authorization": f"Bearer {self.org.access_token}"} | headers
        async with self.http.request(method, url, json=body, headers=given) as answer:
            text = await answer.text()
            return answer.status, (await answer.json() if text and "json" in answer.content_type else text)

    async def raw(self, method: str, path: str, data: bytes | None = None, **headers: str) -> Answer:
        """Send any request and return the response unparsed."""
        url = self.org.url + (path if path.startswith("/") else f"{BASE}/{path}")
        given = {"Authorization": f"Bearer {self.org.access_token}"} | headers
        async with self.http.request(method, URL(url, encoded=True), data=data, headers=given) as answer:
            return Answer(answer.status, await answer.read(), answer.headers)

    async def create(self, sobject: str, **fields: Any) -> str:
        status, body = await self.call("POST", f"sobjects/{sobject}", fields)
        assert status == 201, body
        return str(body["id"])

    async def query(self, soql: str) -> list[dict[str, Any]]:
        from urllib.parse import quote

        status, body = await self.call("GET", f"query?q={quote(soql)}")
        assert status == 200, body
        return list(body["records"])

    async def refusal(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Return status, error code and message of a call that must be refused."""
        status, answer = await self.call(method, path, body)
        assert status >= 400, answer
        return status, answer[0]["errorCode"], answer[0]["message"]

    async def graph(self, *graphs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sent = [{"graphId": f"g{number}", "compositeRequest": nodes} for number, nodes in enumerate(graphs)]
        status, body = await self.call("POST", "composite/graph", {"graphs": sent})
        assert status == 200, body
        return list(body["graphs"])

    async def standard_price_book(self) -> str:
        return str((await self.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true"))[0]["Id"])

    async def priced_product(self, name: str = "Tea", price: float | str = 10.0) -> tuple[str, str]:
        """Create a product and its standard price book entry; return both IDs."""
        product = await self.create("Product2", Name=name, IsActive=True)
        book = await self.standard_price_book()
        entry = await self.create(
            "PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=price, IsActive=True
        )
        return product, entry

    async def draft(self, **fields: Any) -> str:
        account = fields.pop("AccountId", None) or await self.create("Account", Name="Acme")
        book = await self.standard_price_book()
        given = {"AccountId": account, "EffectiveDate": "2026-01-05", "Status": "Draft", "Pricebook2Id": book} | fields
        return await self.create("Order", **given)

    async def active_order(self) -> tuple[str, str]:
        """Create an activated order with one line; return both IDs."""
        _, entry = await self.priced_product()
        order = await self.draft()
        line = await self.create("OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=2, UnitPrice=10)
        status, body = await self.call("PATCH", f"sobjects/Order/{order}", {"Status": "Activated"})
        assert status == 204, body
        return order, line


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        yield Caller(org, http)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared() -> AsyncIterator[Caller]:
    """One org for all tests of a file with `pytestmark = SHARED`. The tests use record names of their own."""
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        yield Caller(org, http)


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as running:
        yield running


@pytest.fixture
async def client(org: LocalOrg) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(str(org.pubsub_endpoint)) as channel:
        yield Client(org, channel)


@pytest.fixture
async def writer(org: LocalOrg) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(org, http)


@pytest.fixture
async def reader(caller: Caller) -> AsyncIterator[Reader]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(caller.org.page_url) as answer:
            assert answer.status == 200
        yield Reader(caller, http)


@pytest.fixture
async def stranger(caller: Caller) -> AsyncIterator[Reader]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Reader(caller, http)
