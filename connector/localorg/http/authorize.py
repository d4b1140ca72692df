"""`/services/oauth2/authorize`: the one user of the org agrees at once, and the browser goes on to where it was asked
to go, which must be on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from connector.localorg.codes import OAuthFailure, checked_challenge, on_loopback, scope_of

if TYPE_CHECKING:
    from connector.localorg.org import Org


def answer(org: Org, params: Mapping[str, str], own_url: str) -> web.Response:
    """A redirect with a code or a token; a page where there is no callback that can be trusted to hear of it."""
    try:
        return _redirect(org, params, own_url)
    except OAuthFailure as failure:
        text = "&".join(f"{name}={escape(told)}" for name, told in failure.body().items())
        return web.Response(status=400, text=text, content_type="text/html")


def _redirect(org: Org, params: Mapping[str, str], own_url: str) -> web.Response:
    client_id, redirect_uri = params.get("client_id", ""), params.get("redirect_uri", "")
    if not client_id:
        raise OAuthFailure("invalid_request", "missing required parameter: client_id")
    if not org.auth.knows(client_id):
        raise OAuthFailure("invalid_client_id", "client identifier invalid")
    if not redirect_uri:
        raise OAuthFailure("invalid_request", "missing required parameter: redirect_uri")
    if not on_loopback(redirect_uri):
        raise OAuthFailure("redirect_uri_mismatch", "redirect_uri must match configuration")
    told: dict[str, Any]
    implicit = params.get("response_type") == "token"
    try:
        scope = scope_of(params.get("scope", ""))
        challenge = checked_challenge(params)
        match params.get("response_type"):
            case "code":
                code = org.auth.codes.issue(
                    client_id=client_id,
                    redirect_uri=redirect_uri,
                    scope=scope,
                    challenge=challenge,
                    nonce=params.get("nonce", ""),
                )
                told = {"code": code}
            case "token":
                told = org.auth.granted(own_url, scope=scope)
            case None | "":
                raise OAuthFailure("invalid_request", "missing required parameter: response_type")
            case _:
                raise OAuthFailure("unsupported_response_type", "response type must be code or token")
    except OAuthFailure as failure:
        told = failure.body()
    if "state" in params:
        told["state"] = params["state"]
    return web.Response(
        status=302,
        headers={"Location": _with(redirect_uri, urlencode(told), fragment=implicit), "Cache-Control": "no-store"},
    )


def _with(uri: str, more: str, *, fragment: bool) -> str:
    if fragment:
        return f"{uri}#{more}"
    return f"{uri}{'&' if urlsplit(uri).query else '?'}{more}"
