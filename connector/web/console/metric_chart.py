"""A metric as a table that is a chart: a bar in each row on a common axis, its value, and the orders behind it.

The bars and the grid are SVG; labels and values are text of the table, so the chart can be read on a phone, printed,
and listened to. Each currency is a chart of its own, because amounts of different currencies have no common axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from connector.orders.analytics import Metric
from connector.web.svg_chart import UNITS, name_of, select_rows, value_of

STEPS = 4
"""Parts of an axis."""
Values = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A row. `start` and `length` are in percent of the axis; `address` leads to the orders behind it."""

    label: str
    value: Decimal
    start: float
    length: float
    is_negative: bool
    others: Sequence[object]
    address: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """The bars of one axis, whose `ticks` are evenly spaced; `unit` is that of its values, `currency` if it has one."""

    title: str
    unit: str
    currency: str
    columns: Sequence[str]
    ticks: Sequence[Decimal]
    zero: float
    bars: Sequence[Bar]
    note: str


def draw_charts(metric: Metric, address_of: Callable[[Values], str | None]) -> list[Chart]:
    """Return a chart of each currency of the metric; of one without currencies one, of one without rows none."""
    at = metric.columns.index("currency") if "currency" in metric.columns else None
    currencies = list(dict.fromkeys(str(row[at]) for row in metric.rows)) if at is not None else [""]
    return [_draw(metric, currency, at, address_of) for currency in currencies if metric.rows]


def _draw(metric: Metric, currency: str, at: int | None, address_of: Callable[[Values], str | None]) -> Chart:
    mine = metric if at is None else _only(metric, at, currency)
    rows, note = select_rows(mine)
    least, step = _axis(metric, [value_of(row) for row in rows])
    span = step * STEPS
    numeric = [index for index, _ in enumerate(metric.columns[:-1]) if any(_is_number(row[index]) for row in rows)]
    others = [metric.columns[index] for index in numeric]
    bars = []
    for row in rows:
        value, values = value_of(row), dict(zip(metric.columns, row, strict=True))
        start = (min(value, Decimal(0)) - least) / span * 100
        bars.append(
            Bar(
                label=name_of(tuple(part for index, part in enumerate(row) if index != at)),
                value=value,
                start=float(start),
                length=float(abs(value) / span * 100),
                is_negative=value < 0,
                others=[values[name] for name in others],
                address=address_of(values),
            )
        )
    return Chart(
        title=metric.columns[-1].replace("_", " ").capitalize(),
        unit=UNITS.get(metric.columns[-1], ""),
        currency=currency,
        columns=[name.replace("_", " ").capitalize() for name in others],
        ticks=[least + step * index for index in range(STEPS + 1)],
        zero=float(-least / span * 100),
        bars=bars,
        note=note,
    )


def _only(metric: Metric, at: int, currency: str) -> Metric:
    rows = tuple(row for row in metric.rows if row[at] == currency)
    return Metric(name=metric.name, about=metric.about, columns=metric.columns, rows=rows, low_is_bad=metric.low_is_bad)


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal)


def _axis(metric: Metric, values: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    """Where the axis begins, and the length of one of its STEPS parts: a number that is easily read. Percents go to
    100."""
    most, least = max(*values, Decimal(0), Decimal(0)), min(*values, Decimal(0), Decimal(0))
    if metric.columns[-1] == "percent" and most <= 100 and least >= 0:
        return Decimal(0), Decimal(25)
    step = readable_step((most - least) / STEPS)
    while True:
        begin = (least / step).to_integral_value(rounding="ROUND_FLOOR") * step
        if begin + step * STEPS >= most:
            return begin, step
        step = readable_step(step * Decimal("1.01"))


def readable_step(least: Decimal) -> Decimal:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least`."""
    if least <= 0:
        return Decimal(1)
    power = Decimal(10) ** least.adjusted()
    return next(power * part for part in map(Decimal, ("1", "2", "2.5", "5", "10")) if power * part >= least)
