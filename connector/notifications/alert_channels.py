"""How operators are told of alerts: a signed webhook, e-mail, and whatever apprise knows (the extra `alerts`).

Each recipient of mails and each address of apprise is a channel of its own: one that refuses a message does not have
the others told again.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Protocol

import orjson

from connector.clock import Clock
from connector.errors import DeliveryError, RetryClass, SettingsError
from connector.model.alert import AlertEvent, AlertMessage
from connector.notifications.transport.email import Email
from connector.notifications.transport.smtp import SmtpTransport
from connector.settings import Settings
from connector.webhooks.poster import WebhookPoster

SETTINGS_HINT = "Set CONNECTOR_ALERTS__URL and CONNECTOR_ALERTS__SECRETS to those of the receiver."
EXTRA = 'Run `pip install "crm-connector[alerts]"`.'


class AlertChannel(Protocol):
    """`name` is stored with each message: the kind of channel and, where there may be several, which one of them."""

    name: str

    async def send(self, message: AlertMessage) -> None:
        """Hand the message over. Raises DeliveryError if it was not accepted, or if that is not known."""
        ...


class WebhookChannel:
    """Posts signed JSON; the receiver detects a repeat by `webhook-id`."""

    name = "webhook"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        alerts = settings.alerts
        self._clock = clock
        self._poster = WebhookPoster(
            alerts.url, alerts.keys, clock=clock, timeout_seconds=alerts.timeout_seconds, settings_hint=SETTINGS_HINT
        )

    async def send(self, message: AlertMessage) -> None:
        async with self._poster as poster:
            await poster.post(message.id, build_payload(message, self._clock.now()))


class EmailChannel:
    """Sends plain mails to one recipient, through the mail server of the messages to customers. `number`: which one of
    CONNECTOR_ALERTS__EMAIL_TO."""

    def __init__(self, settings: Settings, clock: Clock, number: int, recipient: str) -> None:
        self.name = f"email:{number}"
        self._number = number
        self._recipient = recipient
        self._transport = SmtpTransport(settings.messages, clock)

    async def send(self, message: AlertMessage) -> None:
        mail = Email(
            key=f"{message.id.replace('_', '-')}-{self._number}",
            kind="alert",
            about=message.alert.rule,
            recipient=self._recipient,
            name="",
            subject=f"[connector] {message.title}",
            text=message.body,
            html=f"<pre>{escape(message.body)}</pre>",
        )
        try:
            async with self._transport as transport:
                await transport.send(mail)
        except DeliveryError as error:
            if error.retry_class is RetryClass.DATA and error.hint:
                error.hint = f"Correct address number {self._number} of CONNECTOR_ALERTS__EMAIL_TO."
            raise


class AppriseChannel:
    """Hands messages to apprise, which knows about a hundred services. It tells of a failure without a reason.
    `number`: which one of CONNECTOR_ALERTS__APPRISE_URLS."""

    def __init__(self, number: int, url: str) -> None:
        try:
            import apprise
        except ImportError:
            raise SettingsError("CONNECTOR_ALERTS__APPRISE_URLS needs the package apprise.", hint=EXTRA) from None
        self.name = f"apprise:{number}"
        self._number = number
        self._types = {AlertEvent.BEGAN: apprise.NotifyType.WARNING, AlertEvent.ENDED: apprise.NotifyType.SUCCESS}
        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise SettingsError(
                f"CONNECTOR_ALERTS__APPRISE_URLS: apprise does not know the address number {number}.",
                hint="Addresses are separated by spaces, such as slack://… or ntfys://….",
            )

    async def send(self, message: AlertMessage) -> None:
        told = await self._apprise.async_notify(
            title=message.title, body=message.body, notify_type=self._types[message.event]
        )
        if not told:
            raise DeliveryError(
                "Apprise could not hand the message over.",
                hint=f"Check address number {self._number} of CONNECTOR_ALERTS__APPRISE_URLS.",
                retry_class=RetryClass.TRANSIENT,
            )


def make_channels(settings: Settings, clock: Clock) -> list[AlertChannel]:
    """The channels of the settings. Raises SettingsError for an address that cannot be used."""
    alerts = settings.alerts
    channels: list[AlertChannel] = []
    if alerts.url.get_secret_value():
        channels.append(WebhookChannel(settings, clock))
    channels += [EmailChannel(settings, clock, number, to) for number, to in enumerate(alerts.recipients, 1)]
    channels += [AppriseChannel(number, url) for number, url in enumerate(alerts.apprise_addresses, 1)]
    return channels


def build_payload(message: AlertMessage, now: datetime) -> bytes:
    """Return the JSON body."""
    alert = message.alert
    return orjson.dumps(
        {
            "type": f"alert.{message.event.value}",
            "timestamp": now.isoformat(),
            "data": {
                "id": alert.id,
                "rule": alert.rule,
                "subject": alert.subject,
                "text": alert.text,
                "fix": alert.fix,
                "began_at": alert.began_at,
                "ended_at": alert.ended_at,
            },
        }
    )
