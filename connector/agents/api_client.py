"""The client of our own HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import httpx2
from pydantic import SecretStr

from connector.errors import ConnectorError

SECONDS = 60.0
"""Longest wait for an answer."""
PREFIX = "/api/v1"
# A proxy from the environment is not used for this machine.
_NO_PROXY: Mapping[str, httpx2.AsyncBaseTransport | None] = {
    f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")
}


class ApiClient:
    """A service and a token for it. It is entered once."""

    def __init__(self, url: str, token: SecretStr) -> None:
        self._url = url.rstrip("/")
        self._client = httpx2.AsyncClient(
            base_url=self._url + PREFIX,
            headers={"Authorization": f"Bearer {token.get_secret_value()}", "User-Agent": "crm-connector-mcp"},
            timeout=SECONDS,
            follow_redirects=False,
            mounts=_NO_PROXY,
            verify=httpx2.create_ssl_context(),
        )

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: object) -> dict[str, object]:
        """Return an answer. Raises ConnectorError with what the API says against it."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return await self._ask("GET", path, params=given)

    async def post(self, path: str, body: Mapping[str, object], **query: object) -> dict[str, object]:
        """The same, of a request that may change something. It is not repeated."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return await self._ask("POST", path, params=given, json=body)

    async def _ask(
        self, method: str, path: str, *, params: Mapping[str, str], json: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        try:
            response = await self._client.request(method, path, params=params, json=json)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            raise ConnectorError(
                f"The service at {self._url} does not answer.",
                hint="Start it with `connector serve`, or set CONNECTOR_MCP__URL.",
            ) from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ConnectorError(
                f"What answers at {self._url} is not the connector (HTTP {response.status_code}).",
                hint="Set CONNECTOR_MCP__URL to the address of `connector serve`.",
            )
        if response.status_code >= 400:
            raise ConnectorError(str(answer.get("detail", "Refused.")), hint=str(answer.get("hint", "")))
        return answer
