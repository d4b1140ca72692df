"""Chapter A: token responses and failures (A2), SOAP login in WSDL order (A3), ended sessions (A4), identity (A5)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from tests.org.conftest import SHARED, Caller

pytestmark = SHARED
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
USER_INFO = [
    "accessibilityMode",
    "chatterExternal",
    "currencySymbol",
    "orgAttachmentFileSizeLimit",
    "orgDefaultCurrencyIsoCode",
    "orgDefaultCurrencyLocale",
    "orgDisallowHtmlAttachments",
    "orgHasPersonAccounts",
    "organizationId",
    "organizationMultiCurrency",
    "organizationName",
    "profileId",
    "roleId",
    "sessionSecondsValid",
    "userDefaultCurrencyIsoCode",
    "userEmail",
    "userFullName",
    "userId",
    "userLanguage",
    "userLocale",
    "userName",
    "userTimeZone",
    "userType",
    "userUiSkin",
]


async def ask(caller: Caller, resource: str, form: dict[str, str], **headers: str) -> tuple[int, Any]:
    path = f"/services/oauth2/{resource}"
    answer = await caller.raw("POST", path, urlencode(form).encode(), **FORM, Authorization="", **headers)
    return answer.status, answer.json if answer.body else None


def client(caller: Caller) -> dict[str, str]:
    return {"client_id": caller.org.client_id, "client_secret": caller.org.client_secret}


async def test_token_response_has_the_documented_fields(shared: Caller) -> None:
    """A2, L7, L15: the signature covers ID and time; the ID has 18-character IDs of organization and user."""
    status, result = await ask(shared, "token", {"grant_type": "client_credentials", **client(shared)})
    assert status == 200
    assert set(result) == {"access_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at"}
    signed = hmac.new(shared.org.client_secret.encode(), (result["id"] + result["issued_at"]).encode(), hashlib.sha256)
    assert result["signature"] == base64.b64encode(signed.digest()).decode()
    *_, organization, user = result["id"].split("/")
    identity = shared.org.org.auth.identity
    assert (organization, user) == (identity.organization_id, identity.user_id)
    assert (result["token_type"], result["access_token"].startswith(f"{organization[:15]}!")) == ("Bearer", True)


async def test_client_secret_is_accepted_as_basic_authentication(shared: Caller) -> None:
    """A2."""
    pair = base64.b64encode(f"{shared.org.client_id}:{shared.org.client_secret}".encode()).decode()
    path = "/services/oauth2/token"
    answer = await shared.raw("POST", path, b"grant_type=client_credentials", **FORM, Authorization=f"Basic {pair}")
    assert answer.status == 200


async def test_password_and_refresh_grants_return_tokens(shared: Caller) -> None:
    """A2: with or without the security token; a refreshed token has no new refresh token."""
    org = shared.org
    for password in (org.password, org.password + org.security_token):
        form = {"grant_type": "password", "username": org.username, "password": password, **client(shared)}
        status, result = await ask(shared, "token", form)
        assert (status, "refresh_token" in result) == (200, True)
    form = {"grant_type": "refresh_token", "refresh_token": result["refresh_token"], **client(shared)}
    status, second = await ask(shared, "token", form)
    assert (status, "refresh_token" in second, second["access_token"] != result["access_token"]) == (200, False, True)
    assert (await ask(shared, "revoke", {"token": result["refresh_token"]})) == (200, None)
    assert (await ask(shared, "token", form))[1] == {
        "error": "invalid_grant", "error_description": "expired access/refresh token",
    }  # fmt: skip
    dead = await shared.raw("GET", "limits", Authorization=f"Bearer {result['access_token']}")
    assert dead.status == 401  # its access tokens die with it


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({"grant_type": "magic"}, "unsupported_grant_type", "grant type not supported"),
        ({}, "invalid_request", "missing required parameter: grant_type"),
        ({"grant_type": "client_credentials", "client_id": "x"}, "invalid_client_id", "client identifier invalid"),
        ({"grant_type": "client_credentials", "client_id": None}, "invalid_request", "missing required parameter: client_id"),  # noqa: E501
        ({"grant_type": "client_credentials", "client_secret": "x"}, "invalid_client", "invalid client credentials"),
        ({"grant_type": "password", "username": "x", "password": "y"}, "invalid_grant", "authentication failure"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant", "expired access/refresh token"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x.y.z"}, "invalid_grant",
         "invalid assertion"),
    ],
)  # fmt: skip
async def test_sign_in_failure_is_an_object_with_error_and_description(
    shared: Caller, form: dict[str, str | None], error: str, description: str
) -> None:
    """A2: 400, error and description."""
    sent = {name: value for name, value in {**client(shared), **form}.items() if value is not None}
    assert await ask(shared, "token", sent) == (400, {"error": error, "error_description": description})


async def test_token_request_by_get_is_rejected(shared: Caller) -> None:
    """A2."""
    answer = await shared.raw("GET", "/services/oauth2/token")
    assert (answer.status, answer.json["error_description"]) == (400, "must use HTTP POST")


# -- A3 --------------------------------------------------------------------------------------------------------------


def login(username: str, password: str) -> bytes:
    return (
        '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>'
        f'<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>{username}</n1:username>'
        f"<n1:password>{password}</n1:password></n1:login></env:Body></env:Envelope>"
    ).encode()


async def soap(caller: Caller, body: bytes, version: str = "64.0") -> tuple[int, ElementTree.Element]:
    headers = {"Content-Type": "text/xml", "SOAPAction": "login"}
    answer = await caller.raw("POST", f"/services/Soap/u/{version}", body, **headers)
    return answer.status, ElementTree.fromstring(answer.body)  # noqa: S314 - the local org's own


def names(element: ElementTree.Element) -> list[str]:
    return [child.tag.rpartition("}")[2] for child in element]


async def test_soap_login_elements_come_in_wsdl_order(shared: Caller) -> None:
    """A3, L8."""
    org = shared.org
    status, outcome = await soap(shared, login(org.username, org.password + org.security_token))
    assert status == 200
    result = outcome[0][0][0]
    assert names(result) == [
        "metadataServerUrl", "passwordExpired", "sandbox", "serverUrl", "sessionId", "userId", "userInfo",
    ]  # fmt: skip
    assert names(result[6]) == USER_INFO
    organization = org.org.auth.identity.organization_id
    assert (result[6][8].text, result[3].text) == (organization, f"{org.url}/services/Soap/u/64.0/{organization[:15]}")
    assert (await shared.raw("GET", "limits", Authorization=f"Bearer {result[4].text}")).status == 200


@pytest.mark.parametrize(("version", "code"), [("64.0", "INVALID_LOGIN"), ("65.0", "UNSUPPORTED_API_VERSION")])
async def test_failed_soap_login_is_a_fault(shared: Caller, version: str, code: str) -> None:
    """A3: 500 with code and message; version 65 and later have no login."""
    status, result = await soap(shared, login(shared.org.username, "wrong"), version)
    texts = {item.tag.rpartition("}")[2]: item.text for item in result.iter()}
    assert (status, texts["exceptionCode"], bool(texts["exceptionMessage"])) == (500, code, True)


# -- A4, A5 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer 00D000000000000!x.y_z", "x" * 500])
async def test_invalid_session_is_401_in_every_form(shared: Caller, header: str) -> None:
    """A4: 401 in the data API's shape, with WWW-Authenticate."""
    answer = await shared.raw("GET", "limits", Authorization=header)
    assert (answer.status, answer.code, answer.headers["WWW-Authenticate"]) == (401, "INVALID_SESSION_ID", "Token")


async def test_refresh_token_is_rejected_as_session(shared: Caller) -> None:
    """A4."""
    assert (await shared.raw("GET", "limits", Authorization=f"Bearer {shared.org.refresh_token}")).status == 401


async def test_identity_and_userinfo_describe_the_user(shared: Caller) -> None:
    """A5: without a session the error is plain text."""
    identity = shared.org.org.auth.identity
    path = f"/id/{identity.organization_id}/{identity.user_id}"
    body = (await shared.raw("GET", path)).json
    assert (body["user_id"], body["organization_id"], body["username"], body["asserted_user"]) == (
        identity.user_id, identity.organization_id, identity.username, True,
    )  # fmt: skip
    assert body["urls"]["rest"] == f"{shared.org.url}/services/data/v{{version}}/"
    info = (await shared.raw("GET", "/services/oauth2/userinfo")).json
    assert (info["sub"], info["preferred_username"]) == (f"{shared.org.url}{path}", identity.username)
    for address in (path, "/services/oauth2/userinfo"):
        bad = await shared.raw("GET", address, Authorization="Bearer x")
        assert (bad.status, bad.body) == (403, b"Bad_OAuth_Token")
        none = await shared.raw("GET", address, Authorization="")
        assert (none.status, none.body) == (403, b"Missing_OAuth_Token")


async def test_introspection_reports_active_tokens_only(shared: Caller) -> None:
    """A5: an ended or foreign token is not active."""
    token = shared.org.org.auth.issue()
    _, result = await ask(shared, "introspect", {"token": token, **client(shared)})
    assert (result["active"], result["client_id"], result["token_type"]) == (True, shared.org.client_id, "access_token")
    assert (await ask(shared, "introspect", {"token": "x", **client(shared)}))[1] == {"active": False}
    assert (await ask(shared, "revoke", {"token": token})) == (200, None)
    assert (await ask(shared, "introspect", {"token": token, **client(shared)}))[1] == {"active": False}
    assert (await ask(shared, "revoke", {"token": "x"}))[0] == 400


async def test_versions_need_no_session_and_resources_do(shared: Caller) -> None:
    """A5, L3, L4, L10: ascending, up to 67; trailing and doubled slashes do not count (L1)."""
    for path in ("/services/data", "/services/data/", "//services//data/"):
        answer = await shared.raw("GET", path, Authorization="")
        versions = [item["version"] for item in answer.json]
        assert (versions[0], versions[-1], versions) == ("31.0", "67.0", sorted(versions))
        assert answer.json[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    assert (await shared.raw("GET", "/services/data/v66.0/", Authorization="")).status == 401
    body = (await shared.raw("GET", "////services/data/v66.0/")).json
    assert body["identity"].startswith(f"{shared.org.url}/id/")
    assert {"sobjects", "query", "queryAll", "limits", "jobs", "composite"} <= body.keys()
