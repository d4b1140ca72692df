"""Traces by OpenTelemetry, an extra: the parts of a request, a push, a job or a call, and how long each took.

Off, `span` returns one and the same object and nothing is loaded; on, spans go to where the `OTEL_…` variables say. A
span has names, routes, keys and numbers, and of an error its type: no values of fields, and no text of an error.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from os import environ
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from connector.errors import ConnectorError, SettingsError
from connector.log.context import set_trace_source

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

SERVICE = "crm-connector"
EXTRA = 'Run `pip install "crm-connector[otel]"`.'
Kind = Literal["internal", "server", "client", "consumer"]
Attribute = str | int | float | bool


class Span:
    """A part of a trace. This one is of no trace: it forgets what it is told."""

    def set(self, **attributes: Attribute) -> None:
        """Give the span attributes; `__` in a name is a dot."""

    def fail(self, why: str) -> None:
        """Mark the span as failed. `why` must not repeat values."""


class _Off(AbstractContextManager[Span]):
    """The span of a process that records none."""

    _SPAN = Span()

    def __enter__(self) -> Span:
        return self._SPAN

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


_OFF = _Off()
_tracer: Tracer | None = None


def span(
    name: str, kind: Kind = "internal", *, parent: Mapping[str, str] | None = None, **attributes: Attribute
) -> AbstractContextManager[Span]:
    """Record what is done inside. `parent`: headers of a request, whose `traceparent` names the span that it is part
    of; without one, that is the span around."""
    if _tracer is None:
        return _OFF
    return _recorded(_tracer, name, kind, parent, attributes)


def add_trace_header(headers: MutableMapping[str, str]) -> None:
    """Add `traceparent` (W3C Trace Context), so that the receiver can go on with the trace."""
    if _tracer is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers)


def start(exporter: SpanExporter | None = None) -> Callable[[], None]:
    """Record spans from now on, and return what ends that and sends the rest, which blocks. `exporter`: in place of the
    one to an OpenTelemetry collector; it gets each span at once. Raises SettingsError if the extra is not installed."""
    global _tracer
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            processor: SpanProcessor = BatchSpanProcessor(OTLPSpanExporter())
        else:
            processor = SimpleSpanProcessor(exporter)
    except ImportError:
        raise SettingsError("CONNECTOR_TRACES needs packages that are not installed.", hint=EXTRA) from None
    named = {} if "OTEL_SERVICE_NAME" in environ else {"service.name": SERVICE}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("connector")
    set_trace_source(_current_ids)

    def stop() -> None:
        global _tracer
        _tracer = None
        set_trace_source(None)
        provider.shutdown()

    return stop


class _Recorded(Span):
    def __init__(self, span: object) -> None:
        self._span = span

    def set(self, **attributes: Attribute) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(name.replace("__", "."), value)  # type: ignore[attr-defined]

    def fail(self, why: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, why))  # type: ignore[attr-defined]


@contextmanager
def _recorded(
    tracer: Tracer, name: str, kind: Kind, parent: Mapping[str, str] | None, attributes: Mapping[str, Attribute]
) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = None if parent is None else TraceContextTextMapPropagator().extract(dict(parent))
    with tracer.start_as_current_span(
        name, context=context, kind=SpanKind[kind.upper()], record_exception=False, set_status_on_exception=False
    ) as recorded:
        found = _Recorded(recorded)
        found.set(**attributes)
        try:
            yield found
        except CancelledError:
            raise
        except BaseException as error:
            code = getattr(error, "code", "") if isinstance(error, ConnectorError) else ""
            found.fail(f"{type(error).__name__} {code}".strip())
            raise


def _current_ids() -> Mapping[str, str]:
    """The trace and the span that a line of the log belongs to."""
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
