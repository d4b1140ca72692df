"""The page of analytics: axes, periods, CSV, and the list of the orders behind a bar, with its filters."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from connector.model.role import Role
from connector.orders.analytics.metric import Metric
from connector.orders.analytics.metric_list import METRICS
from connector.web.chart import STEPS, draw_charts, readable_step
from tests.conftest import ManualClock
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import HOSTILE, open_page, sign_in


def revenue(*rows: tuple[Any, ...]) -> Metric:
    about, columns, _ = METRICS["revenue"]
    return Metric(name="revenue", about=about, columns=columns, rows=rows)


@pytest.mark.parametrize("most", ["0", "0.3", "1", "7", "40", "8649.63", "999999.99", "123456789012345.67"])
@pytest.mark.parametrize("least", ["0", "-0.2", "-13", "-90000"])
def test_axis_holds_all_bars_in_parts_that_are_easily_read(most: str, least: str) -> None:
    values = (Decimal(most), Decimal(least), Decimal(0))
    [chart] = draw_charts(revenue(*(("web", "EUR", 1, value) for value in values)), lambda _: None)
    ticks, step = chart.ticks, chart.ticks[1] - chart.ticks[0]
    assert len(ticks) == STEPS + 1
    assert ticks[0] <= min(values) <= max(values) <= ticks[-1]
    assert step == readable_step(step)
    assert 0 <= chart.zero <= 100
    for bar in chart.bars:
        assert -0.001 <= bar.start <= bar.start + bar.length <= 100.001
        near = bar.start + bar.length if bar.is_negative else bar.start
        assert near == pytest.approx(chart.zero)


def test_each_currency_is_a_chart_of_its_own() -> None:
    charts = draw_charts(
        revenue(("", "EUR", 1, Decimal(50)), ("web", "JPY", 2, Decimal(10**6)), ("web", "EUR", 3, Decimal(-5))),
        lambda values: str(values["channel"]) or None,
    )
    assert [(chart.currency, [bar.label for bar in chart.bars]) for chart in charts] == [
        ("EUR", ["(none)", "web"]), ("JPY", ["web"]),
    ]  # fmt: skip
    assert [bar.address for bar in charts[0].bars] == [None, "web"]
    assert [list(bar.others) for bar in charts[0].bars] == [[1], [3]]
    assert draw_charts(revenue(), lambda _: None) == []


def numbers_of(text: str) -> set[str]:
    return set(re.findall(r'href="/orders/(W-\d)"', text))


async def test_bar_leads_to_the_orders_behind_it(api: Api, clock: ManualClock) -> None:
    await placed(api, placed_at="2026-02-01T09:00:00Z", channel=HOSTILE)
    await placed(api, number="W-2", channel="phone & fax", promised_on="2026-02-20")
    lines = [{"line": 1, "sku": "TOFU", "quantity": 60, "unit_price": "23.25"}]
    await placed(api, number="W-3", channel="web", lines=lines)
    for action in ("verify", "confirm", "allocate", "capture"):
        await api.move("W-3", action=action)
    await api.move("W-2", action="hold", hold="fraud")
    await api.move("W-2", action="release", hold="fraud")
    await sign_in(api, Role.VIEWER)
    led = set()
    for name in METRICS:
        answer, text = await open_page(api, f"/analytics?metric={name}&from=2026-01-01&to=2026-03-31")
        assert answer.status == 200, name
        assert "<script>document" not in text, name
        for address in set(re.findall(r'<a href="(/orders\?[^"]+)"', text)):
            answer, behind = await open_page(api, address.replace("&amp;", "&"))
            assert (answer.status, bool(numbers_of(behind))) == (200, True), (name, address)
            led.add(name)
    assert {"dwell", "holds"} <= led
    _, text = await open_page(api, "/analytics?metric=revenue&from=2026-01-01")
    address = re.search(r'<a href="(/orders\?channel=web[^"]+)"', text)
    assert address is not None
    assert numbers_of((await open_page(api, address[1].replace("&amp;", "&")))[1]) == {"W-3"}
    _, sheet = await open_page(api, "/analytics.csv?metric=stages&from=2026-02-20&to=2026-02-28")
    assert sheet.splitlines() == ["stage,on_hold,late,oldest_days,orders", "placed,0,1,2,1", "confirmed,0,0,2,1"]
    for query, status in (
        ("metric=nothing", 404), ("from=soon", 400), ("from=2026-03-02&to=2026-03-01", 400), ("to=9999-12-31", 400),
    ):  # fmt: skip
        assert (await open_page(api, f"/analytics?{query}"))[0].status == status, query

    for query, numbers in (
        ("from=2026-02-02", {"W-2", "W-3"}), ("to=2026-02-01", {"W-1"}), ("goods=late", {"W-2"}),
        ("goods=back-ordered", {"W-3"}), ("sku=CHAI", {"W-1", "W-2"}), ("channel=phone+%26+fax", {"W-2"}),
        ("held=fraud", {"W-2"}), ("held=credit", set()), ("left=verified", {"W-3"}),
        ("returned=damaged", set()), ("stage=confirmed&goods=late", set()),
    ):  # fmt: skip
        assert numbers_of((await open_page(api, f"/orders?{query}"))[1]) == numbers, query
    for query in ("goods=bad", "from=x", "returned=x", "to=0001-01-01"):
        assert (await open_page(api, f"/orders?{query}"))[0].status == 400, query


async def test_metric_is_computed_again_after_a_minute(api: Api, clock: ManualClock) -> None:
    async def count() -> list[str]:
        _, text = await open_page(api, "/analytics?metric=stages&from=2026-01-01&to=2026-12-31")
        return re.findall(r'class="right value">(\d+)', text)

    await placed(api, channel="web")
    await sign_in(api, Role.VIEWER)
    assert await count() == ["1"]
    await placed(api, number="W-2", channel="web")
    clock.advance(59)
    assert await count() == ["1"]
    clock.advance(2)
    assert await count() == ["2"]
