"""Structured logs on stderr: one JSON line each, or coloured text on a terminal. Secrets never come this far."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Set the level (`DEBUG` ... `ERROR`) and the form for the whole process."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
