"""The settings, from the environment or `.env`; they are checked once at start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from connector.errors import SettingsError
from connector.policies import (
    DEFAULT_ORG,
    AdoptionSettings,
    AlertSettings,
    BackupSettings,
    BudgetSettings,
    ChangedLines,
    ClusterSettings,
    DatabaseSettings,
    DeletedLines,
    DeletedOrders,
    DeletedRecords,
    EventSettings,
    LogFormat,
    LogLevel,
    LogOptions,
    McpSettings,
    OidcSettings,
    OrderSettings,
    ReconcileSettings,
    RetentionSettings,
    WebhookSettings,
    WorkerEngine,
)
from connector.setting_checks import (
    ENV_FORM,
    LOOPBACK_PATTERN,
    PREFIX,
    BadLineCollector,
    OptionalPath,
    check_env_file,
    describe_error,
    matching,
    passwords_in,
    secrets_in,
    to_upper,
)
from connector.settings.messages import MessageSettings, SmtpSecurity, Via
from connector.settings.salesforce import AuthMethod, DuplicateRules, OrgSettings, Returns, SalesforceSettings

__all__ = [
    "PREFIX",
    "AuthMethod",
    "DuplicateRules",
    "HttpSettings",
    "InboundSettings",
    "MessageSettings",
    "OrgSettings",
    "Returns",
    "SalesforceSettings",
    "Settings",
    "SmtpSecurity",
    "SyncSettings",
    "Via",
    "load_settings",
]

_SOURCES = "in the environment or in .env"

_SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_.*)?")
"""Kubernetes gives these to every container beside a service that is named `connector`."""


class SyncSettings(BaseModel):
    """How outbound work is divided and repeated."""

    model_config = ConfigDict(extra="forbid")

    partitions: int = Field(default=8, ge=1, le=256)
    """Into how many parts outbound work is divided, by account; all processes need the same number."""
    lease_seconds: float = Field(default=15, gt=0, le=600)
    """How long a part, a topic or a job stays with a process that is silent; then another process takes it over."""
    push_seconds: float = Field(default=1.0, gt=0, le=3600)
    """How often the service looks for changes that other processes made; its own are sent at once."""
    attempts_in_claim: int = Field(default=4, ge=1, le=10)
    """Attempts of one call before its orders return to the outbox with a later due time."""


class InboundSettings(AdoptionSettings):
    """How changes in the org come back."""

    listen: bool = True
    """Whether the service listens to the org: to changes and actions there; it also publishes events then."""
    topic: Annotated[str, matching(r"/(data|event)/\w+", "/data/Connector__chn")] = "/data/Connector__chn"
    """What the listener subscribes to: the channel that `connector org deploy` puts into the org."""
    poll_seconds: float = Field(default=300, ge=5, le=86400)
    """How often the listener polls for what events may have missed; where it only polls, the longest pause."""
    fastest_poll_seconds: float = Field(default=15, ge=1, le=86400)
    """The shortest pause between polls, where the listener only polls."""
    poll_calls_per_day: int = Field(default=5000, ge=100, le=10_000_000)
    """API calls that the listener's polls may take in a day; the more are used, the longer the pause."""
    delivery_reserve_percent: float = Field(default=10, ge=0, le=90)
    """The part of the org's event deliveries that the listener leaves to others: then it polls until midnight."""
    most_deliveries_per_day: int = Field(default=0, ge=0, le=1_000_000_000)
    """Event deliveries that the listener may use in 24 hours; 0: as many as the org allows, but for the reserve."""
    deleted_customers: DeletedRecords = DeletedRecords.REPORT
    deleted_products: DeletedRecords = DeletedRecords.REPORT
    deleted_orders: DeletedOrders = DeletedOrders.REPORT
    deleted_lines: DeletedLines = DeletedLines.RESTORE
    changed_lines: ChangedLines = ChangedLines.TAKE


class HttpSettings(BaseModel):
    """Where the API listens. The default is loopback: put a TLS proxy in front of it."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    """The address at which `serve` listens; put a TLS proxy in front of it."""
    port: int = Field(default=8080, ge=0, le=65535)
    """The port at which `serve` listens; 0: a free one."""
    public_url: Annotated[str, matching(r"(https?://[^\s/?#@]+(/[^\s?#]*)?)?", "https://orders.shop.example")] = ""
    """The public address of `serve`: the beginning of links in messages to customers. Without it, messages have no
    link."""
    requests_per_minute: int = Field(default=6000, ge=0, le=10_000_000)
    """How many requests one token may make of one process; 0: as many as it likes."""


class Settings(BaseSettings):
    """All settings; every name is `CONNECTOR_<NAME>`, nested ones `CONNECTOR_SALESFORCE__<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_file=".env", extra="ignore")

    database_url: str = Field(default="sqlite:///connector.db", repr=False)
    """A SQLite file, or `postgresql://user:password@host/name`, also through PgBouncer in transaction mode."""
    database: DatabaseSettings = DatabaseSettings()
    mappings_dir: OptionalPath = None
    """The folder with `customer.yaml`, `product.yaml`, `order.yaml`, …; without it, the packaged mappings are used."""
    salesforce: SalesforceSettings = SalesforceSettings()
    orgs: dict[Annotated[str, matching("(?!default$)[a-z][a-z0-9_]{0,30}", "emea")], OrgSettings] = {}
    """Orgs besides the default one, by a name of lower-case letters, digits and `_`, such as
    `CONNECTOR_ORGS__EMEA__LOGIN_URL`. Each has the settings of `CONNECTOR_SALESFORCE__…`, and `CUSTOMERS`."""
    org: str = ""
    """The org that this process works for, or `default`; without it, a service works for all orgs, and a command
    for the default one."""
    rules_file: OptionalPath = None
    """The rules of verification, priority, routing and escalation of orders; without it, the packaged ones are used. A
    service follows edits."""
    sync: SyncSettings = SyncSettings()
    workers: WorkerEngine = WorkerEngine.EMBEDDED
    cluster: ClusterSettings = ClusterSettings()
    http: HttpSettings = HttpSettings()
    oidc: OidcSettings = Field(default_factory=OidcSettings)
    mcp: McpSettings = Field(default_factory=McpSettings)
    budget: BudgetSettings = BudgetSettings()
    inbound: InboundSettings = Field(default_factory=InboundSettings)
    events: EventSettings = EventSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    retention: RetentionSettings = RetentionSettings()
    backup: BackupSettings = BackupSettings()
    orders: OrderSettings = OrderSettings()
    messages: MessageSettings = MessageSettings()
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    log_level: Annotated[LogLevel, BeforeValidator(to_upper)] = LogLevel.WARNING
    """The least severe lines that are logged. Without it, a service logs `INFO` as well."""
    log_format: LogFormat = LogFormat.AUTO
    _is_default_only: bool = False
    traces: bool = False
    """Whether a service records traces by OpenTelemetry, and sends them to where the `OTEL_…` variables say."""

    @property
    def log_options(self) -> LogOptions:
        """The form of the log, and the secrets that it masks: they are in no line of ours, but errors quote."""
        return {"form": self.log_format.value, "secrets": [*secrets_in(self), *passwords_in(self.database_url)]}

    def for_org(self, name: str) -> Settings:
        """The same settings for one org; the default one's name is empty."""
        salesforce = self.orgs[name].of_org(name) if name else self.salesforce
        return self.model_copy(update={"org": name, "salesforce": salesforce})

    @property
    def org_names(self) -> list[str]:
        """The orgs that this process works for; the default one's name is empty."""
        return [self.org] if self.works_for_one_org else ["", *self.orgs]

    @property
    def works_for_one_org(self) -> bool:
        """Whether the settings name the org that this process works for."""
        return bool(self.org) or self._is_default_only

    def for_process(self) -> Settings:
        """The same settings for the org that they name, if they name one."""
        if self.org != DEFAULT_ORG:
            return self.for_org(self.org) if self.org else self
        copy = self.for_org("")
        copy._is_default_only = bool(self.orgs)
        return copy

    @property
    def service_log_level(self) -> LogLevel:
        """The log level of a service: INFO unless `log_level` is set. A command prints its own output instead."""
        return self.log_level if "log_level" in self.model_fields_set else LogLevel.INFO


def load_settings() -> Settings:
    """Return the settings from the environment. Raises SettingsError, which names each invalid or unknown setting, but
    not its value."""
    try:
        check_env_file()
        with BadLineCollector() as lines:
            problems = dict(_unknown_names())
            settings = Settings()
        problems |= _combined_problems(settings.messages)
        if settings.backup.folder is not None and not settings.database_url.startswith("sqlite"):
            problems[f"{PREFIX}BACKUP__FOLDER"] = "is for SQLite only: back PostgreSQL up with pg_dump"
        if settings.alerts.recipients and not (settings.messages.smtp_host and settings.messages.sender):
            problems[f"{PREFIX}ALERTS__EMAIL_TO"] = (
                f"needs {PREFIX}MESSAGES__SMTP_HOST and {PREFIX}MESSAGES__SENDER: the mail server, and who writes"
            )
        for group in ("inbound", "webhooks", "alerts", "oidc"):
            problems |= {_full_name((group, name)): what for name, what in getattr(settings, group).problems.items()}
        if settings.workers is WorkerEngine.CLUSTER and not settings.database_url.startswith("postgres"):
            problems[f"{PREFIX}WORKERS"] = f"must be embedded, because {PREFIX}DATABASE_URL is not a PostgreSQL"
        if settings.org not in {"", DEFAULT_ORG, *settings.orgs}:
            names = ", ".join([DEFAULT_ORG, *(settings.orgs or ["CONNECTOR_ORGS__NAME__…"])])
            problems[f"{PREFIX}ORG"] = f"must be one of {names}"
        problems |= {f".env:{line}": "is not of the form NAME=value" for line in lines}
    except ValidationError as error:
        for item in error.errors(include_input=False):
            problems.setdefault(_full_name(item["loc"]), describe_error(item) + _meant(item))
        settings = None
    except SourceError:
        raise SettingsError(
            f"A group of settings is not valid JSON {_SOURCES}.",
            hint=f"Set its parts one by one, as in {PREFIX}SALESFORCE__LOGIN_URL.",
        ) from None
    except (OSError, UnicodeDecodeError):
        raise SettingsError("The file .env cannot be read.", hint=ENV_FORM) from None
    if problems or settings is None:
        raise SettingsError(
            "; ".join(f"{name} {what}" for name, what in problems.items()) + ".", hint=f"Correct it {_SOURCES}."
        )
    return settings.for_process()


def _combined_problems(messages: MessageSettings) -> dict[str, str]:
    """Return the problems of settings that depend on each other, by name."""
    is_local = re.fullmatch(LOOPBACK_PATTERN, messages.smtp_host) is not None
    required: dict[str, tuple[object, str]] = {}
    if messages.via is Via.SMTP:
        required["sender"] = messages.sender, "must be set: the sender of messages"
        required["smtp_host"] = messages.smtp_host, "must be set: the mail server"
        unencrypted = messages.smtp_security is SmtpSecurity.NONE and not is_local
        if messages.smtp_username:
            required["smtp_password"] = (
                messages.smtp_password.get_secret_value(),
                "must be set, because SMTP_USERNAME is",
            )
            required["smtp_security"] = (
                not unencrypted,
                "must be starttls or tls: without them the password is sent unencrypted",
            )
        if messages.smtp_password.get_secret_value():
            required["smtp_username"] = messages.smtp_username, "must be set, because SMTP_PASSWORD is"
    elif messages.via is Via.WEBHOOK:
        required["webhook_url"] = messages.webhook_url.get_secret_value(), "must be set: the address of the webhook"
        required["webhook_secret"] = (
            messages.webhook_secret.get_secret_value(),
            "must be set: the key that signs messages",
        )
    return {f"{PREFIX}MESSAGES__{name.upper()}": what for name, (value, what) in required.items() if not value}


def _unknown_names() -> Iterator[tuple[str, str]]:
    """Yield each variable that has our prefix and is not a setting: usually a typing error that would go unnoticed."""
    setting_names = {name.upper() for name in _list_names(Settings.model_fields)}
    set_names = {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars}
    for name in sorted(name.upper() for name in set_names):
        short = name.removeprefix(PREFIX)
        if short == name or short in setting_names or short.startswith("ORGS__") or _SERVICE_LINK.fullmatch(short):
            continue
        [close] = get_close_matches(short, setting_names, n=1) or [""]
        yield name, f"is not a setting (did you mean {PREFIX}{close}?)" if close else "is not a setting"


def _list_names(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`database_url`, `salesforce` (as JSON), `salesforce__login_url`, …"""
    for name, field in fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _list_names(field.annotation.model_fields, f"{prefix}{name}__")


def _full_name(place: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in place).upper()


def _meant(item: Mapping[str, Any]) -> str:
    """The setting of an org that is closest to an unknown one."""
    place = item["loc"]
    if item["type"] != "extra_forbidden" or place[0] != "orgs" or len(place) != 3:
        return ""
    close = get_close_matches(str(place[2]).lower(), OrgSettings.model_fields, n=1)
    return f" (did you mean {_full_name((*place[:2], close[0]))}?)" if close else ""
