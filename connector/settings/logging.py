"""`CONNECTOR_LOG_LEVEL` and `CONNECTOR_LOG_FORMAT`: the log."""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict


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
