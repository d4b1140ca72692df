"""The interface of transports: accept one message after the other, or raise why not."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from connector.clock import Clock
from connector.notifications.transport.email import Email
from connector.notifications.transport.smtp import SmtpTransport
from connector.notifications.transport.webhook import WebhookTransport
from connector.settings.messages import MessageSettings, Via


class MailTransport(Protocol):
    """A transport. It is entered for each batch, and can be entered again."""

    async def send(self, mail: Email) -> None:
        """Hand `mail` over. Raises DeliveryError if it was not accepted, or if that is not known."""
        ...


def make_transport(settings: MessageSettings, clock: Clock) -> AbstractAsyncContextManager[MailTransport] | None:
    """Return the transport of the settings; None if notifications are off."""
    match settings.via:
        case Via.SMTP:
            return SmtpTransport(settings, clock)
        case Via.WEBHOOK:
            return WebhookTransport(settings, clock)
        case Via.NONE:
            return None
