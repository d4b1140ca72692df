"""The fields of every line that is logged within a block or a task: the request, the run, the role, the org.

A task begins with the fields of the one that created it, and changes its own only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The ID of the HTTP request that this task works for. It is in its log lines, and in what it writes to the journal."""

current_run: ContextVar[str | None] = ContextVar("current_run", default=None)
"""The name of the run that this task works for (`reconcile-7`): what it makes due and writes to the journal has it."""

_FIELDS: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default={})  # noqa: B039 - it is never changed


_trace_source: Callable[[], Mapping[str, str]] | None = None


def set_trace_source(source: Callable[[], Mapping[str, str]] | None) -> None:
    """Give every further line of the process what `source` returns: which trace it belongs to."""
    global _trace_source
    _trace_source = source


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Give every line of this block these fields."""
    token = _FIELDS.set({**_FIELDS.get(), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def bind(**fields: object) -> None:
    """Give every further line of this task, and of those that it creates, these fields."""
    before = _FIELDS.get()
    if any(before.get(name) != value for name, value in fields.items()):
        _FIELDS.set({**before, **fields})


def add_context(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the fields of the context to a line, which may say something else itself. A processor of structlog."""
    for name, value in _FIELDS.get().items():
        event.setdefault(name, value)
    if _trace_source is not None:
        event.update(_trace_source())
    if (number := request_id.get()) is not None:
        event.setdefault("request", number)
    return event
