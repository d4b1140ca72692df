"""Choices of the settings, and groups of settings: what happens here when records are deleted in the org or orders are
created there, how long things are kept, how they are logged, and how the service works."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypedDict
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from connector.policies.org_records import (
    AdoptCustomers,
    AdoptionSettings,
    AdoptOrders,
    AdoptProducts,
    ChangedLines,
    DeletedLines,
    DeletedOrders,
    DeletedRecords,
)
from connector.policies.retention import KeptValues, RetentionSettings
from connector.setting_checks import (
    ADDRESS_PATTERN,
    OptionalPath,
    check_issuer,
    check_names,
    check_webhook_secrets,
    check_webhook_url,
    matching,
    split_names,
    webhook_keys,
)

__all__ = [
    "ALERT_RULES",
    "DEFAULT_ORG",
    "AdoptCustomers",
    "AdoptOrders",
    "AdoptProducts",
    "AdoptionSettings",
    "AlertSettings",
    "BackupSettings",
    "BudgetSettings",
    "ChangedLines",
    "ClusterSettings",
    "DatabaseSettings",
    "DeletedLines",
    "DeletedOrders",
    "DeletedRecords",
    "EventSettings",
    "KeptValues",
    "LogFormat",
    "LogLevel",
    "LogOptions",
    "OrderSettings",
    "ReconcileSettings",
    "RetentionSettings",
    "WebhookSettings",
    "WorkerEngine",
]

DEFAULT_ORG = "default"
"""What people call the org that has no name in the settings."""


class WorkerEngine(StrEnum):
    """What wakes workers: the process that captured a change wakes its own, or procrastinate one of any process."""

    EMBEDDED = "embedded"
    CLUSTER = "cluster"


class ClusterSettings(BaseModel):
    """Workers on procrastinate."""

    model_config = ConfigDict(extra="forbid")

    database_url: SecretStr = SecretStr("")
    """The address of the same PostgreSQL without a pooler, for notifications; without it, `CONNECTOR_DATABASE_URL`."""


class BudgetSettings(BaseModel):
    """How much of the org's API limit is ours."""

    reserve_percent: float = Field(default=10, ge=0, le=90)
    """The part of the org's API calls that the connector leaves to its other apps: there it pauses."""
    most_calls_per_day: int = Field(default=0, ge=0, le=1_000_000_000)
    """API calls that the connector may make in 24 hours; 0: as many as the org allows, but for the reserve."""


class EventSettings(BaseModel):
    """Platform events between the org and us."""

    model_config = ConfigDict(extra="forbid")

    actions: bool = True
    """Whether actions that people ask for in the org (`Order_Action__e`) are carried out and answered."""
    order_status: bool = True
    """Whether each new stage and hold of an order is published (`Order_Status__e`)."""


class DatabaseSettings(BaseModel):
    """How long PostgreSQL may take. SQLite has no server to wait for."""

    model_config = ConfigDict(extra="forbid")

    connect_seconds: int = Field(default=10, ge=2, le=300)
    """Longest wait for a connection."""
    statement_seconds: float = Field(default=60, ge=0, le=86400)
    """Longest run of one statement, but for upgrades and dry runs; 0: no limit."""
    idle_seconds: float = Field(default=15, ge=0, le=86400)
    """How long a process may stand still in a transaction that holds locks, but for upgrades; 0: no limit."""


class BackupSettings(BaseModel):
    """Backups of the SQLite database that the service makes."""

    model_config = ConfigDict(extra="forbid")

    folder: OptionalPath = None
    """Where the service makes a backup every day; without it, it makes none."""
    hour: Annotated[str, matching(r"0?\d|1\d|2[0-3]", "1 (the hour in UTC)")] = "1"
    keep: int = Field(default=7, ge=1, le=1000)
    """How many are kept; the oldest ones are deleted."""


class ReconcileSettings(BaseModel):
    """The comparison of both sides that the service makes every night."""

    model_config = ConfigDict(extra="forbid")

    hour: Annotated[str, matching(r"off|0?\d|1\d|2[0-3]", "2 (the hour in UTC) or off")] = "2"
    heal: bool = False
    """Whether it also heals what differs."""

    @property
    def nightly_hour(self) -> int | None:
        return None if self.hour == "off" else int(self.hour)


class OrderSettings(BaseModel):
    """What the service does with orders automatically."""

    model_config = ConfigDict(extra="forbid")

    automation_seconds: float = Field(default=0, ge=0, le=86400)
    """Seconds between two runs that verify placed orders, allocate waiting ones and escalate old holds; 0: never."""


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    """The form of the log. `auto`: text on a terminal, JSON elsewhere."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class LogOptions(TypedDict):
    """What `connector.log.configure` takes besides the level."""

    form: str
    secrets: list[str]


class McpSettings(BaseModel):
    """The service that `connector mcp` asks for agents, and with which token."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, AfterValidator(check_issuer)] = "http://127.0.0.1:8080"
    token: SecretStr = SecretStr("")


class OidcSettings(BaseModel):
    """Signing in to the console by OpenID Connect. Without an issuer, people sign in with tokens only."""

    model_config = ConfigDict(extra="forbid")

    issuer: Annotated[str, AfterValidator(check_issuer)] = ""
    """The address of the provider, exactly as its `/.well-known/openid-configuration` names it."""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    """Empty for a public client: PKCE is always used."""
    scopes: Annotated[str, matching(r"(\S+ )*openid( \S+)*", "openid profile email")] = "openid profile email"
    roles_claim: Annotated[str, matching(r"\S+", "groups")] = "groups"
    """The claim whose values have roles; `realm_access.roles` is `roles` in `realm_access`."""
    viewer_groups: Annotated[str, AfterValidator(check_names)] = ""
    """Values of that claim which make a viewer, separated by commas; `*`: everybody who signs in."""
    ops_groups: Annotated[str, AfterValidator(check_names)] = ""
    admin_groups: Annotated[str, AfterValidator(check_names)] = ""
    name: str = Field(default="", max_length=40)
    """What the button calls the provider; without it, its host."""
    redirect_uri: Annotated[str, AfterValidator(check_issuer)] = ""
    """Where the provider leads back to, if a proxy does not pass on the host: …/signin/openid/callback."""
    session_hours: float = Field(default=12, gt=0, le=720)

    @property
    def title(self) -> str:
        return self.name or urlsplit(self.issuer).netloc

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with settings that depend on each other, by name."""
        if not self.issuer:
            return {}
        problems = {} if self.client_id else {"client_id": "must be set: the client that the provider knows"}
        if not any(split_names(names) for names in (self.viewer_groups, self.ops_groups, self.admin_groups)):
            problems["viewer_groups"] = "or OPS_GROUPS or ADMIN_GROUPS must be set: nobody could sign in"
        return problems


class WebhookSettings(BaseModel):
    """Notices of what was applied from the org, for the company's own systems."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[SecretStr, AfterValidator(check_webhook_url)] = SecretStr("")
    """Where notices are posted; without it, none are stored."""
    secrets: Annotated[SecretStr, AfterValidator(check_webhook_secrets)] = SecretStr("")
    """The secrets that sign notices, separated by commas: while one is being replaced, the new one and the old one."""
    include_values: bool = False
    """Whether a notice holds the new values of fields, which can be about a person, or only their names."""
    timeout_seconds: float = Field(default=15, gt=0, le=300)
    expire_hours: float = Field(default=72, gt=0, le=8760)
    """A notice that was not accepted within this time fails."""
    keep_days: float = Field(default=7, ge=0, le=3650)
    """How long sent notices are kept, so that they can be sent again."""
    seconds: float = Field(default=2, gt=0, le=3600)
    """Seconds between two searches of the service for due notices."""

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


ALERT_RULES = (
    "org_away", "changes_wait", "dead_letters", "conflicts", "stream_behind", "deliveries", "api_budget",
    "job_failed", "reconcile", "role_failed",
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
    secrets: Annotated[SecretStr, AfterValidator(check_webhook_secrets)] = SecretStr("")
    """The secrets that sign what is posted, separated by commas."""
    email_to: Annotated[str, matching(rf"({ADDRESS_PATTERN}(\s*,\s*{ADDRESS_PATTERN})*)?", "ops@shop.example")] = ""
    """Recipients, separated by commas; they are written to through the mail server of the messages to customers."""
    apprise_urls: SecretStr = SecretStr("")
    """Addresses as apprise knows them, separated by spaces."""
    off: Annotated[str, AfterValidator(check_rules)] = ""
    """Rules that are turned off, separated by commas."""
    org_away_minutes: float = Field(default=10, ge=0, le=10080)
    oldest_change_minutes: float = Field(default=30, gt=0, le=10080)
    stream_behind_minutes: float = Field(default=15, ge=0, le=10080)
    settle_minutes: float = Field(default=5, ge=0, le=1440)
    """An alert is over when its cause has not been there for so long."""
    timeout_seconds: float = Field(default=15, gt=0, le=300)
    seconds: float = Field(default=60, ge=1, le=3600)
    """Seconds between two looks."""

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
