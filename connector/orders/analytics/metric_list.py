"""The metrics that there are: what each says, its columns, and its query."""

from __future__ import annotations

from collections.abc import Mapping

from connector.model.period import Period
from connector.orders.analytics import flow, money, service
from connector.orders.analytics.metric import Metric, MetricQuery
from connector.store.engine import Connection


async def load_metric(connection: Connection, name: str, period: Period) -> Metric:
    """Return the metric `name`, one of METRICS."""
    about, columns, count = METRICS[name]
    rows = tuple(await count(connection, period))
    return Metric(name=name, about=about, columns=columns, rows=rows, low_is_bad=name in LOW_IS_BAD)


LOW_IS_BAD = {"on-time", "fill-rate"}


METRICS: Mapping[str, tuple[str, tuple[str, ...], MetricQuery]] = {
    "stages": (
        "Orders by stage; of these on hold, past their promise and not delivered; days since the oldest was placed.",
        ("stage", "on_hold", "late", "oldest_days", "orders"),
        flow.stages,
    ),
    "dwell": ("Hours that orders stayed in a stage, on average.", ("stage", "orders", "hours"), flow.dwell),
    "lead-time": (
        "Days from placing until all was shipped, and until all was delivered, on average.",
        ("channel", "until", "orders", "slowest", "days"),
        flow.lead_time,
    ),
    "on-time": (
        "Orders whose last parcel came by the promised day, in percent; an imported one counts by the day it shipped.",
        ("channel", "orders", "percent"),
        service.on_time,
    ),
    "holds": (
        "Why orders were on hold; hours until released, on average.",
        ("reason", "released", "hours", "times"),
        flow.holds,
    ),
    "fill-rate": (
        "What of the ordered quantity was allocated, in percent; of imported orders, those that have shipped.",
        ("sku", "wanted", "allocated", "percent"),
        service.fill_rate,
    ),
    "returns": (
        "Orders of which something is to come back or came back, in percent of those delivered, even in part.",
        ("reason", "orders", "percent"),
        money.returns,
    ),
    "return-reasons": (
        "What customers send back, and the price of it; rejected returns left out.",
        ("reason", "currency", "orders", "quantity", "value"),
        money.return_reasons,
    ),
    "revenue": (
        "Captured less refunded, by channel; of imported orders, the price with freight once they have shipped.",
        ("channel", "currency", "orders", "revenue"),
        money.revenue,
    ),
}
