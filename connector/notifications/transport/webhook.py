"""Post notifications as JSON to the company's webhook.

The receiver checks the signature (see connector/webhooks/signing.py), and detects a repeat by `webhook-id`.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from types import TracebackType

import orjson

from connector.clock import Clock
from connector.notifications.transport.email import Email
from connector.settings.messages import MessageSettings
from connector.webhooks.poster import WebhookPoster

SETTINGS_HINT = "Set CONNECTOR_MESSAGES__WEBHOOK_URL and CONNECTOR_MESSAGES__WEBHOOK_SECRET to those of the receiver."


class WebhookTransport:
    """Implements `MailTransport`."""

    def __init__(self, settings: MessageSettings, clock: Clock) -> None:
        self._clock = clock
        self._poster = WebhookPoster(
            settings.webhook_url,
            [settings.webhook_key],
            clock=clock,
            timeout_seconds=settings.timeout_seconds,
            settings_hint=SETTINGS_HINT,
        )

    async def __aenter__(self) -> WebhookTransport:
        await self._poster.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._poster.__aexit__(kind, error, trace)

    async def send(self, mail: Email) -> None:
        await self._poster.post(f"msg_{mail.key}", build_payload(mail, self._clock.now()))


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
