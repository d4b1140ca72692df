"""A request is a span of the trace that its client names; probes are none."""

from __future__ import annotations

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from connector.model.role import Role
from tests.unit.test_tracing import PARENT, exporter
from tests.web.conftest import ORDER, Api

__all__ = ["exporter"]


async def test_request_is_a_span_by_its_route(api: Api, exporter: InMemorySpanExporter) -> None:
    await api("POST", "/orders", ORDER | {"number": "T-1"})
    exporter.clear()
    headers = {"Authorization": f"Bearer {api.secrets[Role.VIEWER]}", "traceparent": PARENT}
    async with api.client.get("/api/v1/orders/T-1", headers=headers) as response:
        number = response.headers["X-Request-ID"]
    for path in ("/healthz", "/readyz"):
        await api.client.get(path)
    [span] = exporter.get_finished_spans()
    assert span.name == "GET /api/v1/orders/{number}"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert dict(span.attributes or {}) == {
        "http.route": "/api/v1/orders/{number}", "http.response.status_code": 200, "connector.request": number,
    }  # fmt: skip
    exporter.clear()
    async with api.client.get("/no/such/path") as response:
        assert response.status == 404
    [unknown] = exporter.get_finished_spans()
    assert (unknown.name, unknown.status.status_code) == ("GET unknown", StatusCode.UNSET)
