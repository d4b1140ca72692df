"""Metrics as JSON, CSV and charts, on orders with known histories."""

from __future__ import annotations

from datetime import date
from typing import Any

from connector.model.stage import Stage
from connector.orders.analytics.metric_list import METRICS
from tests.unit.store import samples
from tests.web.conftest import ORDER, Api


async def lived(api: Api) -> None:
    """One order delivered late after a hold, with half of a line returned, and one that is short of stock."""
    clock: Any = api.store.clock
    today = clock.now()
    placed = today.isoformat()
    await api("POST", "/orders", ORDER | {"placed_at": placed, "promised_on": today.date().isoformat()})
    await api.move(action="hold", hold="credit")
    clock.advance(5 * 3600)
    await api.move(action="release", hold="credit")
    await api.move(action="verify")
    clock.advance(3600)
    await api.move(action="confirm")
    await api("POST", "/allocations", {"numbers": ["W-1"]})
    for action in ("pick", "ship"):
        await api.move(action=action, lines={"1": 2, "2": 1.5})
    clock.advance(2 * 86400)
    await api.move(action="deliver")
    due = (await api("GET", "/orders/W-1")).body["amount_due"]
    await api.move(action="capture", amount=due)
    await api("POST", "/returns", {"order": "W-1", "lines": {"1": 1}, "reason": "damaged"})
    lines = [{"line": 1, "sku": "CHAI", "quantity": 60}]
    await api("POST", "/orders", ORDER | {"number": "W-2", "placed_at": placed, "channel": "phone", "lines": lines})
    await api.move("W-2", action="verify")
    await api("POST", "/allocations", {"numbers": ["W-2"]})


async def rows(api: Api, metric: str) -> list[dict[str, Any]]:
    said = await api("GET", f"/analytics/{metric}")
    assert said.status == 200, said.body
    return list(said.body["rows"])


async def test_metrics_match_the_lives_of_the_orders(api: Api) -> None:
    await lived(api)
    dwell = {row["stage"]: row["hours"] for row in await rows(api, "dwell")}
    assert (dwell["placed"], dwell["verified"], dwell["shipped"]) == ("2.5", "1", "48")
    assert await rows(api, "on-time") == [{"channel": "web", "orders": 1, "percent": "0"}]
    assert await rows(api, "holds") == [{"reason": "credit", "released": 1, "hours": "5", "times": 1}]
    assert await rows(api, "returns") == [{"reason": "damaged", "orders": 1, "percent": "100"}]
    fill = {row["sku"]: (row["wanted"], row["allocated"], row["percent"]) for row in await rows(api, "fill-rate")}
    assert fill == {"CHAI": ("62", "50", "80.65"), "TOFU": ("1.5", "1.5", "100")}
    revenue = {row["channel"]: row["revenue"] for row in await rows(api, "revenue")}
    assert revenue == {"web": "70.54", "phone": "0"}
    assert await rows(api, "lead-time") == [
        {"channel": "web", "until": "shipped", "orders": 1, "slowest": 0, "days": "0"},
        {"channel": "web", "until": "delivered", "orders": 1, "slowest": 2, "days": "2"},
    ]
    assert await rows(api, "return-reasons") == [
        {"reason": "damaged", "currency": "USD", "orders": 1, "quantity": "1", "value": "18"}
    ]
    stages = {row["stage"]: (row["orders"], row["on_hold"], row["late"]) for row in await rows(api, "stages")}
    assert stages == {"verified": (1, 0, 0), "delivered": (1, 0, 0)}


async def imported(api: Api) -> None:
    """Six imported orders without any action."""
    early, late = {"shipped_on": date(2026, 3, 4)}, {"shipped_on": date(2026, 3, 6)}
    euros = {"currency": "EUR", "freight": None, "channel": None}
    await samples.place(
        api.store,
        samples.order("I-1", stage=Stage.SHIPPED, **early),  # 36 + 29.64375 + 32.38
        samples.order("I-2", stage=Stage.COMPLETED, **late),
        samples.order("I-3", stage=Stage.DELIVERED, **early, lines=(samples.line(1, price=None),)),
        samples.order("I-4", stage=Stage.SHIPPED, **late, **euros),
        samples.order("I-5", stage=Stage.CONFIRMED),
        samples.order("I-6", stage=Stage.CANCELED),
    )


async def test_imported_orders_count_by_their_stage(api: Api) -> None:
    await imported(api)
    assert await rows(api, "revenue") == [
        {"channel": "", "currency": "EUR", "orders": 1, "revenue": "65.64"},
        {"channel": "web", "currency": "USD", "orders": 5, "revenue": "228.42"},  # 98.02 + 98.02 + 32.38
    ]
    assert await rows(api, "on-time") == [
        {"channel": "", "orders": 1, "percent": "0"},
        {"channel": "web", "orders": 3, "percent": "66.67"},
    ]
    fill = {row["sku"]: (row["wanted"], row["percent"]) for row in await rows(api, "fill-rate")}
    assert fill == {"CHAI": ("8", "100"), "TOFU": ("4.5", "100")}
    lead = {row["channel"]: (row["until"], row["orders"], row["days"]) for row in await rows(api, "lead-time")}
    assert lead == {"": ("shipped", 1, "7"), "web": ("shipped", 3, "5.67")}
    assert await rows(api, "returns") == []
    # Acted on from here, an imported order is like any other.
    await api.move("I-1", action="deliver")
    await api.move("I-1", action="capture", amount=10)
    await api("POST", "/returns", {"order": "I-1", "lines": {"1": 1}, "reason": "damaged"})
    assert await rows(api, "returns") == [{"reason": "damaged", "orders": 1, "percent": "33.33"}]  # of I-1, I-2, I-3
    await api("POST", "/returns/I-1-RMA1/transitions", {"action": "reject_return"})
    assert await rows(api, "returns") == await rows(api, "return-reasons") == []
    assert (await rows(api, "revenue"))[1]["revenue"] == "140.4"


async def test_late_orders_are_counted_by_stage(api: Api) -> None:
    clock: Any = api.store.clock
    await imported(api)
    await api("POST", "/orders", ORDER | {"promised_on": "2026-03-05"})
    await api.move(action="hold", hold="fraud")
    clock.advance(10 * 86400)
    found = {row["stage"]: row for row in await rows(api, "stages")}
    assert found["placed"] == {"stage": "placed", "on_hold": 1, "late": 1, "oldest_days": 12, "orders": 1}
    assert {stage: row["late"] for stage, row in found.items() if row["late"]} == {"placed": 1, "confirmed": 1}


async def test_every_metric_is_available_as_csv_and_chart(api: Api) -> None:
    await lived(api)
    token = {"Authorization": next(f"Bearer {secret}" for secret in api.secrets.values())}
    for metric in METRICS:
        async with api.client.get(f"/api/v1/analytics/{metric}/csv", headers=token) as answer:
            head, *lines = (await answer.text()).splitlines()
        assert (answer.content_type, head.split(",")) == ("text/csv", list(METRICS[metric][1]))
        assert lines
        async with api.client.get(f"/api/v1/analytics/{metric}/chart", headers=token) as answer:
            text = await answer.text()
        assert answer.content_type == "image/svg+xml"
        assert text.count('class="bar"') == len(lines)


async def test_period_without_orders_is_empty_and_invalid_period_is_rejected(api: Api) -> None:
    said = await api("GET", "/analytics/dwell", params={"since": "2020-01-01", "until": "2020-02-01"})
    assert said.body["rows"] == []
    said = await api("GET", "/analytics/dwell", params={"since": "soon"})
    assert (said.status, said.body["field"]) == (400, "since")
    assert (await api("GET", "/analytics/mood")).status == 404


async def test_period_that_ends_before_it_begins_is_rejected(api: Api) -> None:
    said = await api("GET", "/analytics/revenue?since=2027-01-01&until=2026-01-01")
    assert (said.status, said.body["field"]) == (400, "since")
