"""What can be set from outside (environment or `.env`), checked once at start."""

from __future__ import annotations

import logging
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from connector.errors import SettingsError
from connector.files import UnusableFileError, read_file

PREFIX = "CONNECTOR_"
_WHERE = "in the environment or in .env"

_LARGEST_ENV = 256 * 1024
_ENV_FORM = "It must be UTF-8 text, NAME=value a line."

_NOT_YET = frozenset({"WORKERS"})
"""Settings of parts that are still to come: what is deployed with them today must start."""

_SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_.*)?")
"""Kubernetes gives these to every container beside a service that is named `connector`."""


class AuthMethod(StrEnum):
    CLIENT_CREDENTIALS = "client_credentials"
    JWT = "jwt"
    PASSWORD = "password"  # noqa: S105 - the name of an OAuth flow


class Returns(StrEnum):
    """How returns show in the org. `auto`: as reduction orders where it has them, else on the order alone."""

    AUTO = "auto"
    REDUCTION_ORDER = "reduction_order"
    RETURN_ORDER = "return_order"
    FIELDS = "fields"


class DuplicateRules(StrEnum):
    """What becomes of a record that a duplicate rule of the org only warns of. (One that blocks always blocks.)"""

    BLOCK = "block"
    ALLOW = "allow"


class Via(StrEnum):
    """How customers are sent their messages. `none`: not at all, and nothing is kept to be sent."""

    NONE = "none"
    SMTP = "smtp"
    WEBHOOK = "webhook"


class Security(StrEnum):
    """Of the way to the mail server: encrypted after a greeting, from the first byte on, or never."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _like(pattern: str, example: str) -> AfterValidator:
    def check(text: str) -> str:
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise ValueError(f"must look like {example}")
        return text

    return AfterValidator(check)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _path(value: object) -> object:
    """Nothing for an empty text, which would be the current folder."""
    return value or None


def _address_of_webhook(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if re.fullmatch(rf"(https://[^\s/?#]+(/\S*)?|http://{LOOPBACK}(:\d+)?(/\S*)?)?", text, re.ASCII) is None:
        raise ValueError("must be an https address, or an http one on this machine")
    return url


def _secret_of_webhook(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().removeprefix(SECRET_MARK)
    try:
        size = len(b64decode(text, validate=True))
    except ValueError:
        size = 0
    if text and not 24 <= size <= 64:
        raise ValueError(f"must be {SECRET_MARK} and 24 to 64 bytes in base64")
    return secret


SECRET_MARK = "whsec_"  # noqa: S105 - what secrets of webhooks begin with
LOOPBACK = r"(localhost|127\.0\.0\.1|\[::1\])"
ADDRESS = r"(?!\.|\S*(\.\.|\.@|=\?))[!#-'*+./-9=?A-Z^-~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
"""One that can be written into a header as it is."""
SENDER = rf"({ADDRESS}|[^<>@\r\n\"]+ <{ADDRESS}>)?"
OptionalPath = Annotated[Path | None, BeforeValidator(_path)]


class SalesforceSettings(BaseModel):
    """How to reach the org. `login_url` is the My Domain address; the token answer names where data calls go."""

    model_config = ConfigDict(extra="forbid")

    login_url: str = ""
    auth: AuthMethod = AuthMethod.CLIENT_CREDENTIALS
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    username: str = ""
    password: SecretStr = SecretStr("")
    private_key_file: OptionalPath = None
    api_version: Annotated[str, _like(r"\d{2}\.0", "66.0")] = "66.0"
    pubsub_endpoint: str = ""
    currency: Annotated[str, _like(r"[A-Z]{3}", "USD")] = "USD"
    """The currency of an org without multi-currency: it has no field that says so."""
    returns: Returns = Returns.AUTO
    duplicate_rules: DuplicateRules = DuplicateRules.BLOCK
    """Whether a record is saved although a duplicate rule of the org warns that there is one like it."""
    timeout_seconds: float = Field(default=130, gt=0, le=600)
    """Longest wait for one answer; the org itself gives up on a lock after 10 s and on a query after 120 s."""


class SyncSettings(BaseModel):
    """How the outbound side shares its work out."""

    model_config = ConfigDict(extra="forbid")

    partitions: int = Field(default=8, ge=1, le=256)
    lease_seconds: float = Field(default=15, gt=0, le=600)
    push_seconds: float = Field(default=1.0, gt=0, le=3600)
    """How often the service looks for changes to send."""
    attempts_in_claim: int = Field(default=4, ge=1, le=10)
    """How often one call is tried before its orders go back to the outbox with a later due time."""


class OrderSettings(BaseModel):
    """What the service does with orders automatically."""

    model_config = ConfigDict(extra="forbid")

    automation_seconds: float = Field(default=0, ge=0, le=86400)
    """How often it verifies what was placed, allocates what waits and escalates old holds; 0: never."""


class MessageSettings(BaseModel):
    """What customers are sent, and how."""

    model_config = ConfigDict(extra="forbid")

    via: Via = Via.NONE
    sender: Annotated[str, _like(SENDER, "orders@shop.example or The Shop <orders@shop.example>")] = ""
    ops_address: Annotated[str, _like(f"({ADDRESS})?", "ops@shop.example")] = ""
    """Who is told when a hold is escalated; nobody, if it is empty."""
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Security = Security.STARTTLS
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    webhook_url: Annotated[SecretStr, AfterValidator(_address_of_webhook)] = SecretStr("")
    """Secret, for many of them carry one."""
    webhook_secret: Annotated[SecretStr, AfterValidator(_secret_of_webhook)] = SecretStr("")
    timeout_seconds: float = Field(default=30, gt=0, le=300)
    """Longest wait for one message to be taken."""
    expire_hours: float = Field(default=72, gt=0, le=8760)
    """What could not be sent for so long is not sent any more."""
    seconds: float = Field(default=5, gt=0, le=3600)
    """How often the service looks for messages to send."""
    templates_dir: OptionalPath = None
    """Templates of your own, by the names of ours in connector/notifications/templates."""

    @property
    def webhook_key(self) -> bytes:
        return b64decode(self.webhook_secret.get_secret_value().removeprefix(SECRET_MARK))


class HttpSettings(BaseModel):
    """Where the API listens. Loopback unless told otherwise: put a proxy that speaks TLS before it."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: Annotated[str, _like(r"(https?://[^\s/?#@]+(/[^\s?#]*)?)?", "https://orders.shop.example")] = ""
    """Where customers reach it: what the links in their messages begin with."""


class Settings(BaseSettings):
    """All settings; every name is `CONNECTOR_<NAME>`, nested ones `CONNECTOR_SALESFORCE__<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_file=".env", extra="ignore")

    database_url: str = Field(default="sqlite:///connector.db", repr=False)
    mappings_dir: OptionalPath = None
    """Folder with customer.yaml, product.yaml and order.yaml; without it the ones we ship are used."""
    salesforce: SalesforceSettings = SalesforceSettings()
    rules_file: OptionalPath = None
    """Rules for orders (see connector/orders/policy/rules.yaml); without it the ones we ship are used."""
    sync: SyncSettings = SyncSettings()
    http: HttpSettings = HttpSettings()
    orders: OrderSettings = OrderSettings()
    messages: MessageSettings = MessageSettings()
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = LogLevel.WARNING

    @property
    def service_log_level(self) -> LogLevel:
        """A service that runs for weeks says what it does, unless told otherwise; a command prints its own answer."""
        return self.log_level if "log_level" in self.model_fields_set else LogLevel.INFO


def load_settings() -> Settings:
    """Settings from the environment; SettingsError names each one that is wrong or unknown, never its value."""
    try:
        _check_env_file()
        with _BadLines() as lines:
            problems = dict(_unknown())
            settings = Settings()
        problems |= _together(settings.messages)
        problems |= {f".env:{line}": "is not of the form NAME=value" for line in lines}
    except ValidationError as error:
        for item in error.errors(include_input=False):
            problems.setdefault(_name(item["loc"]), _sentence(item))
        settings = None
    except SourceError:
        raise SettingsError(
            f"A group of settings is no valid JSON {_WHERE}.",
            hint=f"Set its parts one by one, as in {PREFIX}SALESFORCE__LOGIN_URL.",
        ) from None
    except (OSError, UnicodeDecodeError):
        raise SettingsError("The file .env cannot be read.", hint=_ENV_FORM) from None
    if problems or settings is None:
        raise SettingsError(
            "; ".join(f"{name} {what}" for name, what in problems.items()) + ".", hint=f"Correct it {_WHERE}."
        )
    return settings


def _check_env_file() -> None:
    """SettingsError for an `.env` that no settings are in: it is read several times, and whole. A folder of this name
    is no matter of ours."""
    file = Path(".env")
    if not file.is_file():
        return
    try:
        content = read_file(file, _LARGEST_ENV)
    except UnusableFileError as error:
        raise SettingsError(f"The file .env {error.problem}.", hint=_ENV_FORM) from None
    if b"\0" in content:
        raise SettingsError("The file .env cannot be read: it has NUL characters.", hint=_ENV_FORM)


def _together(messages: MessageSettings) -> dict[str, str]:
    """What is missing or contradicts the rest, by name."""
    local = re.fullmatch(LOOPBACK, messages.smtp_host) is not None
    wanted: dict[str, tuple[object, str]] = {}
    if messages.via is Via.SMTP:
        wanted["sender"] = messages.sender, "must say whom messages come from"
        wanted["smtp_host"] = messages.smtp_host, "must name the mail server"
        open_ = messages.smtp_security is Security.NONE and not local
        if messages.smtp_username:
            wanted["smtp_password"] = messages.smtp_password.get_secret_value(), "must go with SMTP_USERNAME"
            wanted["smtp_security"] = not open_, "must be starttls or tls: a password would be sent in the clear"
        if messages.smtp_password.get_secret_value():
            wanted["smtp_username"] = messages.smtp_username, "must go with SMTP_PASSWORD"
    elif messages.via is Via.WEBHOOK:
        wanted["webhook_url"] = messages.webhook_url.get_secret_value(), "must say where messages are posted"
        wanted["webhook_secret"] = messages.webhook_secret.get_secret_value(), "must be set: messages are signed by it"
    return {f"{PREFIX}MESSAGES__{name.upper()}": what for name, (value, what) in wanted.items() if not value}


class _BadLines(logging.Handler):
    """Hears which lines of `.env` its reader skips: it only tells the log, and a setting is left out in silence."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: set[object] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.update(record.args or ())

    def __enter__(self) -> set[object]:
        logging.getLogger("dotenv.main").addHandler(self)
        return self.lines

    def __exit__(self, *_: object) -> None:
        logging.getLogger("dotenv.main").removeHandler(self)


def _unknown() -> Iterator[tuple[str, str]]:
    """What begins like a setting of ours and is none: most often a typing error that would go unnoticed."""
    known = {name.upper() for name in _names(Settings.model_fields)}
    found = {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars}
    for name in sorted(name.upper() for name in found):
        short = name.removeprefix(PREFIX)
        if short == name or short in known or short in _NOT_YET or _SERVICE_LINK.fullmatch(short):
            continue
        [close] = get_close_matches(short, known, n=1) or [""]
        yield name, f"is no setting (did you mean {PREFIX}{close}?)" if close else "is no setting"


def _names(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`database_url`, `salesforce` (as JSON), `salesforce__login_url`, …"""
    for name, field in fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation.model_fields, f"{prefix}{name}__")


def _name(place: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in place).upper()


def _sentence(item: Mapping[str, Any]) -> str:
    """What is wrong with a value, without the value."""
    kind, context = item["type"], item.get("ctx", {})
    match kind:
        case "enum":
            return f"must be {str(context['expected']).replace(chr(39), '')}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "float_parsing" | "float_type":
            return "must be a number"
        case "greater_than":
            return f"must be more than {context['gt']:g}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}"
        case "value_error":
            return str(context["error"])
        case "model_type" | "model_attributes_type":
            return "is a group: set its parts one by one"
        case "extra_forbidden":
            return "is no setting"
        case _:
            return "cannot be used"
