"""Structured logs on stderr: one JSON line each, or colored text on a terminal. Secrets never come this far.

structlog brings rich along, which takes a tenth of a second to load: it is loaded by the first line that is logged.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from traceback import format_tb
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The ID of the HTTP request that this task works for. It is in its log lines, and in what it writes to the journal."""


class LazyLogger:
    """A logger of structlog: `log.info("event", key=value)`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        import structlog

        return getattr(structlog.get_logger(self._name), method)


def get_logger(name: str) -> LazyLogger:
    return LazyLogger(name)


def configure(level: str) -> None:
    """Set the level (`DEBUG` ... `ERROR`) and the form for the whole process."""
    import structlog

    # Tracebacks without the values of variables, which the console's usual form would show.
    form: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *form,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def _add_request_id(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    if (number := request_id.get()) is not None:
        line.setdefault("request", number)
    return line


def trace(error: BaseException) -> str:
    """The traceback and type of `error`, without its text, which may repeat customer data."""
    return "".join([*format_tb(error.__traceback__), type(error).__name__])
