"""`CONNECTOR_MESSAGES__…`: messages to customers, and how they are sent."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from connector.settings.checks import (
    ADDRESS_PATTERN,
    LOOPBACK_PATTERN,
    SENDER_PATTERN,
    OptionalPath,
    check_webhook_secret,
    check_webhook_url,
    matching,
    webhook_keys,
)


class Via(StrEnum):
    """How confirmations, invoices and other messages are sent to customers. `none`: they are neither sent nor
    stored."""

    NONE = "none"
    SMTP = "smtp"
    WEBHOOK = "webhook"


class SmtpSecurity(StrEnum):
    """The encryption of the connection to the mail server: after STARTTLS, from the first byte (`tls`, usually port
    465), or none. Certificates are checked."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class MessageSettings(BaseModel):
    """Messages to customers: content and transport."""

    model_config = ConfigDict(extra="forbid")

    via: Via = Via.NONE
    sender: Annotated[str, matching(SENDER_PATTERN, "orders@shop.example or The Shop <orders@shop.example>")] = ""
    """Who writes: `orders@shop.example`, or `The Shop <orders@shop.example>`."""
    ops_address: Annotated[str, matching(f"({ADDRESS_PATTERN})?", "ops@shop.example")] = ""
    """The recipient of escalated holds; if it is empty, nobody is notified."""
    smtp_host: str = ""
    """The mail server."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    """Its port."""
    smtp_security: SmtpSecurity = SmtpSecurity.STARTTLS
    smtp_username: str = ""
    """For a mail server that wants its users to sign in."""
    smtp_password: SecretStr = SecretStr("")
    """The user's password. It is sent over an unencrypted connection only to this machine."""
    webhook_url: Annotated[SecretStr, AfterValidator(check_webhook_url)] = SecretStr("")
    """Where messages are posted, with `via` = `webhook`: an https address, or an http one on this machine. Many
    such addresses contain a secret."""
    webhook_secret: Annotated[SecretStr, AfterValidator(check_webhook_secret)] = SecretStr("")
    """The key that signs messages: `whsec_`, and 24 to 64 bytes in base64."""
    timeout_seconds: float = Field(default=30, gt=0, le=300)
    """Longest wait for one message to be accepted, and for a connection."""
    expire_hours: float = Field(default=72, gt=0, le=8760)
    """A message that could not be sent within this time expires."""
    seconds: float = Field(default=5, gt=0, le=3600)
    """How often the service looks for due messages."""
    templates_dir: OptionalPath = None
    """A folder of the company's templates, named like those in connector/notifications/templates."""

    @property
    def webhook_key(self) -> bytes:
        return webhook_keys(self.webhook_secret)[0]

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with settings that depend on each other, by name."""
        is_local = re.fullmatch(LOOPBACK_PATTERN, self.smtp_host) is not None
        required: dict[str, tuple[object, str]] = {}
        if self.via is Via.SMTP:
            required["sender"] = self.sender, "must be set: the sender of messages"
            required["smtp_host"] = self.smtp_host, "must be set: the mail server"
            unencrypted = self.smtp_security is SmtpSecurity.NONE and not is_local
            if self.smtp_username:
                required["smtp_password"] = (
                    self.smtp_password.get_secret_value(),
                    "must be set, because SMTP_USERNAME is",
                )
                required["smtp_security"] = (
                    not unencrypted,
                    "must be starttls or tls: without them the password is sent unencrypted",
                )
            if self.smtp_password.get_secret_value():
                required["smtp_username"] = self.smtp_username, "must be set, because SMTP_PASSWORD is"
        elif self.via is Via.WEBHOOK:
            required["webhook_url"] = self.webhook_url.get_secret_value(), "must be set: the address of the webhook"
            required["webhook_secret"] = (
                self.webhook_secret.get_secret_value(),
                "must be set: the key that signs messages",
            )
        return {name: what for name, (value, what) in required.items() if not value}
