"""An org whose responses each test sets. The token endpoint is a real loopback server (simple-salesforce signs in with
requests); the data API is intercepted below httpx2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import respx
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from connector.salesforce.client import SalesforceClient
from connector.settings.salesforce import SalesforceSettings

INSTANCE = "https://acme.my.salesforce.com"
BASE = f"{INSTANCE}/services/data/v66.0"
ORG_ID = "00Dxx0000000000EAA"
SECRET = "S3cr3t-of-the-app"
PASSWORD = "Passw0rd-of-the-user"


@dataclass
class OwnClock:
    """A clock that does not wait, and records the requested waits."""

    moment: datetime = datetime(2026, 1, 31, 10, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)
    chance: float = 0.0

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def jitter(self) -> float:
        return self.chance


@dataclass
class TokenEndpoint:
    """Returns `token-1`, `token-2`, …; before these, each of `answers` once (status, JSON body or text)."""

    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    org_id: str = ORG_ID
    instance_url: str = INSTANCE
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        self.headers.append(dict(request.headers))
        await asyncio.sleep(0.02)  # long enough for all callers to ask
        if self.answers:
            status, body = self.answers.pop(0)
            if isinstance(body, str):
                return web.Response(status=status, text=body, content_type="text/html")
            return web.json_response(body, status=status)
        return web.json_response(
            {
                "access_token": f"{self.org_id[:15]}!token-{len(self.forms)}",
                "instance_url": self.instance_url,
                "id": f"https://login.salesforce.com/id/{self.org_id}/005xx0000000000AAA",
                "token_type": "Bearer",
                "issued_at": "1278448832702",
            }
        )


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    made = TokenEndpoint()
    app = web.Application()
    app.router.add_post("/services/oauth2/token", made.answer)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/")).rstrip("/")
        yield made


@pytest.fixture
def clock() -> OwnClock:
    return OwnClock()


@pytest.fixture
def settings(endpoint: TokenEndpoint) -> SalesforceSettings:
    return SalesforceSettings(login_url=endpoint.url, client_id="app", client_secret=SecretStr(SECRET))


@pytest.fixture
async def client(settings: SalesforceSettings, clock: OwnClock) -> AsyncIterator[SalesforceClient]:
    async with SalesforceClient(settings, clock=clock, attempts=4) as made:
        yield made


@pytest.fixture
def org(httpx2_mock: respx.Router) -> respx.Router:
    """The data API; anything not routed fails the test."""
    return httpx2_mock
