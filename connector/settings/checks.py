"""Checks and conversions of single settings. An error never quotes the value, which may be a secret."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, BeforeValidator, SecretStr

from connector.errors import SettingsError
from connector.files import UnusableFileError, read_file

PREFIX = "CONNECTOR_"
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of webhook secrets
LOOPBACK_PATTERN = r"(localhost|127\.0\.0\.1|\[::1\])"
MAX_SECRETS = 3
"""The new secret and those that it replaces."""
ADDRESS_PATTERN = r"(?!\.|\S*(\.\.|\.@|=\?))[!#-'*+./-9=?A-Z^-~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
"""An address that can be written into a header unchanged."""
SENDER_PATTERN = rf"({ADDRESS_PATTERN}|[^<>@\r\n\"]+ <{ADDRESS_PATTERN}>)?"


def matching(pattern: str, example: str) -> AfterValidator:
    def check(text: str) -> str:
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise ValueError(f"must look like {example}")
        return text

    return AfterValidator(check)


def to_upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def empty_to_none(value: object) -> object:
    """Return None for an empty text, which would mean the current folder."""
    return value or None


def check_webhook_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if re.fullmatch(rf"(https://[^\s/?#]+(/\S*)?|http://{LOOPBACK_PATTERN}(:\d+)?(/\S*)?)?", text, re.ASCII) is None:
        raise ValueError("must be an https address, or an http one on this machine")
    return url


def check_webhook_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().removeprefix(SECRET_PREFIX)
    try:
        size = len(b64decode(text, validate=True))
    except ValueError:
        size = 0
    if text and not 24 <= size <= 64:
        raise ValueError(f"must be {SECRET_PREFIX} and 24 to 64 bytes in base64")
    return secret


def check_issuer(text: str) -> str:
    if (
        re.fullmatch(rf"(https://[^\s/?#@]+(/[^\s?#]*)?|http://{LOOPBACK_PATTERN}(:\d+)?(/[^\s?#]*)?)?", text, re.ASCII)
        is None
    ):
        raise ValueError("must be an https address, or an http one on this machine")
    return text


def split_names(text: str) -> frozenset[str]:
    """Return names that are separated by commas, or are a list of JSON, for names that contain commas."""
    names = json.loads(text) if text.startswith("[") else text.split(",")
    return frozenset(name.strip() for name in names if name.strip())


def check_names(text: str) -> str:
    """Check names that are separated by commas, or are a list of JSON."""
    text = text.strip()
    try:
        split_names(text)
    except (ValueError, AttributeError):
        raise ValueError('must be names with commas between them, or a JSON list such as ["cn=ops,ou=crm"]') from None
    return text


def webhook_keys(secrets: SecretStr) -> list[bytes]:
    """Return the keys of secrets that are separated by commas."""
    texts = [text.strip() for text in secrets.get_secret_value().split(",")]
    return [b64decode(text.removeprefix(SECRET_PREFIX)) for text in texts if text]


def check_webhook_secrets(secrets: SecretStr) -> SecretStr:
    """Check secrets that are separated by commas."""
    texts = [text.strip() for text in secrets.get_secret_value().split(",")]
    if len(texts) > MAX_SECRETS:
        raise ValueError(f"must be at most {MAX_SECRETS} secrets")
    for text in texts:
        check_webhook_secret(SecretStr(text))
    return secrets


def secrets_in(model: BaseModel) -> Iterator[str]:
    """The secrets of a group of settings; of those that are separated by commas or spaces, each; of an address also its
    password."""
    for name in type(model).model_fields:
        match getattr(model, name):
            case SecretStr() as secret:
                whole = secret.get_secret_value()
                for text in [whole, *re.split(r"[,\s]+", whole)]:
                    yield from (text, text.removeprefix(SECRET_PREFIX), *passwords_in(text))
            case BaseModel() as group:
                yield from secrets_in(group)
            case dict() as groups:
                for group in groups.values():
                    if isinstance(group, BaseModel):
                        yield from secrets_in(group)


def passwords_in(url: str) -> list[str]:
    """The password of an address, as it is written and as it is meant; none if it has none."""
    found = re.search(r"://[^/@:]*:([^/]*)@", url)
    return [] if found is None else [found[1], unquote(found[1])]


_MAX_ENV_BYTES = 256 * 1024
ENV_FORM = "It must be UTF-8 text with one NAME=value per line."


def check_env_file() -> None:
    """Raise SettingsError if `.env` cannot be read as settings. A folder of this name is ignored."""
    file = Path(".env")
    if not file.is_file():
        return
    try:
        content = read_file(file, _MAX_ENV_BYTES)
    except UnusableFileError as error:
        raise SettingsError(f"The file .env {error.problem}.", hint=ENV_FORM) from None
    if b"\0" in content:
        raise SettingsError("The file .env cannot be read: it has NUL characters.", hint=ENV_FORM)


OptionalPath = Annotated[Path | None, BeforeValidator(empty_to_none)]


class BadLineCollector(logging.Handler):
    """Collects the lines of `.env` that its reader skips; the reader reports them only to the log."""

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


def describe_error(item: Mapping[str, Any]) -> str:
    """Describe an invalid value without quoting it."""
    kind, context = item["type"], item.get("ctx", {})
    match kind:
        case "enum":
            return f"must be {str(context['expected']).replace(chr(39), '')}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "float_parsing" | "float_type":
            return "must be a number"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case str() if kind.startswith("date_"):
            return "must be a date, such as 2026-01-31"
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
            return "is not a setting"
        case _:
            return "cannot be used"
