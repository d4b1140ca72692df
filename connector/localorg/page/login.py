"""Access to the pages: a browser opens the printed link once and has a cookie from then on.

The redirect takes the key out of the address, so that it stays in no history and no bookmark. Cookies do not tell ports
apart: the org's ID in the cookie's name keeps two orgs on one machine apart.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import web

if TYPE_CHECKING:
    from connector.localorg.org import Org

KEY = "key"


def _cookie_name(org: Org) -> str:
    return f"page_{org.auth.identity.organization_id[:15]}"


def _cookie_value(org: Org) -> str:
    return hmac.digest(org.auth.page_key.encode(), b"cookie of the page", "sha256").hex()


def has_cookie(org: Org, request: web.Request) -> bool:
    return hmac.compare_digest(request.cookies.get(_cookie_name(org), "").encode(), _cookie_value(org).encode())


def has_key(org: Org, params: Mapping[str, str]) -> bool:
    return hmac.compare_digest(params.get(KEY, "").encode(), org.auth.page_key.encode())


def grant_access(org: Org, request: web.Request, path: str, params: Mapping[str, str]) -> web.Response:
    """Set the cookie and redirect to the same page without the key."""
    rest = urlencode({name: value for name, value in params.items() if name != KEY})
    response = web.Response(status=303, headers={"Location": f"{path}?{rest}" if rest else path})
    response.set_cookie(
        _cookie_name(org),
        _cookie_value(org),
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.scheme == "https",
    )
    return response
