"""Sign-in: once for all callers, with a plain message if it fails, and without secrets in any output."""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import timedelta
from pathlib import Path

import httpx
import httpx2
import jwt
import pytest
import respx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from connector.errors import AuthError, SettingsError, TransportError
from connector.salesforce.address import checked_origin, is_loopback
from connector.salesforce.client import SalesforceClient
from connector.settings.salesforce import AuthMethod, SalesforceSettings
from tests.unit.salesforce.conftest import BASE, INSTANCE, ORG_ID, PASSWORD, SECRET, OwnClock, TokenEndpoint

EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
ROWS = {"totalSize": 0, "done": True, "records": []}


async def test_client_credentials_are_sent_in_the_header_and_the_token_to_the_instance_url(
    client: SalesforceClient, endpoint: TokenEndpoint, org: respx.Router
) -> None:
    route = org.get(url__startswith=f"{BASE}/query").respond(json=ROWS)
    await client.query("SELECT Id FROM Order")
    assert endpoint.forms == [{"grant_type": "client_credentials"}]
    assert endpoint.headers[0]["Authorization"].startswith("Basic ")
    assert route.calls.last.request.headers["Authorization"] == "Bearer 00Dxx0000000000!token-1"
    assert (client.org_id, client.instance_url) == (ORG_ID, INSTANCE)


async def test_concurrent_calls_with_an_expired_token_sign_in_once(
    client: SalesforceClient, endpoint: TokenEndpoint, org: respx.Router
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        dead = request.headers["Authorization"].endswith("!token-1")
        return httpx.Response(401, json=EXPIRED) if dead else httpx.Response(200, json=ROWS)

    org.get(url__startswith=f"{BASE}/query").mock(side_effect=answer)
    await client.connect()
    await asyncio.gather(*(client.query("SELECT Id FROM Order") for _ in range(8)))
    assert len(endpoint.forms) == 2


async def test_second_401_after_a_new_sign_in_raises_auth_error(
    client: SalesforceClient, endpoint: TokenEndpoint, org: respx.Router
) -> None:
    org.get(url__startswith=f"{BASE}/query").respond(401, json=EXPIRED)
    with pytest.raises(AuthError, match="no longer accepts our session"):
        await client.query("SELECT Id FROM Order")
    assert len(endpoint.forms) == 2


async def test_failed_sign_in_is_shared_by_all_callers_and_not_repeated_at_once(
    client: SalesforceClient, endpoint: TokenEndpoint, clock: OwnClock
) -> None:
    endpoint.answers = [(400, {"error": "invalid_client", "error_description": "invalid client credentials"})]
    results = await asyncio.gather(*(client.connect() for _ in range(8)), return_exceptions=True)
    assert [type(result) for result in results] == [AuthError] * 8
    with pytest.raises(AuthError, match="CONNECTOR_SALESFORCE__CLIENT_SECRET"):
        await client.connect()
    assert len(endpoint.forms) == 1
    clock.moment += timedelta(seconds=31)
    assert await client.connect() == ORG_ID


@pytest.mark.parametrize(
    ("status", "body", "words", "retry_class"),
    [
        (400, {"error": "invalid_client_id", "error_description": "client identifier invalid"}, "CLIENT_ID", "auth"),
        (400, {"error": "invalid_grant", "error_description": "no client credentials user enabled"}, "Run As", "auth"),
        (400, {"error": "invalid_grant", "error_description": "request not supported on this domain"}, "URL", "auth"),
        (400, {"error": "rate_limit_exceeded", "error_description": "login rate exceeded"}, "hour", "limit"),
        (400, {"error": "unknown_error", "error_description": "retry your request"}, "automatically", "transient"),
        (503, "<html>down for maintenance</html>", "automatically", "transient"),
        (200, "<html>a portal</html>", "LOGIN_URL", "auth"),
    ],
)
async def test_refused_sign_in_says_what_to_check(
    client: SalesforceClient, endpoint: TokenEndpoint, status: int, body: object, words: str, retry_class: str
) -> None:
    endpoint.answers = [(status, body)]
    with pytest.raises(AuthError) as caught:
        await client.connect()
    assert words in caught.value.hint
    assert caught.value.retry_class == retry_class
    assert "html" not in str(caught.value)


async def test_call_is_retried_while_the_token_endpoint_is_unavailable(
    client: SalesforceClient, endpoint: TokenEndpoint, org: respx.Router, clock: OwnClock
) -> None:
    endpoint.answers = [(503, "<html/>"), (503, "<html/>")]
    org.get(url__startswith=f"{BASE}/query").respond(json=ROWS)
    assert await client.query("SELECT Id FROM Order") == []
    assert len(clock.slept) == 2


async def test_unreachable_org_raises_transport_error(clock: OwnClock) -> None:
    settings = SalesforceSettings(login_url="http://127.0.0.1:9", client_id="app", client_secret=SecretStr(SECRET))
    async with SalesforceClient(settings, clock=clock, attempts=1) as client:
        with pytest.raises(TransportError, match="could not be reached"):
            await client.connect()


async def test_another_org_at_the_same_address_is_rejected(
    client: SalesforceClient, endpoint: TokenEndpoint, org: respx.Router
) -> None:
    org.get(url__startswith=f"{BASE}/query").respond(401, json=EXPIRED)
    await client.connect()
    endpoint.org_id = "00Dyy0000000000EAA"
    with pytest.raises(AuthError, match="Another org"):
        await client.query("SELECT Id FROM Order")


async def test_token_is_never_sent_to_another_machine_by_plain_http(
    client: SalesforceClient, endpoint: TokenEndpoint
) -> None:
    endpoint.instance_url = "http://elsewhere.example"
    with pytest.raises(SettingsError, match="https"):
        await client.connect()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


async def test_jwt_sign_in_sends_a_signed_assertion_for_the_user(
    endpoint: TokenEndpoint, clock: OwnClock, key_file: Path
) -> None:
    settings = SalesforceSettings(
        login_url=endpoint.url,
        auth=AuthMethod.JWT,
        client_id="app",
        username="sync@acme.test",
        private_key_file=key_file,
    )
    async with SalesforceClient(settings, clock=clock, attempts=1) as client:
        assert await client.connect() == ORG_ID
    claims = jwt.decode(endpoint.forms[0]["assertion"], options={"verify_signature": False})
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("app", "sync@acme.test", "https://login.salesforce.com")


async def test_invalid_private_key_file_is_rejected_without_its_content(
    endpoint: TokenEndpoint, clock: OwnClock, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"
    path.write_text("not a key")
    settings = SalesforceSettings(
        login_url=endpoint.url, auth=AuthMethod.JWT, client_id="app", username="u", private_key_file=path
    )
    async with SalesforceClient(settings, clock=clock, attempts=1) as client:
        with pytest.raises(SettingsError, match="CONNECTOR_SALESFORCE__PRIVATE_KEY_FILE"):
            await client.connect()


async def test_password_sign_in_returns_the_token(endpoint: TokenEndpoint, clock: OwnClock) -> None:
    settings = SalesforceSettings(
        login_url=endpoint.url,
        auth=AuthMethod.PASSWORD,
        client_id="app",
        client_secret=SecretStr(SECRET),
        username="a&b@acme.test",
        password=SecretStr(PASSWORD),
    )
    async with SalesforceClient(settings, clock=clock, attempts=1) as client:
        await client.connect()
    assert endpoint.forms[0] == {
        "grant_type": "password",
        "client_id": "app",
        "client_secret": SECRET,
        "username": "a&b@acme.test",
        "password": PASSWORD,
    }


async def test_secrets_appear_in_no_log_error_or_repr(
    client: SalesforceClient,
    endpoint: TokenEndpoint,
    org: respx.Router,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.answers = [(400, {"error": "invalid_grant", "error_description": f"bad secret {SECRET}"})]
    seen = ""
    with pytest.raises(AuthError) as refused:
        await client.connect()
    seen += "".join(traceback.format_exception(refused.value))
    org.get(url__startswith=f"{BASE}/query").mock(side_effect=httpx2.ReadError("gone"))
    fresh = SalesforceClient(
        SalesforceSettings(login_url=endpoint.url, client_id="app", client_secret=SecretStr(SECRET)),
        clock=OwnClock(),
        attempts=2,
    )
    async with fresh:
        with pytest.raises(TransportError) as lost:
            await fresh.query("SELECT Id FROM Order WHERE Name = 'Person'")
        seen += "".join(traceback.format_exception(lost.value)) + repr(vars(fresh._tokens))
    captured = capsys.readouterr()
    seen += caplog.text + captured.out + captured.err
    assert SECRET not in seen
    assert "!token-" not in seen
    assert "salesforce_call" in seen
    assert "'Person'" not in captured.out


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "CONNECTOR_SALESFORCE__LOGIN_URL, CONNECTOR_SALESFORCE__CLIENT_ID, CONNECTOR_SALESFORCE__CLIENT_SECRET"),
        ({"auth": AuthMethod.JWT, "login_url": "https://a.test", "client_id": "x"}, "CONNECTOR_SALESFORCE__USERNAME"),
        ({"login_url": "http://acme.example"}, "CONNECTOR_SALESFORCE__LOGIN_URL must use https"),
        ({"login_url": "acme.my.salesforce.com"}, "must start with https"),
        ({"login_url": "https://u:p@acme.my.salesforce.com"}, "nothing but https"),
        ({"login_url": "https://login.salesforce.com"}, "My Domain"),
    ],
)
def test_invalid_settings_are_rejected_by_name(changes: dict[str, object], named: str, clock: OwnClock) -> None:
    if "login_url" in changes and "auth" not in changes:
        changes = {"client_id": "x", "client_secret": SecretStr("y"), **changes}
    with pytest.raises(SettingsError, match=named):
        SalesforceClient(SalesforceSettings.model_validate(changes), clock=clock, attempts=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_host_is_recognized(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.1", "localhost.example", "128.0.0.1", "10.0.0.1", "2130706433", ""])
def test_other_host_is_not_a_loopback_host(host: str) -> None:
    assert not is_loopback(host)


def test_checked_origin_keeps_port_and_brackets() -> None:
    assert checked_origin("http://[::1]:8080/", label="X") == "http://[::1]:8080"
    assert checked_origin("HTTPS://Acme.my.salesforce.com", label="X") == "https://acme.my.salesforce.com"
