"""`/services/oauth2/authorize`: approve a signed-in user at once and redirect to a callback on this machine.

A browser is signed in if it may see the org's pages, or if it posts the user's name and password.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from connector.localorg.authorization_codes import OAuthError, is_loopback_uri, resolve_scope, validate_challenge
from connector.localorg.page import frame, login
from connector.localorg.page.html import EMPTY, html, join

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.users import Identity


def handle(org: Org, request: web.Request, params: Mapping[str, str], own_url: str) -> web.Response:
    """Redirect with a code or a token. Show a sign-in page first, or an error page for an untrusted callback."""
    try:
        _check_callback(org, params)
        user = _signed_in_user(org, request, params)
        if user is None:
            return _sign_in_page(params)
        return _redirect(org, user, params, own_url)
    except OAuthError as failure:
        text = "&".join(f"{name}={escape(value)}" for name, value in failure.body().items())
        return web.Response(status=400, text=text, content_type="text/html")


def _signed_in_user(org: Org, request: web.Request, params: Mapping[str, str]) -> Identity | None:
    """Return the user of a posted form, else the administrator if the browser may see the pages."""
    if request.method == "POST" and "password" in params:
        user = org.auth.verify_password(params.get("username", ""), params["password"])
        if user is not None:
            return user
    return org.auth.identity if login.has_cookie(org, request) else None


def _sign_in_page(params: Mapping[str, str]) -> web.Response:
    hidden_inputs = join(
        html('<input type="hidden" name="{}" value="{}">', name, value)
        for name, value in params.items()
        if name not in {"username", "password"}
    )
    failed = html("<p>Please check your username and password.</p>") if "password" in params else EMPTY
    body = html(
        '<h1>Sign in</h1>{}<form method="post" action="/services/oauth2/authorize">{}'
        '<p><label>Username<br><input name="username" value="{}" autocomplete="username"></label></p>'
        '<p><label>Password<br><input name="password" type="password" autocomplete="current-password"></label></p>'
        "<p><button>Log In</button></p></form>"
        "<p>Both stand in the first line of <code>connector localorg --json</code>.</p>",
        failed, hidden_inputs, params.get("username", params.get("login_hint", "")),
    )  # fmt: skip
    response = frame.render_page(frame.Page(title="Sign in", body=body), inside=False)
    policy = response.headers["Content-Security-Policy"]
    # The form's answer leads on to the callback, which a browser counts as a place the form goes to.
    response.headers["Content-Security-Policy"] = policy.replace(
        "form-action 'self'", "form-action 'self' http://localhost:* http://127.0.0.1:* https://localhost:*"
    )
    return response


def _check_callback(org: Org, params: Mapping[str, str]) -> None:
    client_id, redirect_uri = params.get("client_id", ""), params.get("redirect_uri", "")
    if not client_id:
        raise OAuthError("invalid_request", "missing required parameter: client_id")
    if not org.auth.is_known_client(client_id):
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if not redirect_uri:
        raise OAuthError("invalid_request", "missing required parameter: redirect_uri")
    if not is_loopback_uri(redirect_uri):
        raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")


def _redirect(org: Org, user: Identity, params: Mapping[str, str], own_url: str) -> web.Response:
    client_id, redirect_uri = params["client_id"], params["redirect_uri"]
    result: dict[str, Any]
    implicit = params.get("response_type") == "token"
    try:
        scope = resolve_scope(params.get("scope", ""))
        challenge = validate_challenge(params)
        match params.get("response_type"):
            case "code":
                code = org.auth.codes.issue(
                    client_id=client_id,
                    redirect_uri=redirect_uri,
                    scope=scope,
                    challenge=challenge,
                    user_id=user.user_id,
                    nonce=params.get("nonce", ""),
                )
                result = {"code": code}
            case "token":
                result = org.auth.token_response(own_url, user, scope=scope)
            case None | "":
                raise OAuthError("invalid_request", "missing required parameter: response_type")
            case _:
                raise OAuthError("unsupported_response_type", "response type must be code or token")
    except OAuthError as failure:
        result = failure.body()
    if "state" in params:
        result["state"] = params["state"]
    return web.Response(
        status=302,
        headers={
            "Location": _append_params(redirect_uri, urlencode(result), fragment=implicit),
            "Cache-Control": "no-store",
        },
    )


def _append_params(uri: str, more: str, *, fragment: bool) -> str:
    if fragment:
        return f"{uri}#{more}"
    return f"{uri}{'&' if urlsplit(uri).query else '?'}{more}"
