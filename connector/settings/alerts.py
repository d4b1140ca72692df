"""`CONNECTOR_ALERTS__…`: whom to tell what operators must know."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from connector.settings.checks import (
    ADDRESS_PATTERN,
    check_webhook_secrets,
    check_webhook_url,
    matching,
    webhook_keys,
)

ALERT_RULES = (
    "org_away", "changes_wait", "dead_letters", "conflicts", "stream_behind", "deliveries", "api_budget",
    "job_failed", "reconcile", "role_failed", "mapping_drift",
)  # fmt: skip


def check_rules(text: str) -> str:
    """Check names of rules of alerts, separated by commas."""
    for name in filter(None, (word.strip() for word in text.split(","))):
        if name not in ALERT_RULES:
            raise ValueError(f"must be some of {', '.join(ALERT_RULES)}")
    return text


class AlertSettings(BaseModel):
    """Whom to tell what operators must know, and when. Without an address, nobody is told."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[SecretStr, AfterValidator(check_webhook_url)] = SecretStr("")
    """A webhook: an https address, or an http one on this machine."""
    secrets: Annotated[SecretStr, AfterValidator(check_webhook_secrets)] = SecretStr("")
    """The keys that sign what is posted, separated by commas, as for notices."""
    email_to: Annotated[str, matching(rf"({ADDRESS_PATTERN}(\s*,\s*{ADDRESS_PATTERN})*)?", "ops@shop.example")] = ""
    """Recipients, separated by commas. The mail server is that of the messages to customers, which need not be sent
    (`CONNECTOR_MESSAGES__VIA` may be `none`)."""
    apprise_urls: SecretStr = SecretStr("")
    """Addresses as apprise knows them, separated by spaces: `slack://…`, `pagerduty://…`; needs
    `pip install "crm-connector[alerts]"`."""
    off: Annotated[str, AfterValidator(check_rules)] = ""
    """Rules that are turned off, separated by commas."""
    org_away_minutes: float = Field(default=10, ge=0, le=10080)
    """`org_away` begins when the org has accepted nothing for so long."""
    oldest_change_minutes: float = Field(default=30, gt=0, le=10080)
    """`changes_wait` begins when the oldest change has waited to be sent for so long."""
    stream_behind_minutes: float = Field(default=15, ge=0, le=10080)
    """`stream_behind` begins when a topic has had no stream for so long."""
    settle_minutes: float = Field(default=5, ge=0, le=1440)
    """An alert is over when its cause has not been there for so long."""
    timeout_seconds: float = Field(default=15, gt=0, le=300)
    """Longest wait for the webhook."""
    seconds: float = Field(default=60, ge=1, le=3600)
    """How often the service looks for something that must be told."""

    @property
    def enabled(self) -> bool:
        return bool(self.url.get_secret_value() or self.recipients or self.apprise_addresses)

    @property
    def keys(self) -> list[bytes]:
        return webhook_keys(self.secrets)

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with settings that depend on each other, by name."""
        is_unsigned = self.url.get_secret_value() and not self.keys
        return {"secrets": "must be set: the key that signs alerts"} if is_unsigned else {}

    @property
    def recipients(self) -> list[str]:
        return [address.strip() for address in self.email_to.split(",") if address.strip()]

    @property
    def apprise_addresses(self) -> list[str]:
        return self.apprise_urls.get_secret_value().split()

    @property
    def rules_off(self) -> set[str]:
        return {name.strip() for name in self.off.split(",")}
