"""What a process counts and measures stands in the answer to Prometheus as it was observed."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from connector import metrics
from connector.metrics import Counter, Histogram
from connector.web.metrics import Measured


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> tuple[Counter, Histogram]:
    counter = Counter("calls", "Calls.", ["lane", "result"])
    histogram = Histogram("seconds", "Seconds.", ["result"], [0.5, 1, 10])
    monkeypatch.setattr("connector.web.metrics.COUNTERS", (counter,))
    monkeypatch.setattr("connector.web.metrics.HISTOGRAMS", (histogram,))
    return counter, histogram


def exposed() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(Measured())
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_counts_and_buckets_are_cumulative_with_their_labels(measured: tuple[Counter, Histogram]) -> None:
    counter, histogram = measured
    counter.add("new", "answered")
    counter.add("new", "answered", count=2)
    counter.add("status", "failed")
    for value in (0.2, 0.5, 0.7, 11):
        histogram.observe(value, "answered")
    values = exposed()
    assert values["connector_calls_total", (("lane", "new"), ("result", "answered"))] == 3
    assert values["connector_calls_total", (("lane", "status"), ("result", "failed"))] == 1
    buckets = {
        dict(labels)["le"]: value for (name, labels), value in values.items() if name == "connector_seconds_bucket"
    }
    assert buckets == {"0.5": 2, "1.0": 3, "10.0": 3, "+Inf": 4}
    assert values["connector_seconds_sum", (("result", "answered"),)] == pytest.approx(12.4)
    assert values["connector_seconds_count", (("result", "answered"),)] == 4


def test_every_name_is_used_once_and_every_bound_ascends() -> None:
    names = [item.name for item in (*metrics.COUNTERS, *metrics.HISTOGRAMS)]
    assert len(names) == len(set(names)) > 5
    assert all(list(item.bounds) == sorted(set(item.bounds)) for item in metrics.HISTOGRAMS)
