"""What every way out of the house does: take one message after the other, or say why not."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from connector.clock import Clock
from connector.notifications.transport.email import Email
from connector.notifications.transport.smtp import SmtpPost
from connector.notifications.transport.webhook import WebhookPost
from connector.settings import MessageSettings, Via


class MailTransport(Protocol):
    """Open while it is entered, for one batch; an instance may be entered again and again."""

    async def send(self, mail: Email) -> None:
        """Hand `mail` over. PostError: it was not taken, or it is not known whether it was."""
        ...


def make_transport(settings: MessageSettings, clock: Clock) -> AbstractAsyncContextManager[MailTransport] | None:
    """The way that the settings name; None if nothing is to be sent."""
    match settings.via:
        case Via.SMTP:
            return SmtpPost(settings, clock)
        case Via.WEBHOOK:
            return WebhookPost(settings, clock)
        case Via.NONE:
            return None
