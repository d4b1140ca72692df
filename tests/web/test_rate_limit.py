"""A token that asks too often is refused for a moment, and no other one is."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from connector.model.role import Role
from connector.store.engine import Store
from tests.conftest import ManualClock
from tests.web.conftest import Api, app_on


async def test_token_is_limited_by_the_minute(api: Api, store: Store, clock: ManualClock) -> None:
    async with TestClient(TestServer(app_on(store, requests_per_minute=3))) as client:
        limited = Api(client, store, api.secrets)
        left = [(await limited("GET", "/status")).headers["RateLimit"] for _ in range(3)]
        assert left == ['"token";r=2;t=20', '"token";r=1;t=40', '"token";r=0;t=60']
        refused = await limited("GET", "/orders")
        assert (refused.status, refused.body["rule"]) == (429, "rate_limit")
        assert (refused.headers["Retry-After"], refused.headers["RateLimit-Policy"]) == ("20", '"token";q=3;w=60')
        assert refused.headers["X-Request-ID"]
        assert (await limited("GET", "/status", role=Role.VIEWER)).status == 200
        assert (await limited("GET", "/healthz", role=None)).status == 200
        clock.advance(20)
        assert (await limited("GET", "/status")).status == 200
        assert (await limited("GET", "/status")).status == 429
        clock.advance(3600)
        assert (await limited("GET", "/status")).headers["RateLimit"] == '"token";r=2;t=20'


async def test_without_a_limit_nothing_is_said_of_it(api: Api) -> None:
    assert "RateLimit" not in (await api("GET", "/status")).headers
