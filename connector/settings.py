"""What can be set from outside (environment or `.env`), checked once at start."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from connector.errors import SettingsError

PREFIX = "CONNECTOR_"
_WHERE = "in the environment or in .env"

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


class DeskSettings(BaseModel):
    """What the desk does by itself."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(default=0, ge=0, le=86400)
    """How often it verifies what was placed, allocates what waits and escalates old holds; 0: never."""


class HttpSettings(BaseModel):
    """Where the API listens. Loopback unless told otherwise: put a proxy that speaks TLS before it."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)


class Settings(BaseSettings):
    """All settings; every name is `CONNECTOR_<NAME>`, nested ones `CONNECTOR_SALESFORCE__<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_file=".env", extra="ignore")

    database_url: str = Field(default="sqlite:///connector.db", repr=False)
    mappings_dir: OptionalPath = None
    """Folder with customer.yaml, product.yaml and order.yaml; without it the ones we ship are used."""
    salesforce: SalesforceSettings = SalesforceSettings()
    rules_file: OptionalPath = None
    """Rules of the desk (see connector/orders/rules.yaml); without it the ones we ship are used."""
    sync: SyncSettings = SyncSettings()
    http: HttpSettings = HttpSettings()
    desk: DeskSettings = DeskSettings()
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = LogLevel.WARNING

    @property
    def service_log_level(self) -> LogLevel:
        """A service that runs for weeks says what it does, unless told otherwise; a command prints its own answer."""
        return self.log_level if "log_level" in self.model_fields_set else LogLevel.INFO


def load_settings() -> Settings:
    """Settings from the environment; SettingsError names each one that is wrong or unknown, never its value."""
    try:
        with _BadLines() as lines:
            problems = dict(_unknown())
            settings = Settings()
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
        raise SettingsError("The file .env cannot be read.", hint="It must be UTF-8 text, NAME=value a line.") from None
    if problems or settings is None:
        raise SettingsError(
            "; ".join(f"{name} {what}" for name, what in problems.items()) + ".", hint=f"Correct it {_WHERE}."
        )
    return settings


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
