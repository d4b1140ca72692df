"""Traces: what a span holds and hides, and that without them nothing is kept or sent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from connector import tracing
from connector.errors import SalesforceError, SettingsError
from connector.log.context import add_context

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    stop = tracing.start(exporter)
    yield exporter
    stop()


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    [span] = exporter.get_finished_spans()
    return span


def test_without_traces_a_span_is_one_object_that_forgets_and_no_header_is_sent() -> None:
    headers: dict[str, str] = {}
    first = tracing.span("push", connector__records=1)
    assert first is tracing.span("pull", "client", parent={"traceparent": PARENT})
    with first as span:
        span.set(connector__records=2)
        span.fail("no")
        tracing.add_trace_header(headers)
    assert headers == {}
    assert "trace_id" not in add_context(None, "info", {"event": "done"})


def test_traces_without_the_extra_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match="CONNECTOR_TRACES needs packages") as caught:
        tracing.start()
    assert "crm-connector[otel]" in caught.value.hint


def test_span_is_part_of_the_trace_that_a_header_names_and_hands_it_on(exporter: InMemorySpanExporter) -> None:
    headers: dict[str, str] = {}
    line: dict[str, object] = {"event": "done"}
    with (
        tracing.span("GET /orders", "server", parent={"traceparent": PARENT}),
        tracing.span("POST org", "client", http__request__method="POST"),
    ):
        tracing.add_trace_header(headers)
        add_context(None, "info", line)
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, inner.kind, outer.name, outer.kind) == (
        "POST org", SpanKind.CLIENT, "GET /orders", SpanKind.SERVER,
    )  # fmt: skip
    assert inner.parent is not None
    assert inner.context is not None
    assert outer.parent is not None
    assert outer.context is not None
    assert (outer.context.trace_id, outer.parent.span_id) == (0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
    assert inner.parent.span_id == outer.context.span_id
    trace, span = f"{inner.context.trace_id:032x}", f"{inner.context.span_id:016x}"
    assert headers == {"traceparent": f"00-{trace}-{span}-01"}
    assert (line["trace_id"], line["span_id"]) == (trace, span)
    assert dict(inner.attributes or {}) == {"http.request.method": "POST"}
    assert outer.resource.attributes["service.name"] == tracing.SERVICE


def test_failed_span_has_type_and_code_of_the_error_and_not_its_text(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(SalesforceError), tracing.span("push"):
        raise SalesforceError("Refused ann@shop.example.", code="INVALID_EMAIL_ADDRESS")
    span = only(exporter)
    assert (span.status.status_code, span.status.description) == (
        StatusCode.ERROR, "SalesforceError INVALID_EMAIL_ADDRESS",
    )  # fmt: skip
    assert "ann@" not in span.to_json()


def test_canceled_span_has_not_failed(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(asyncio.CancelledError), tracing.span("push"):
        raise asyncio.CancelledError
    assert only(exporter).status.status_code is StatusCode.UNSET
