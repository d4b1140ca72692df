"""Charts: well-formed for every metric, bars as long as their values, and readable with very many rows."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from connector.orders.analytics import METRICS, Metric
from connector.web.svg_chart import MAX_BARS, WIDTH, bar_chart

SVG = "{http://www.w3.org/2000/svg}"


def make_metric(name: str, rows: list[tuple[Any, ...]], **more: Any) -> Metric:
    about, columns, _ = METRICS[name]
    return Metric(name=name, about=about, columns=columns, rows=tuple(rows), **more)


def drawn(chart: Metric) -> tuple[list[tuple[str, float, float]], str]:
    """Return class, position and width of every bar, and all texts."""
    root = ElementTree.fromstring(bar_chart(chart))  # noqa: S314 - made here
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
    assert "(none) EUR: 50" in said
    assert "1,000,000" in said
    assert "scale of its own" in said
    assert "scale of its own" not in drawn(make_metric("revenue", rows[:2]))[1]


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
