"""What can be set from outside (environment or `.env`), checked once at start."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from connector.errors import SettingsError

PREFIX = "CONNECTOR_"


class AuthMethod(StrEnum):
    CLIENT_CREDENTIALS = "client_credentials"
    JWT = "jwt"
    PASSWORD = "password"  # noqa: S105 - the name of an OAuth flow


class SalesforceSettings(BaseModel):
    """How to reach the org. `login_url` is the My Domain address; the token answer names where data calls go."""

    login_url: str = ""
    auth: AuthMethod = AuthMethod.CLIENT_CREDENTIALS
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    username: str = ""
    password: SecretStr = SecretStr("")
    private_key_file: Path | None = None
    api_version: str = Field(default="66.0", pattern=r"^\d{2}\.0$")
    pubsub_endpoint: str = ""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """The currency of an org without multi-currency: it has no field that says so."""
    timeout_seconds: float = Field(default=130, gt=0, le=600)
    """Longest wait for one answer; the org itself gives up on a lock after 10 s and on a query after 120 s."""


class SyncSettings(BaseModel):
    """How the outbound side shares its work out."""

    partitions: int = Field(default=8, ge=1, le=256)
    lease_seconds: float = Field(default=15, gt=0, le=600)
    push_seconds: float = Field(default=1.0, gt=0, le=3600)
    """How often the service looks for changes to send."""
    attempts_in_claim: int = Field(default=4, ge=1, le=10)
    """How often one call is tried before its orders go back to the outbox with a later due time."""


class Settings(BaseSettings):
    """All settings; every name is `CONNECTOR_<NAME>`, nested ones `CONNECTOR_SALESFORCE__<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_file=".env", extra="ignore")

    database_url: str = "sqlite:///connector.db"
    mappings_dir: Path | None = None
    """Folder with customer.yaml, product.yaml and order.yaml; without it the ones we ship are used."""
    salesforce: SalesforceSettings = SalesforceSettings()
    sync: SyncSettings = SyncSettings()
    log_level: str = "WARNING"


def load_settings() -> Settings:
    """Settings from the environment; SettingsError names each one that is wrong, never its value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"{PREFIX}{'__'.join(str(part) for part in item['loc']).upper()}: {item['msg']}" for item in error.errors()
        ]
        raise SettingsError("; ".join(problems) + ".", hint="Correct it in the environment or in .env.") from None
