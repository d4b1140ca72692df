"""Providers of OpenID Connect for tests: one that nobody here wrote, one that lies; and a browser between us."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from connector.clock import SystemClock
from connector.openid.provider import OpenIdProvider
from connector.settings.oidc import OidcSettings
from connector.store.engine import Store
from connector.web.console.sign_in import CALLBACK, OPENID
from tests.web.conftest import app_on

GROUPS = {"viewer_groups": "crm", "ops_groups": "crm-ops", "admin_groups": '["cn=admins,ou=crm"]'}
SECRET = {"client_secret": "secret"}


RSA_KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]


class ShiftedClock(SystemClock):
    """The time of this machine, and some more."""

    def __init__(self, **more: float) -> None:
        super().__init__()
        self.more = timedelta(**more)

    def now(self) -> datetime:
        return super().now() + self.more


@dataclass
class Person:
    """A browser that knows a connector whose people a provider knows."""

    client: TestClient[Any, Any]
    outside: aiohttp.ClientSession

    async def begin(self, where: str = "/", **headers: str) -> str:
        """Press the button, and return where it leads."""
        async with self.client.get(OPENID, params={"next": where}, allow_redirects=False, headers=headers) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]

    async def at_provider(self, url: str, **form: str) -> str:
        """Fill in the form of the provider, and return the address to which it leads back."""
        async with self.outside.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status in {302, 303}, await answer.text()
            return answer.headers["Location"]

    async def come_back(self, url: str) -> tuple[int, str]:
        parts = urlsplit(url)
        async with self.client.get(f"{parts.path}?{parts.query}", allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or _sentence(await answer.text())

    async def text_of(self, path: str) -> tuple[int, str]:
        async with self.client.get(path, allow_redirects=False) as answer:
            return answer.status, await answer.text()


def _sentence(page: str) -> str:
    found = re.search(r'<p class="health bad" role="alert">.*<span>(.*)</span>', page)
    return found[1] if found else page


class browsing:  # noqa: N801 - reads as a statement
    """A browser, and a connector on `store` with this provider."""

    def __init__(self, store: Store, settings: Mapping[str, str], clock: SystemClock | None = None) -> None:
        parsed = OidcSettings.model_validate({"client_id": "console", **settings})
        assert parsed.problems == {}
        self._app = app_on(store, openid=OpenIdProvider(parsed, clock=clock or SystemClock()))

    async def __aenter__(self) -> Person:
        self._client = TestClient(TestServer(self._app), cookie_jar=aiohttp.CookieJar(unsafe=True))
        await self._client.start_server()
        self._outside = aiohttp.ClientSession()
        return Person(self._client, self._outside)

    async def __aexit__(self, *_: object) -> None:
        await self._outside.close()
        await self._client.close()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when the port answers."""
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError("The provider does not answer.")


@contextmanager
def oidc_provider_mock() -> Iterator[str]:
    """oidc-provider-mock, on a port of its own, with four people."""
    people = [
        {
            "sub": "1",
            "email": "kim@example.com",
            "email_verified": True,
            "groups": ["all", "crm-ops"],
            "preferred_username": "kim",
        },
        {"sub": "2", "email": "vic@example.com", "email_verified": True, "groups": ["crm"]},
        {"sub": "3", "email": "nobody@example.com", "email_verified": True, "groups": ["<b>guests</b>"]},
        {"sub": "4", "preferred_username": "root", "groups": "cn=admins,ou=crm"},
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    claims = [part for person in people for part in ("--user-claims", json.dumps(person))]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *claims]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@dataclass
class LyingProvider:
    """A provider whose ID token is what a test says. `claims` replace those of an honest one."""

    url: str = ""
    nonce: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    key_id: str = "k"
    asked: int = 0
    tokens_asked: int = 0
    key: Any = None
    answer: web.Response | None = None
    document: dict[str, Any] = field(default_factory=dict)
    published: rsa.RSAPrivateKey = field(default_factory=lambda: RSA_KEYS[0])

    def id_token(self) -> str:
        now = int(time.time())
        honest = {"iss": self.url, "aud": "console", "sub": "1", "iat": now, "exp": now + 60, "nonce": self.nonce}
        claims = {**honest, "email": "kim@example.com", "email_verified": True, "groups": ["crm-ops"], **self.claims}
        chosen = {name: value for name, value in claims.items() if value is not None}
        key = None if self.algorithm == "none" else self.key or self.published
        return jwt.encode(chosen, key, algorithm=self.algorithm, headers={"kid": self.key_id})

    def app(self) -> web.Application:
        async def configuration(_: web.Request) -> web.Response:
            self.asked += 1
            endpoints = {"authorization_endpoint": "/go", "token_endpoint": "/token", "jwks_uri": "/keys"}
            document = {name: self.url + path for name, path in endpoints.items()}
            return web.json_response({"issuer": self.url, **document, **self.document})

        async def keys(_: web.Request) -> web.Response:
            key = json.loads(RSAAlgorithm.to_jwk(self.published.public_key()))
            return web.json_response({"keys": [{**key, "kid": self.key_id, "use": "sig"}]})

        async def token(_: web.Request) -> web.Response:
            self.tokens_asked += 1
            if self.answer is not None:
                return self.answer
            return web.json_response({"access_token": "a", "token_type": "Bearer", "id_token": self.id_token()})

        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", configuration)
        app.router.add_get("/keys", keys)
        app.router.add_post("/token", token)
        return app


async def tell(person: Person, liar: LyingProvider) -> tuple[int, str]:
    """Sign in, and return what comes of it."""
    query = parse_qs(urlsplit(await person.begin()).query)
    liar.nonce = query["nonce"][0]
    return await person.come_back(f"{CALLBACK}?code=c&state={query['state'][0]}")
