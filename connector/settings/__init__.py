"""The settings, from the environment or `.env`; they are checked once at start.

`CONNECTOR_<GROUP>__<NAME>` is a field in the module of its group: `CONNECTOR_BUDGET__RESERVE_PERCENT` is in `budget`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from connector.errors import SettingsError
from connector.settings.alerts import AlertSettings
from connector.settings.backup import BackupSettings
from connector.settings.budget import BudgetSettings
from connector.settings.checks import (
    ENV_FORM,
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
from connector.settings.cluster import ClusterSettings, WorkerEngine
from connector.settings.database import DatabaseSettings
from connector.settings.events import EventSettings
from connector.settings.http import HttpSettings
from connector.settings.inbound import InboundSettings
from connector.settings.logging import LogFormat, LogLevel, LogOptions
from connector.settings.mcp import McpSettings
from connector.settings.messages import MessageSettings
from connector.settings.oidc import OidcSettings
from connector.settings.orders import OrderSettings
from connector.settings.reconcile import ReconcileSettings
from connector.settings.retention import RetentionSettings
from connector.settings.salesforce import (
    DEFAULT_ORG,
    OrgSettings,
    SalesforceSettings,
)
from connector.settings.sync import SyncSettings
from connector.settings.unknown_names import full_name, meant_setting, unknown_names
from connector.settings.webhooks import WebhookSettings

_SOURCES = "in the environment or in .env"


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
            problems = dict(unknown_names(Settings))
            settings = Settings()
        if settings.backup.folder is not None and not settings.database_url.startswith("sqlite"):
            problems[f"{PREFIX}BACKUP__FOLDER"] = "is for SQLite only: back PostgreSQL up with pg_dump"
        if settings.alerts.recipients and not (settings.messages.smtp_host and settings.messages.sender):
            problems[f"{PREFIX}ALERTS__EMAIL_TO"] = (
                f"needs {PREFIX}MESSAGES__SMTP_HOST and {PREFIX}MESSAGES__SENDER: the mail server, and who writes"
            )
        for group in ("messages", "inbound", "webhooks", "alerts", "oidc"):
            problems |= {full_name((group, name)): what for name, what in getattr(settings, group).problems.items()}
        if settings.workers is WorkerEngine.CLUSTER and not settings.database_url.startswith("postgres"):
            problems[f"{PREFIX}WORKERS"] = f"must be embedded, because {PREFIX}DATABASE_URL is not a PostgreSQL"
        if settings.org not in {"", DEFAULT_ORG, *settings.orgs}:
            names = ", ".join([DEFAULT_ORG, *(settings.orgs or ["CONNECTOR_ORGS__NAME__…"])])
            problems[f"{PREFIX}ORG"] = f"must be one of {names}"
        problems |= {f".env:{line}": "is not of the form NAME=value" for line in lines}
    except ValidationError as error:
        for item in error.errors(include_input=False):
            problems.setdefault(full_name(item["loc"]), describe_error(item) + meant_setting(item))
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
