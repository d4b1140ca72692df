"""`CONNECTOR_WEBHOOKS__…`: notices for the company's own systems."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from connector.settings.checks import check_webhook_secrets, check_webhook_url, webhook_keys


class WebhookSettings(BaseModel):
    """Notices of what was applied from the org, for the company's own systems."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[SecretStr, AfterValidator(check_webhook_url)] = SecretStr("")
    """Where notices of changes from the org are posted: an https address, or an http one on this machine; without
    it, none are stored."""
    secrets: Annotated[SecretStr, AfterValidator(check_webhook_secrets)] = SecretStr("")
    """The keys that sign notices, separated by commas: while one is being replaced, the new one first, then the old
    one. Each is `whsec_`, and 24 to 64 bytes in base64; at most three."""
    include_values: bool = False
    """Whether a notice holds the new values of fields, which can be about a person, or only their names."""
    timeout_seconds: float = Field(default=15, gt=0, le=300)
    """Longest wait for one answer."""
    expire_hours: float = Field(default=72, gt=0, le=8760)
    """A notice that was not accepted within this time fails."""
    keep_days: float = Field(default=7, ge=0, le=3650)
    """How long sent notices are kept, so that they can be sent again."""
    seconds: float = Field(default=2, gt=0, le=3600)
    """How often the service looks for due notices."""

    @property
    def enabled(self) -> bool:
        return bool(self.url.get_secret_value())

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with settings that depend on each other, by name."""
        return {"secrets": "must be set: the key that signs notices"} if self.enabled and not self.keys else {}

    @property
    def keys(self) -> list[bytes]:
        return webhook_keys(self.secrets)
