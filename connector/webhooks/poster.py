"""Posts signed messages to one webhook, and says what its answer means.

Redirects are not followed: a message signed for one address is not sent to another. The body of an answer is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

import httpx2
from pydantic import SecretStr

from connector.clock import Clock
from connector.errors import DeliveryError, RetryClass
from connector.tracing import add_trace_header
from connector.webhooks.signing import signature_headers

RETRYABLE_STATUSES = frozenset({408, 425, 429})
MISCONFIGURED_STATUSES = frozenset({401, 403, 404, 405, 410})
"""Statuses that do not concern the message: another address or secret is needed."""
MAX_WAIT_SECONDS = 6 * 3600.0
"""The longest wait in seconds, whatever Retry-After says."""

MAX_BODY_BYTES = 64 * 1024
"""A connection whose answer is longer is closed, and not used again."""

# A proxy from the environment is not used for this machine.
_NO_PROXY: Mapping[str, httpx2.AsyncBaseTransport | None] = {
    f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")
}


class WebhookPoster:
    """A webhook and the keys that sign what is sent to it. It is entered for each batch, and can be entered again.

    `settings_hint` tells the operator which settings name the address and the secret.
    """

    def __init__(
        self, url: SecretStr, keys: Sequence[bytes], *, clock: Clock, timeout_seconds: float, settings_hint: str
    ) -> None:
        self._url = url
        self._keys = keys
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._settings_hint = settings_hint
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> WebhookPoster:
        self._client = httpx2.AsyncClient(
            timeout=self._timeout_seconds, follow_redirects=False, mounts=_NO_PROXY, verify=httpx2.create_ssl_context()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(self, message_id: str, body: bytes) -> None:
        """Post a JSON body. Raises DeliveryError if it was not accepted, or if that is not known."""
        assert self._client is not None, "enter it first"
        now = self._clock.now()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "crm-connector",
            **signature_headers(self._keys, message_id, int(now.timestamp()), body),
        }
        add_trace_header(headers)
        url = self._url.get_secret_value()
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),  # httpx2 limits each step, and a slow server takes many
                self._client.stream("POST", url, content=body, headers=headers) as response,
            ):
                status, retry_after = response.status_code, response.headers.get("Retry-After", "")
                await _discard_body(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError):
            raise DeliveryError(
                "The webhook cannot be reached.", hint=f"Check that it runs. {self._settings_hint}",
                retry_class=RetryClass.TRANSIENT, affects_all=True,
            ) from None  # fmt: skip
        except (httpx2.RequestError, TimeoutError, OSError):
            raise DeliveryError(
                "The webhook did not answer whether it accepted the message.", retry_class=RetryClass.TRANSIENT
            ) from None
        if not 200 <= status < 300:
            raise self._rejection(status, _retry_after_seconds(retry_after, now))

    def _rejection(self, status: int, wait: float | None) -> DeliveryError:
        if status >= 500 or status in RETRYABLE_STATUSES:
            # A Retry-After applies to all messages.
            return DeliveryError(
                f"The webhook did not accept the message for now (HTTP {status}).",
                retry_class=RetryClass.TRANSIENT, affects_all=wait is not None, wait=wait,
            )  # fmt: skip
        if 300 <= status < 400 or status in MISCONFIGURED_STATUSES:
            what = "redirects to another address" if status < 400 else "does not exist, or rejected the signature"
            return DeliveryError(
                f"The webhook {what} (HTTP {status}).", hint=self._settings_hint,
                retry_class=RetryClass.CONFIG, affects_all=True,
            )  # fmt: skip
        return DeliveryError(
            f"The webhook refused the message permanently (HTTP {status}).", retry_class=RetryClass.DATA
        )


async def _discard_body(response: httpx2.Response) -> None:
    """Read the body to its end, so that the connection can be used again; not a very long one."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            return


def _retry_after_seconds(text: str, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, which is a number or a date; None if it is neither."""
    if text.strip().isdecimal():
        return min(float(text), MAX_WAIT_SECONDS)
    try:
        until = parsedate_to_datetime(text)
        return min(max(0.0, (until - now).total_seconds()), MAX_WAIT_SECONDS)
    except (ValueError, TypeError, OverflowError):
        return None
