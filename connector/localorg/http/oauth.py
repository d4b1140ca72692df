"""The sign-in endpoints: token, revoke, introspect, userinfo, identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from connector.localorg import openid
from connector.localorg.auth import identity_url
from connector.localorg.authorization_codes import OAuthError
from connector.localorg.errors import not_found
from connector.localorg.http import authorize
from connector.localorg.page import login

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.users import Identity


def own_url(org: Org, request: web.Request) -> str:
    """Return the address that the caller used if it is one of ours, else the org's own."""
    if request.scheme == "https":
        return f"https://{request.host}"
    org_url = urlsplit(org.url)
    own_hosts = {org_url.netloc, f"localhost:{org_url.port}", f"127.0.0.1:{org_url.port}"}
    return f"http://{request.host}" if request.host in own_hosts else org.url


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        headers={"Content-Type": "application/json;charset=UTF-8", "Cache-Control": "no-store"},
    )


async def _form(request: web.Request) -> dict[str, str]:
    try:
        posted = await request.post()
    except (ValueError, LookupError, AssertionError, TypeError):  # a multipart body that is none
        raise OAuthError("invalid_request", "the form cannot be read") from None
    return {name: value for name, value in posted.items() if isinstance(value, str)}


async def handle(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    try:
        match [part.lower() for part in segments[2:]]:
            case ["token"]:
                if request.method != "POST":
                    raise OAuthError("invalid_request", "must use HTTP POST")
                form = {**request.query, **(await _form(request))}
                return _json(
                    org.auth.handle_token_request(form, request.headers.get("Authorization"), own_url(org, request))
                )
            case ["authorize"]:
                return authorize.handle(
                    org, request, {**request.query, **(await _form(request))}, own_url(org, request)
                )
            case ["revoke"]:
                form = {**request.query, **(await _form(request))}
                if not org.auth.revoke(form.get("token", "")):
                    raise OAuthError("invalid_token", "invalid token")
                return web.Response()
            case ["introspect"]:
                return _json(_introspect(org, await _form(request), request))
            case ["singleaccess"]:
                return _single_access(org, request)
            case ["userinfo"]:
                return _userinfo(org, request)
    except OAuthError as failure:
        return _json(failure.body(), 400)
    raise not_found()


def _single_access(org: Org, request: web.Request) -> web.Response:
    """Return the address by which a browser opens the org's page without a sign-in."""
    if org.auth.bearer_session(request.headers.get("Authorization")) is None:
        raise OAuthError("invalid_request", "invalid access token")
    return _json({"frontdoor_uri": f"{own_url(org, request)}/?key={org.auth.page_key}"})


async def frontdoor(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    """`/secur/frontdoor.jsp?sid=…`: redirect a browser that has a session to the org's page."""
    session = org.auth.read_session(request.query.get("sid", ""))
    if session is None or session.kind != "A":
        return web.Response(status=403, text="Session expired or invalid")
    return login.grant_access(org, request, "/", {})


def _introspect(org: Org, form: dict[str, str], request: web.Request) -> dict[str, Any]:
    org.auth.check_client(form, request.headers.get("Authorization"))
    session = org.auth.read_session(form.get("token", ""))
    user = org.auth.users.by_id(session.user_id) if session is not None else None
    if session is None or user is None:
        return {"active": False}
    return {
        "active": True,
        "scope": "api",
        "client_id": org.auth.client_id,
        "username": user.username,
        "sub": identity_url(own_url(org, request), user),
        "token_type": "access_token" if session.kind == "A" else "refresh_token",
        "exp": session.expires // 1000,
        "iat": session.issued // 1000,
        "nbf": session.issued // 1000,
    }


def _user_profile(org: Org, identity: Identity, url: str) -> dict[str, Any]:
    row = org.dml.fetch("User", identity.user_id) or {}
    return {
        "user_id": identity.user_id,
        "organization_id": identity.organization_id,
        "email": identity.email,
        "email_verified": True,
        "photos": {},
        "urls": {
            "enterprise": f"{url}/services/Soap/c/{{version}}/{identity.organization_id[:15]}",
            "metadata": f"{url}/services/Soap/m/{{version}}/{identity.organization_id[:15]}",
            "partner": f"{url}/services/Soap/u/{{version}}/{identity.organization_id[:15]}",
            "rest": f"{url}/services/data/v{{version}}/",
            "sobjects": f"{url}/services/data/v{{version}}/sobjects/",
            "search": f"{url}/services/data/v{{version}}/search/",
            "query": f"{url}/services/data/v{{version}}/query/",
            "recent": f"{url}/services/data/v{{version}}/recent/",
            "tooling_rest": f"{url}/services/data/v{{version}}/tooling/",
            "profile": f"{url}/{identity.user_id}",
            "custom_domain": url,
        },
        "active": True,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 0,
        "first": row.get("FirstName"),
        "last": row.get("LastName"),
        "changed": row.get("LastModifiedDate"),
    }


def _caller(org: Org, header: str | None) -> Identity | None:
    session = org.auth.bearer_session(header)
    return org.auth.users.by_id(session.user_id) if session is not None else None


def _userinfo(org: Org, request: web.Request) -> web.Response:
    header = request.headers.get("Authorization")
    identity = _caller(org, header)
    if identity is None:
        return web.Response(status=403, text="Bad_OAuth_Token" if header else "Missing_OAuth_Token")
    url = own_url(org, request)
    profile = _user_profile(org, identity, url)
    first, last, changed = profile.pop("first"), profile.pop("last"), profile.pop("changed")
    username = identity.username
    return _json(
        {
            "sub": identity_url(url, identity),
            **profile,
            "preferred_username": username,
            "nickname": username.partition("@")[0],
            "name": f"{first} {last}",
            "given_name": first,
            "family_name": last,
            "zoneinfo": "UTC",
            "profile": f"{url}/{identity.user_id}",
            "picture": None,
            "address": {},
            "updated_at": changed,
        }
    )


async def openid_configuration(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    """`/.well-known/openid-configuration`"""
    return _json(openid.discovery_document(own_url(org, request)))


async def identity_endpoint(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    """`/id/<organization>/<user>`, and `/id/keys`"""
    if segments[1:] == ["keys"]:
        return _json(openid.key_set())
    header = request.headers.get("Authorization")
    identity = _caller(org, header)
    if identity is None:
        return web.Response(status=403, text="Bad_OAuth_Token" if header else "Missing_OAuth_Token")
    if segments[1:] != [identity.organization_id, identity.user_id]:
        raise not_found()
    url = own_url(org, request)
    profile = _user_profile(org, identity, url)
    first, last, changed = profile.pop("first"), profile.pop("last"), profile.pop("changed")
    return _json(
        {
            "id": identity_url(url, identity),
            "asserted_user": True,
            **profile,
            "username": identity.username,
            "nick_name": identity.username.partition("@")[0],
            "display_name": f"{first} {last}",
            "first_name": first,
            "last_name": last,
            "timezone": "UTC",
            "addr_street": None,
            "addr_city": None,
            "addr_state": None,
            "addr_country": None,
            "addr_zip": None,
            "mobile_phone": None,
            "mobile_phone_verified": False,
            "is_lightning_login_user": False,
            "status": {"created_date": None, "body": None},
            "last_modified_date": changed,
        }
    )
