"""Chapter A2: the authorization code: which clients get one, where it is sent, and how it is redeemed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg

CALLBACK = "http://localhost:1717/OauthRedirect"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Visitor:
    """A browser that follows no redirect, and the OAuth client behind it."""

    org: LocalOrg
    http: aiohttp.ClientSession
    clock: Clock

    async def authorize(self, **params: str) -> tuple[int, dict[str, str]]:
        """Return the status and the callback's parameters, or the text of the page."""
        expected = {"response_type": "code", "client_id": self.org.client_id, "redirect_uri": CALLBACK} | params
        url = f"{self.org.url}/services/oauth2/authorize"
        async with self.http.get(url, params=expected, allow_redirects=False) as answer:
            target = urlsplit(answer.headers.get("Location", ""))
            result = target.query or target.fragment or await answer.text()
            return answer.status, dict(parse_qsl(result))

    async def token(self, **form: str) -> tuple[int, dict[str, Any]]:
        url = f"{self.org.url}/services/oauth2/token"
        async with self.http.post(url, data=form) as answer:
            return answer.status, await answer.json()

    async def redeem(self, code: str, **form: str) -> tuple[int, dict[str, Any]]:
        mine = {"client_id": self.org.client_id, "client_secret": self.org.client_secret, "redirect_uri": CALLBACK}
        return await self.token(grant_type="authorization_code", code=code, **{**mine, **form})


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    clock = Clock()
    async with (
        LocalOrg(OrgOptions(clock=clock)) as org,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        async with http.get(org.page_url) as answer:
            assert answer.status == 200
        yield Visitor(org, http, clock)


async def test_code_with_pkce_is_exchanged_for_a_refreshable_token(visitor: Visitor) -> None:
    """A2."""
    status, body = await visitor.authorize(
        state="s 1", scope="api refresh_token", code_challenge=CHALLENGE, code_challenge_method="S256"
    )
    assert (status, body["state"]) == (302, "s 1")
    status, token = await visitor.redeem(body["code"], code_verifier=VERIFIER)
    assert (status, token["scope"], token["instance_url"]) == (200, "api refresh_token", visitor.org.url)
    assert token["id"].startswith(f"{visitor.org.url}/id/00D")
    secret = {"client_id": visitor.org.client_id, "client_secret": visitor.org.client_secret}
    status, second = await visitor.token(
        grant_type="refresh_token", refresh_token=token["refresh_token"], **secret
    )  # fmt: skip
    assert (status, "refresh_token" in second) == (200, False)
    async with visitor.http.get(token["id"], headers={"Authorization": f"Bearer {second['access_token']}"}) as answer:
        assert (await answer.json())["username"] == visitor.org.username


async def test_code_is_rejected_when_redeemed_twice(visitor: Visitor) -> None:
    """A2."""
    _, answer_body = await visitor.authorize()
    assert (await visitor.redeem(answer_body["code"]))[0] == 200
    status, body = await visitor.redeem(answer_body["code"])
    assert (status, body["error"]) == (400, "invalid_grant")


async def test_code_expires_after_fifteen_minutes(visitor: Visitor) -> None:
    """A2."""
    _, answer_body = await visitor.authorize()
    visitor.clock.now += timedelta(minutes=16)
    status, body = await visitor.redeem(answer_body["code"])
    assert (status, body["error_description"]) == (400, "expired authorization code")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_grant"),
        ({"code_verifier": VERIFIER[::-1]}, "invalid_grant"),
        ({"code_verifier": VERIFIER, "redirect_uri": "http://localhost:1/x"}, "redirect_uri_mismatch"),
        ({"code_verifier": VERIFIER, "client_secret": "no"}, "invalid_client"),
        ({"code_verifier": VERIFIER, "client_id": "PlatformCLI"}, "invalid_grant"),
    ],
)
async def test_code_is_rejected_for_another_client_or_callback(
    visitor: Visitor, form: dict[str, str], error: str
) -> None:
    """A2."""
    _, answer_body = await visitor.authorize(code_challenge=CHALLENGE)
    status, body = await visitor.redeem(answer_body["code"], **form)
    assert (status, body["error"]) == (400, error)


async def test_verifier_without_challenge_is_rejected(visitor: Visitor) -> None:
    """A2."""
    _, answer_body = await visitor.authorize()
    status, body = await visitor.redeem(answer_body["code"], code_verifier=VERIFIER)
    assert (status, body["error_description"]) == (400, "invalid code verifier")


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"redirect_uri": "https://elsewhere.example/callback"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "https://localhost.elsewhere.example/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://localhost@elsewhere.example/"}, "redirect_uri_mismatch"),
        ({"client_id": "3MVG9nobody"}, "invalid_client_id"),
    ],
)
async def test_callback_outside_this_machine_gets_no_redirect(
    visitor: Visitor, params: dict[str, str], error: str
) -> None:
    """A2."""
    status, body = await visitor.authorize(**params)
    assert (status, body["error"]) == (400, error)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"response_type": "nothing"}, "unsupported_response_type"),
        ({"scope": "api everything"}, "invalid_scope"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
    ],
)
async def test_invalid_request_is_reported_to_the_callback(
    visitor: Visitor, params: dict[str, str], error: str
) -> None:
    """A2."""
    status, body = await visitor.authorize(state="7", **params)
    assert (status, body["error"], body["state"]) == (302, error, "7")


async def test_user_agent_flow_returns_the_token_in_the_fragment(visitor: Visitor) -> None:
    """A2."""
    status, body = await visitor.authorize(response_type="token", scope="api")
    assert (status, body["token_type"], "refresh_token" in body) == (302, "Bearer", False)
    assert visitor.org.org.auth.bearer_session(f"Bearer {body['access_token']}") is not None


async def test_platform_cli_signs_in_without_a_secret(visitor: Visitor) -> None:
    """A2: Salesforce's command line: `sf org login web` is PlatformCLI, with PKCE."""
    _, answer_body = await visitor.authorize(
        client_id="PlatformCLI", code_challenge=CHALLENGE, scope="refresh_token api web"
    )
    public = {"client_id": "PlatformCLI", "client_secret": "", "redirect_uri": CALLBACK}
    status, token = await visitor.token(
        grant_type="authorization_code", code=answer_body["code"], code_verifier=VERIFIER, **public
    )
    assert status == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": "PlatformCLI"}
    assert (await visitor.token(**refresh))[0] == 200
    status, body = await visitor.token(grant_type="client_credentials", client_id="PlatformCLI")
    assert (status, body["error"]) == (400, "invalid_client_id")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"aud": "slash"}, 200),
        ({"exp": 1e12}, 200),
        ({"exp": 3600.0}, 400),
        ({"exp": 0.0}, 200),
        ({"exp": -600.0}, 400),
    ],
)
async def test_jwt_assertion_of_the_command_line_is_accepted(change: dict[str, Any], status: int) -> None:
    """A2: the audience of Salesforce's command line has a trailing slash and its expiry is in milliseconds.

    An assertion of CumulusCI expires when it is signed.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip
    async with LocalOrg(OrgOptions(jwt_public_key=public)) as org, aiohttp.ClientSession() as http:
        audience = f"{org.url}/" if change.get("aud") else org.url
        exp = round(datetime.now(UTC).timestamp() + change.get("exp", 60.0))
        assertion = jwt.encode(
            {"iss": org.client_id, "sub": org.username, "aud": audience, "exp": exp}, key, algorithm="RS256"
        )
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        async with http.post(f"{org.url}/services/oauth2/token", data=form) as answer:
            assert answer.status == status


async def test_openid_scope_returns_a_signed_id_token(visitor: Visitor) -> None:
    """A2: OpenID Connect clients read the discovery document and check the signature."""
    async with visitor.http.get(f"{visitor.org.url}/.well-known/openid-configuration") as answer:
        discovery = await answer.json()
    assert discovery["authorization_endpoint"] == f"{visitor.org.url}/services/oauth2/authorize"
    async with visitor.http.get(discovery["jwks_uri"]) as answer:
        (key,) = (await answer.json())["keys"]
    _, body = await visitor.authorize(scope="openid api", nonce="n-1")
    _, token = await visitor.redeem(body["code"])
    claims = jwt.decode(
        token["id_token"], jwt.PyJWK(key).key, algorithms=["RS256"], audience=visitor.org.client_id,
        issuer=discovery["issuer"], options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert (claims["sub"], claims["nonce"]) == (token["id"], "n-1")


async def test_grant_parameters_in_the_address_are_accepted(visitor: Visitor) -> None:
    """A2."""
    org = visitor.org
    expected = {"grant_type": "client_credentials", "client_id": org.client_id, "client_secret": org.client_secret}
    async with visitor.http.post(f"{org.url}/services/oauth2/token", params=expected) as answer:
        assert answer.status == 200
    async with visitor.http.get(f"{org.url}/services/oauth2/token", params=expected) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


async def test_browser_without_session_gets_the_sign_in_page(visitor: Visitor) -> None:
    """A2: a code or token needs the user's name and password."""
    url = f"{visitor.org.url}/services/oauth2/authorize"
    expected = {"response_type": "code", "client_id": "PlatformCLI", "redirect_uri": CALLBACK, "state": '"><b>'}
    right = {"username": visitor.org.username, "password": visitor.org.password}
    async with aiohttp.ClientSession() as stranger:

        async def answered(method: str, **more: str) -> tuple[int, str]:
            sent = {"params": expected | more} if method == "GET" else {"data": expected | more}
            async with stranger.request(method, url, allow_redirects=False, **sent) as answer:  # type: ignore[arg-type]
                return answer.status, answer.headers.get("Location") or await answer.text()

        for more in ({}, right, {"response_type": "token"}):
            status, page = await answered("GET", **more)
            assert (status, 'name="password"' in page, "<b>" in page) == (200, True, False)
        for wrong in (
            {"password": "x"},
            {"username": right["username"], "password": ""},
            {"password": right["password"]},
        ):
            status, page = await answered("POST", **wrong)
            assert (status, "Please check your username and password." in page) == (200, True)
        status, location = await answered("POST", **right)
        assert (status, location.startswith(f"{CALLBACK}?code=")) == (302, True)
        assert right["password"] not in location
