"""Post notifications as JSON to the company's webhook, signed as Standard Webhooks specifies.

The receiver checks `webhook-signature`, an HMAC-SHA256 over id, time and body, and detects a repeat by `webhook-id`.
Redirects are not followed: a message signed for one address is not sent to another.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from types import TracebackType

import aiohttp
import orjson

from connector.clock import Clock
from connector.errors import MailTransportError, RetryClass
from connector.notifications.transport.email import Email
from connector.settings import MessageSettings

RETRYABLE_STATUSES = frozenset({408, 425, 429})
MISCONFIGURED_STATUSES = frozenset({401, 403, 404, 405})
"""Statuses that do not concern the message: another address or secret is needed."""
MAX_WAIT_SECONDS = 6 * 3600.0
"""The longest wait in seconds, whatever Retry-After says."""


class WebhookTransport:
    """Implements `MailTransport`."""

    def __init__(self, settings: MessageSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> WebhookTransport:
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_seconds)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, mail: Email) -> None:
        assert self._session is not None, "enter it first"
        now = self._clock.now()
        body = build_payload(mail, now)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "crm-connector",
            **signature_headers(self._settings.webhook_key, f"msg_{mail.key}", int(now.timestamp()), body),
        }
        url = self._settings.webhook_url.get_secret_value()
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except aiohttp.ClientConnectorError:
            raise MailTransportError(
                "The webhook cannot be reached.", hint="The service tries again.",
                retry_class=RetryClass.TRANSIENT, affects_all=True,
            ) from None  # fmt: skip
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise MailTransportError(
                "The webhook did not answer whether it accepted the message.", retry_class=RetryClass.TRANSIENT
            ) from None
        if not 200 <= status < 300:
            raise _rejection(status, _retry_after_seconds(retry_after, now))


def build_payload(mail: Email, now: datetime) -> bytes:
    """Return the JSON body."""
    return orjson.dumps(
        {
            "type": f"order.{mail.kind}",
            "timestamp": now.isoformat(),
            "data": {
                "order": mail.about,
                "to": {"address": mail.recipient, "name": mail.name},
                "subject": mail.subject,
                "text": mail.text,
                "html": mail.html,
                "attachments": [
                    {
                        "name": item.name,
                        "content_type": item.content_type,
                        "content": b64encode(item.content).decode(),
                    }
                    for item in mail.attachments
                ],
            },
        }
    )


def signature_headers(key: bytes, name: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove the sender, the integrity and the time of a message."""
    digest = hmac.new(key, f"{name}.{at}.".encode() + body, sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }


def _rejection(status: int, wait: float | None) -> MailTransportError:
    if status >= 500 or status in RETRYABLE_STATUSES:
        # A Retry-After applies to all messages.
        return MailTransportError(
            f"The webhook did not accept the message for now (HTTP {status}).",
            retry_class=RetryClass.TRANSIENT, affects_all=wait is not None, wait=wait,
        )  # fmt: skip
    if 300 <= status < 400 or status in MISCONFIGURED_STATUSES:
        what = "redirects to another address" if status < 400 else "does not exist, or rejected the signature"
        hint = "Set CONNECTOR_MESSAGES__WEBHOOK_URL and CONNECTOR_MESSAGES__WEBHOOK_SECRET to those of the receiver."
        return MailTransportError(
            f"The webhook {what} (HTTP {status}).", hint=hint, retry_class=RetryClass.CONFIG, affects_all=True
        )
    return MailTransportError(
        f"The webhook refused the message permanently (HTTP {status}).", retry_class=RetryClass.DATA
    )


def _retry_after_seconds(text: str, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, which is a number or a date; None if it is neither."""
    if text.strip().isdecimal():
        return min(float(text), MAX_WAIT_SECONDS)
    try:
        until = parsedate_to_datetime(text)
        return min(max(0.0, (until - now).total_seconds()), MAX_WAIT_SECONDS)
    except (ValueError, TypeError):
        return None
