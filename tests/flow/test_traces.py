"""A trace leads from a push to its calls of the org, and from a poll to what was applied."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from connector import tracing
from tests.flow.conftest import World
from tests.flow.test_push import an_order
from tests.unit.test_tracing import exporter

__all__ = ["exporter"]


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


async def test_push_and_pull_are_traces_of_their_calls(world: World, exporter: InMemorySpanExporter) -> None:
    await world.save([an_order("A-1")])
    assert (await world.push()).in_sync
    [push] = named(exporter, "push")
    assert push.context is not None
    assert (push.attributes or {})["connector.done.order"] == 1
    calls = [
        span for span in named(exporter, "POST org") if span.parent and span.parent.span_id == push.context.span_id
    ]
    paths = [str((span.attributes or {})["url.path"]) for span in calls]
    assert any(path.endswith("/composite/graph") for path in paths), paths
    assert {(span.attributes or {})["http.response.status_code"] for span in calls} == {200}

    await world.change_in_org("Order", "A-1", Description="For Porphyry Quux")
    with tracing.span("poll") as _:
        await world.service.pull()
    [poll] = named(exporter, "poll")
    applied = named(exporter, "apply")
    assert poll.context is not None
    assert {span.context and span.context.trace_id for span in applied} == {poll.context.trace_id}
    assert sum(int((span.attributes or {})["connector.records"]) for span in applied) >= 1
    assert "Porphyry" not in "".join(span.to_json() for span in exporter.get_finished_spans())
