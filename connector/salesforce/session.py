"""The blocking HTTP session for simple-salesforce.

simple-salesforce writes `https://….salesforce.com` into every address, sets no timeout, and lets requests follow
redirects and read `.netrc`. This session sends each such address to the base URL that it stands for, and refuses all
others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from connector.model.storable_text import storable_json
from connector.salesforce.address import is_loopback

CONNECT_SECONDS = 10.0


class SessionAnswer(NamedTuple):
    """What the meter reads of a response. `error`: the body of an error."""

    status: int
    limit_info: str | None
    error: bytes


class OrgSession(requests.Session):
    """`routes` maps an origin as simple-salesforce writes it to the origin to call; `answers`: those of the org."""

    def __init__(self, routes: Mapping[str, str], *, timeout: float, client: str) -> None:
        super().__init__()
        self.answers: list[SessionAnswer] = []
        self.auth = _leave_headers_alone
        self.max_redirects = 0
        self.headers["Sforce-Call-Options"] = f"client={client}"
        self.adapters.clear()
        self.mount("https://", _RoutingAdapter(routes, timeout))
        self.hooks["response"].append(self._record_response)

    def _record_response(self, response: requests.Response, *_: Any, **__: Any) -> None:
        error = response.content if response.status_code >= 400 else b""
        self.answers.append(SessionAnswer(response.status_code, response.headers.get("Sforce-Limit-Info"), error))
        if "json" in response.headers.get("Content-Type", ""):
            response._content = storable_json(response.content)


class _RoutingAdapter(HTTPAdapter):
    def __init__(self, routes: Mapping[str, str], timeout: float) -> None:
        super().__init__()
        self._routes = routes
        self._timeout = timeout

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        target = self._routes.get(f"{parts.scheme}://{parts.netloc}")
        if target is None:
            raise requests.exceptions.InvalidURL(f"{parts.hostname} is not an address of this org")
        request.url = target + parts._replace(scheme="", netloc="").geturl()
        kwargs["timeout"] = (CONNECT_SECONDS, self._timeout)
        if kwargs.get("verify") is True:
            kwargs["verify"] = os.environ.get("SSL_CERT_FILE") or True
        if is_loopback(urlsplit(target).hostname or ""):
            kwargs["proxies"] = {}
        return super().send(request, *args, **kwargs)


def _leave_headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An auth that does nothing. It keeps requests from replacing our Authorization header by a `.netrc` entry."""
    return request
