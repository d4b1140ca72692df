"""Charts: well-formed for every metric, bars as long as their values, and readable with very many rows."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from connector.orders.analytics.metric import Metric
from connector.orders.analytics.metric_list import METRICS
from connector.web.chart import MAX_BARS, WIDTH, axis, chart_image, draw_columns

SVG = "{http://www.w3.org/2000/svg}"


def make_metric(name: str, rows: list[tuple[Any, ...]], **more: Any) -> Metric:
    about, columns, _ = METRICS[name]
    return Metric(name=name, about=about, columns=columns, rows=tuple(rows), **more)


def drawn(chart: Metric) -> tuple[list[tuple[str, float, float]], str]:
    """Return class, position and width of every bar, and all texts."""
    root = ElementTree.fromstring(chart_image(chart))  # noqa: S314 - made here
    found = [
        (str(item.get("class")), float(item.get("x", 0)), float(item.get("width", 0)))
        for item in root.iter(f"{SVG}rect")
        if item.get("class") in {"bar", "less"}
    ]
    return found, "\n".join(item.text or "" for item in root.iter() if item.tag in {f"{SVG}text", f"{SVG}title"})


def test_bars_are_scaled_per_currency() -> None:
    rows = [("", "EUR", 1, Decimal(50)), ("web", "EUR", 1, Decimal(100)), ("web", "JPY", 1, Decimal(10**6))]
    found, said = drawn(make_metric("revenue", rows))
    widths = [width for _, _, width in found]
    assert widths[1] == widths[2] == pytest.approx(2 * widths[0], abs=0.2)
    assert "(none): 50 EUR" in said
    assert "1,000,000 JPY" in said
    assert ("75\n" in said, "250,000\n" in said) == (True, True)  # each currency has its axis


def test_negative_value_extends_to_the_left() -> None:
    rows = [("a", "EUR", 1, Decimal(30)), ("b", "EUR", 1, Decimal(-10)), ("c", "EUR", 1, Decimal(0))]
    [(_, zero, _), (kind, place, width), (_, _, nothing)] = drawn(make_metric("revenue", rows))[0]
    assert (kind, place + width, nothing) == ("less", pytest.approx(zero, abs=0.2), 0)


@pytest.mark.parametrize("value", [Decimal(-5), Decimal(0), Decimal("123456789012345.67")])
def test_single_row_stays_within_the_chart(value: Decimal) -> None:
    [(_, place, width)] = drawn(make_metric("revenue", [("<b>&" * 30, "USD", 1, value)]))[0]
    assert 0 <= place <= place + width <= WIDTH


def test_chart_of_many_rows_shows_the_worst_with_a_note() -> None:
    rows = [(f"SKU-{n}", Decimal(100), Decimal(n % 100), Decimal(n % 100)) for n in range(2000)]
    found, said = drawn(make_metric("fill-rate", rows, low_is_bad=True))
    assert (len(found), "1,960 more are in the CSV" in said) == (MAX_BARS, True)
    shown = {Decimal(text) for text in re.findall(r": (\d+) %", said)}
    assert shown == {Decimal(0), Decimal(1)}
    found, said = drawn(make_metric("returns", [(f"reason-{n}", 1, Decimal(n) / 30) for n in range(60)]))
    assert "The 40 highest" in said
    assert "reason-59" in said
    assert "reason-0:" not in said


def test_empty_chart_has_a_note() -> None:
    found, said = drawn(make_metric("dwell", []))
    assert (found, "Nothing in this period." in said) == ([], True)


@pytest.mark.parametrize(("most", "step"), [(0, 1), (1, 1), (5, 2), (6, 2), (10, 5), (11, 5), (201, 100), (1000, 250)])
def test_axis_of_counts_has_whole_numbers(most: int, step: int) -> None:
    assert axis([Decimal(most), Decimal(0)]) == (0, step)


def test_columns_are_stacked_on_the_axis() -> None:
    chart = draw_columns("Calls", ["10:00", "11:00"], {"new": [0, 4], "status": [0, 4]})
    assert list(chart.ticks) == [0, 2, 4, 6, 8]
    [empty, full] = chart.columns
    assert (empty.text, list(empty.parts)) == ("10:00: 0", [])
    assert [(part.name, part.low, part.height) for part in full.parts] == [("new", 0, 50), ("status", 50, 50)]
    assert full.text == "11:00: 8 (new 4, status 4)"
    day = draw_columns("", [str(hour) for hour in range(24)], {}).columns
    assert [column.label for column in day if column.labeled] == ["0", "3", "6", "9", "12", "15", "18", "21"]
