"""Chapter A: tokens by every grant (A2), SOAP login (A3), ended sessions (A4), identity endpoints (A5)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter

from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from tests.org.conftest import Caller

TOKEN = "/services/oauth2/token"


async def ask(org: LocalOrg, **form: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.post(org.url + TOKEN, data=form) as answer:
        return answer.status, await answer.json()


async def test_client_credentials_grant_returns_a_token(caller: Caller) -> None:
    """A2: the response of this grant has no expires_in."""
    org = caller.org
    status, body = await ask(
        org, grant_type="client_credentials", client_id=org.client_id, client_secret=org.client_secret
    )
    assert status == 200
    assert body["instance_url"] == org.url
    assert body["token_type"] == "Bearer"
    assert body["issued_at"].isdigit()
    assert "expires_in" not in body


async def test_wrong_secret_is_rejected(caller: Caller) -> None:
    """A2: a failure is an object with error and description."""
    org = caller.org
    status, body = await ask(org, grant_type="client_credentials", client_id=org.client_id, client_secret="no")
    assert (status, body["error"]) == (400, "invalid_client")


@pytest.mark.parametrize(
    ("change", "status"),
    [({}, 200), ({"aud": "https://elsewhere.example"}, 400), ({"sub": "nobody@example"}, 400), ({"iss": "x"}, 400)],
)
async def test_jwt_bearer_checks_the_signature_and_every_claim(change: dict[str, str], status: int) -> None:
    """A2."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip
    async with LocalOrg(OrgOptions(jwt_public_key=public)) as org:
        claims: dict[str, Any] = {
            "iss": org.client_id, "sub": org.username, "aud": "https://login.salesforce.com",
            "exp": datetime.now(UTC) + timedelta(minutes=2),
        }  # fmt: skip
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed = jwt.encode(claims | change, key, algorithm="RS256")
        assert (await ask(org, grant_type=grant, assertion=signed))[0] == status
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        forged = jwt.encode(claims, stranger, algorithm="RS256")
        assert (await ask(org, grant_type=grant, assertion=forged))[0] == 400


async def test_ended_session_is_reported_in_the_shape_of_the_data_api(caller: Caller) -> None:
    """A4."""
    status, body = await caller.call("GET", "limits", Authorization="Bearer 00Dxx!dead")
    assert status == 401
    assert body == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


class Redirect(HTTPAdapter):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = request.url.replace("https://local.salesforce.com", self._url)
        return super().send(request, *args, **kwargs)


async def test_simple_salesforce_signs_in_and_uses_rows_and_queries(caller: Caller) -> None:
    """A4, L: session, rows, queries, describe and limits."""
    from simple_salesforce import Salesforce
    from simple_salesforce.exceptions import SalesforceMalformedRequest

    def use() -> None:
        with requests.Session() as session:
            session.mount("https://", Redirect(caller.org.url))
            sf = Salesforce(
                session_id=caller.org.access_token, instance="local.salesforce.com", session=session, version="66.0"
            )
            created_id = sf.Account.create({"Name": "Acme", "External_Key__c": "C-1"})
            assert sf.Account.get_by_custom_id("External_Key__c", "C-1")["Id"] == created_id["id"]
            assert sf.Account.update(created_id["id"], {"Phone": "1"}) == 204
            assert sf.Account.upsert("External_Key__c/C-1", {"Name": "Acme 2"}) in {200, 204}
            assert sf.query_all("SELECT Name FROM Account")["records"][0]["Name"] == "Acme 2"
            with pytest.raises(SalesforceMalformedRequest):
                sf.query("SELECT Nope FROM Account")
            assert any(field["name"] == "External_Key__c" for field in sf.Order.describe()["fields"])
            assert sf.limits()["DailyApiRequests"]["Max"] > 0
            assert sf.Account.delete(created_id["id"]) == 204

    await asyncio.to_thread(use)
