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
    """What wakes workers. `embedded`: the process that captured a change wakes its own worker; `cluster`:
    procrastinate wakes one of any process, of many on one PostgreSQL."""

    EMBEDDED = "embedded"
    CLUSTER = "cluster"


class ClusterSettings(BaseModel):
    """What workers need with `cluster`."""

    model_config = ConfigDict(extra="forbid")

    database_url: SecretStr = SecretStr("")
    """The address of the same PostgreSQL without a pooler, which procrastinate needs; without it,
    `CONNECTOR_DATABASE_URL`."""


class BudgetSettings(BaseModel):
    """How much of the org's API limit is ours."""

    reserve_percent: float = Field(default=10, ge=0, le=90)
    """The part of the org's API calls that is left to its other apps; the connector pauses before it uses these."""
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
    """Longest wait for a connection to PostgreSQL."""
    statement_seconds: float = Field(default=60, ge=0, le=86400)
    """Longest run of one statement, except in upgrades and dry runs; 0: no limit. A server that is silent for 30
    seconds longer is given up."""
    idle_seconds: float = Field(default=15, ge=0, le=86400)
    """How long a process may stand still in a transaction that writes, except in upgrades; then PostgreSQL ends the
    transaction, so that a process that is frozen, or whose machine is gone, holds up no other. 0: no limit."""


class BackupSettings(BaseModel):
    """Backups of the SQLite database that the service makes."""

    model_config = ConfigDict(extra="forbid")

    folder: OptionalPath = None
    """Where the service makes a backup of the SQLite database every day; without it, it makes none."""
    hour: Annotated[str, matching(r"0?\d|1\d|2[0-3]", "1 (the hour in UTC)")] = "1"
    """The hour of the day (UTC) at which it does."""
    keep: int = Field(default=7, ge=1, le=1000)
    """How many backups are kept; the oldest ones are deleted."""


class ReconcileSettings(BaseModel):
    """The comparison of both sides that the service makes every night."""

    model_config = ConfigDict(extra="forbid")

    hour: Annotated[str, matching(r"off|0?\d|1\d|2[0-3]", "2 (the hour in UTC) or off")] = "2"
    """The hour of the day (UTC) at which the service compares both sides, or `off`."""
    heal: bool = False
    """Whether it also heals what differs, by the owner of each field."""

    @property
    def nightly_hour(self) -> int | None:
        return None if self.hour == "off" else int(self.hour)


class OrderSettings(BaseModel):
    """What the service does with orders automatically."""

    model_config = ConfigDict(extra="forbid")

    automation_seconds: float = Field(default=0, ge=0, le=86400)
    """How often the service verifies placed orders, allocates waiting ones and escalates old holds; 0: never."""


class LogLevel(StrEnum):
    """The severities of lines of the log."""

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
    """The address of the service (`connector serve`)."""
    token: SecretStr = SecretStr("")
    """A token of the service; the agent may do what its role may."""


class OidcSettings(BaseModel):
    """Signing in to the console by OpenID Connect. Without an issuer, people sign in with tokens only."""

    model_config = ConfigDict(extra="forbid")

    issuer: Annotated[str, AfterValidator(check_issuer)] = ""
    """The address of the provider, exactly as its `/.well-known/openid-configuration` names it; https, or http on this
    machine."""
    client_id: str = ""
    """The client as the provider knows it."""
    client_secret: SecretStr = SecretStr("")
    """The client's secret; empty for a public client, because PKCE is always used."""
    scopes: Annotated[str, matching(r"(\S+ )*openid( \S+)*", "openid profile email")] = "openid profile email"
    """What is asked for; some providers send groups only with a scope of their own."""
    roles_claim: Annotated[str, matching(r"\S+", "groups")] = "groups"
    """The claim of the ID token or of the user info with the names of groups; `realm_access.roles` (Keycloak) is
    `roles` in `realm_access`."""
    viewer_groups: Annotated[str, AfterValidator(check_names)] = ""
    """Who is a viewer: names of groups, separated by commas, or a JSON list for names with commas; `*`: everybody who
    signs in. The highest role counts; who has none is refused."""
    ops_groups: Annotated[str, AfterValidator(check_names)] = ""
    """Who has the role ops, in the same form."""
    admin_groups: Annotated[str, AfterValidator(check_names)] = ""
    """Who has the role admin, in the same form."""
    trust_email: bool = False
    """Whether the email of a person is theirs although the provider says nothing of that (`email_verified`, `xms_edov`
    of Entra ID): only if nobody can choose their own there. Else histories have the user name with the subject."""
    name: str = Field(default="", max_length=40)
    """What the button calls the provider; without it, its host."""
    redirect_uri: Annotated[str, AfterValidator(check_issuer)] = ""
    """Where the provider leads back to (`…/signin/openid/callback`), if a proxy does not pass on `Host` and
    `X-Forwarded-Proto`."""
    session_hours: float = Field(default=12, gt=0, le=720)
    """How long a session lasts."""

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
