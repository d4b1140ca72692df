"""What a process counts and measures of itself, in memory, until it is asked for it at `/metrics`.

It is counted where it happens, also in the hot path: an observation costs about a microsecond, and no library is loaded
for it (prometheus-client takes a tenth of a second, and commands do not need it). Only the event loop counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Counter:
    """Counts by labels. `name` is without `connector_` and `_total`."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.values: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, count: int = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + count


class Histogram:
    """Measures by labels. `bounds` are the upper ends of the buckets, in ascending order."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        self.counts: dict[tuple[str, ...], list[int]] = {}
        self.sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *labels: str) -> None:
        counts = self.counts.get(labels)
        if counts is None:
            counts = self.counts[labels] = [0] * (len(self.bounds) + 1)
            self.sums[labels] = 0.0
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[labels] += value


_CALL_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_DELAY_BOUNDS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600)
_REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

ORG_CALLS = Counter("org_calls", "Calls of the org's data API, by lane and what became of them.", ["lane", "result"])
ORG_CALL_SECONDS = Histogram("org_call_seconds", "How long calls of the org's data API took.", ["result"], _CALL_BOUNDS)
PUSH_DELAY = Histogram(
    "push_delay_seconds",
    "From a change here until the org has accepted it.",
    ["entity", "lane", "stage"],
    _DELAY_BOUNDS,
)
PULL_DELAY = Histogram(
    "pull_delay_seconds", "From a change in the org until it is taken over here.", ["sobject"], _DELAY_BOUNDS
)
STREAM_EVENTS = Counter("stream_events", "Events that arrived by a stream.", ["topic"])
JOB_RUNS = Counter("job_runs", "Runs of jobs that ended.", ["name", "state"])
HTTP_SECONDS = Histogram(
    "http_request_seconds", "How long requests to the API took.", ["method", "status"], _REQUEST_BOUNDS
)

COUNTERS = (ORG_CALLS, STREAM_EVENTS, JOB_RUNS)
HISTOGRAMS = (ORG_CALL_SECONDS, PUSH_DELAY, PULL_DELAY, HTTP_SECONDS)
