"""Structured logs on stderr: one JSON line each, or colored text on a terminal.

Every line has the fields of its context (`log_context`): the request, the run, the role, the org. Secrets and personal
data never come this far; what does all the same, inside the text of an error, is masked (`redaction`).

structlog brings rich along, which takes a tenth of a second to load: it is loaded by the first line that is logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from traceback import format_tb
from typing import TYPE_CHECKING, Any

from connector.log.context import add_context, bind, current_run, log_context, request_id
from connector.log.redaction import Redaction

if TYPE_CHECKING:
    from structlog.typing import Processor

__all__ = ["StateLog", "bind", "configure", "current_run", "get_logger", "log_context", "request_id", "trace"]


class LazyLogger:
    """A logger of structlog: `log.info("event", key=value)`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        import structlog

        return getattr(structlog.get_logger(self._name), method)


def get_logger(name: str) -> LazyLogger:
    return LazyLogger(name)


class StateLog:
    """Says once that something has failed, again when the reason is another one, and once that it works again: not at
    every attempt. `failed` and `back` are the events, `fields` those of their lines."""

    def __init__(self, log: LazyLogger, failed: str, back: str, **fields: object) -> None:
        self._log = log
        self._failed = failed
        self._back = back
        self._fields = fields
        self._error: str | None = None

    @property
    def error(self) -> str | None:
        """Why it does not work; None if it does."""
        return self._error

    def fail(self, error: str, **fields: object) -> None:
        if error != self._error:
            self._log.error(self._failed, **self._fields, error=error, **fields)
        self._error = error

    def work(self) -> None:
        if self._error is not None:
            self._log.warning(self._back, **self._fields, after=self._error)
        self._error = None


def configure(level: str, form: str = "auto", secrets: Iterable[str] = ()) -> None:
    """Set the level (`DEBUG` ... `ERROR`) and the form (`json`, `text`, or `auto`: text on a terminal) for the whole
    process. `secrets` are masked wherever they appear."""
    import structlog

    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    # Tracebacks without the values of variables, which the console's usual form would show.
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if is_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            add_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            Redaction(secrets),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def trace(error: BaseException) -> str:
    """The traceback and type of `error`, without its text, which may repeat customer data."""
    return "".join([*format_tb(error.__traceback__), type(error).__name__])
