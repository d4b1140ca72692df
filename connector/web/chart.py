"""Charts without a script: the bars of a metric, and columns by the hour, on the same axis of numbers that read easily.

The pages draw them as tables and text with SVG bars, so they can be read on a phone, printed and listened to; the API
draws the bars as an SVG image. Each currency is a chart of its own, because amounts of different currencies have no
common axis. At most MAX_BARS rows are drawn, the worst ones, with a note; CSV and JSON have all rows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from connector import design
from connector.orders.analytics.metric import Metric

KIND = "image/svg+xml"
MAX_BARS = 40
STEPS = 4
"""Parts of an axis."""
MOST_LABELS = 8
"""Labels below the columns: more of them would touch."""
UNITS = {"percent": " %", "hours": " h", "days": " d"}
Values = Mapping[str, object]
ZERO = Decimal(0)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a column, of the series `name`. `low` and `height` are in percent of the axis."""

    name: str
    low: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """`label` stands below it if it is `labeled`; `text` says its numbers."""

    label: str
    labeled: bool
    text: str
    parts: Sequence[Part]


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnChart:
    title: str
    ticks: Sequence[Decimal]
    columns: Sequence[Column]


def draw_charts(metric: Metric, address_of: Callable[[Values], str | None] = lambda _: None) -> list[Chart]:
    """Return a chart of each currency of the metric; of one without currencies one, of one without rows none."""
    at = metric.columns.index("currency") if "currency" in metric.columns else None
    currencies = list(dict.fromkeys(str(row[at]) for row in metric.rows)) if at is not None else [""]
    return [_draw(metric, currency, at, address_of) for currency in currencies if metric.rows]


def draw_columns(title: str, labels: Sequence[str], series: Mapping[str, Sequence[int]]) -> ColumnChart:
    """Draw one column for each label; `series` has a number for each of them, by name. The first series is the lowest
    part of a column."""
    totals = [sum(values[index] for values in series.values()) for index in range(len(labels))]
    _, step = axis(map(Decimal, totals))
    most = float(step * STEPS)
    every = -(-len(labels) // MOST_LABELS) or 1
    columns = []
    for index, label in enumerate(labels):
        counts = {name: values[index] for name, values in series.items() if values[index]}
        said = f" ({', '.join(f'{name} {count:,}' for name, count in counts.items())})" if len(counts) > 1 else ""
        parts, low = [], 0.0
        for name, count in counts.items():
            parts.append(Part(name=name, low=low, height=100 * count / most))
            low += 100 * count / most
        text = f"{label}: {totals[index]:,}{said}"
        columns.append(Column(label=label, labeled=index % every == 0, text=text, parts=parts))
    return ColumnChart(title=title, ticks=[step * index for index in range(STEPS + 1)], columns=columns)


def axis(values: Iterable[Decimal], *, is_percent: bool = False) -> tuple[Decimal, Decimal]:
    """Return where the axis begins, and the length of one of its STEPS parts: a number that reads easily, and a whole
    one if all values are. Percents go to 100."""
    known = [ZERO, *values]
    most, least = max(known), min(known)
    if is_percent and most <= 100 and least >= 0:
        return ZERO, Decimal(25)
    is_whole = all(value == value.to_integral_value() for value in known)
    step = readable_step((most - least) / STEPS)
    while True:
        begin = (least / step).to_integral_value(rounding="ROUND_FLOOR") * step
        if begin + step * STEPS >= most and not (is_whole and step != step.to_integral_value()):
            return begin, step
        step = readable_step(step * Decimal("1.01"))


def readable_step(least: Decimal) -> Decimal:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least`."""
    if least <= 0:
        return Decimal(1)
    power = Decimal(10) ** least.adjusted()
    return next(power * part for part in map(Decimal, ("1", "2", "2.5", "5", "10")) if power * part >= least)


def _draw(metric: Metric, currency: str, at: int | None, address_of: Callable[[Values], str | None]) -> Chart:
    mine = metric.rows if at is None else [row for row in metric.rows if row[at] == currency]
    rows, note = _select_rows(metric, mine)
    least, step = axis(map(_value_of, rows), is_percent=metric.columns[-1] == "percent")
    span = step * STEPS
    numeric = [index for index, _ in enumerate(metric.columns[:-1]) if any(_is_number(row[index]) for row in rows)]
    others = [metric.columns[index] for index in numeric]
    bars = []
    for row in rows:
        value, values = _value_of(row), dict(zip(metric.columns, row, strict=True))
        bars.append(
            Bar(
                label=_name_of([part for index, part in enumerate(row) if index != at]),
                value=value,
                start=float((min(value, ZERO) - least) / span * 100),
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


def _select_rows(metric: Metric, rows: Sequence[tuple[object, ...]]) -> tuple[Sequence[tuple[object, ...]], str]:
    """Return the rows to draw, and a note about the rows that are not drawn."""
    if len(rows) <= MAX_BARS:
        return rows, ""
    worst = sorted(rows, key=_value_of, reverse=not metric.low_is_bad)[:MAX_BARS]
    which = "lowest" if metric.low_is_bad else "highest"
    return worst, f"The {MAX_BARS} {which}; {len(rows) - MAX_BARS:,} more are in the CSV and the JSON."


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal)


def _value_of(row: tuple[object, ...]) -> Decimal:
    return Decimal(row[-1]) if isinstance(row[-1], Decimal | int) else ZERO


def _name_of(row: Sequence[object]) -> str:
    return " ".join(part or "(none)" for part in row[:-1] if isinstance(part, str)) or "(none)"


# The bars as an image of their own.

WIDTH, ROW, EDGE, LABELS, NUMBERS = 720, 28, 12, 210, 130
SMALL = 18
"""The height of a line of notes or ticks."""


def chart_image(metric: Metric) -> str:
    """Draw the metric as an SVG image, for light and dark color schemes."""
    charts = draw_charts(metric)
    about = textwrap.wrap(metric.about, 110) + ([] if charts else ["Nothing in this period."])
    parts = [_text(EDGE, 24, metric.name.replace("-", " ").capitalize())]
    parts += [_text(EDGE, 26 + SMALL * number, line, "about") for number, line in enumerate(about, start=1)]
    top = 26 + SMALL * len(about) + EDGE
    for chart in charts:
        drawn, top = _draw_image(chart, top)
        parts += drawn
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
        f' role="img" aria-label="{escape(metric.about)}"><style>{_style()}</style>'
        f'<rect class="ground" width="{WIDTH}" height="{top}"/>{"".join(parts)}</svg>'
    )


def _draw_image(chart: Chart, top: int) -> tuple[list[str], int]:
    """Draw a chart below `top`, and return where it ends."""
    room = WIDTH - LABELS - NUMBERS
    unit = f" {chart.currency}" if chart.currency else chart.unit
    bottom = top + ROW * len(chart.bars)
    parts = []
    for index, tick in enumerate(chart.ticks):
        at = LABELS + room * index / STEPS
        parts.append(f'<path class="grid" d="M{at:.1f} {top}V{bottom}"/>')
        parts.append(_text(at, bottom + SMALL - 2, f"{tick.normalize():,f}", "about", "middle"))
    for index, bar in enumerate(chart.bars):
        at, text = top + ROW * index, f"{bar.value:,}{unit}"
        left, width = LABELS + room * bar.start / 100, room * bar.length / 100
        kind = "less" if bar.is_negative else "bar"
        parts.append(
            f"<g><title>{escape(bar.label)}: {text}</title>"
            f"{_text(LABELS - 10, at + 18, textwrap.shorten(bar.label, 26, placeholder='…'), anchor='end')}"
            f'<rect class="{kind}" x="{left:.1f}" y="{at + 5}" width="{width:.1f}" height="{ROW - 10}"/>'
            f"{_text(WIDTH - EDGE, at + 18, text, anchor='end')}</g>"
        )
    if chart.zero:
        parts.append(f'<path class="zero" d="M{LABELS + room * chart.zero / 100:.1f} {top}V{bottom}"/>')
    end = bottom + SMALL
    if chart.note:
        parts.append(_text(EDGE, end + SMALL, chart.note, "about"))
        end += SMALL
    return parts, end + EDGE


def _text(x: float, y: float, text: str, name: str = "", anchor: str = "start") -> str:
    named = f' class="{name}"' if name else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _style() -> str:
    rules = {
        "text": ("fill", "--text"), ".about": ("fill", "--quiet"), ".bar": ("fill", "--accent"),
        ".less": ("fill", "--bad"), ".grid": ("stroke", "--line"), ".zero": ("stroke", "--quiet"),
        ".ground": ("fill", "--surface"),
    }  # fmt: skip
    light, dark = (
        "".join(f"{name}{{{what}:{design.color(color)[scheme]}}}" for name, (what, color) in rules.items())
        for scheme in (0, 1)
    )
    fonts = "text{font:14px system-ui,sans-serif}.about{font-size:12px}"
    return f"{fonts}{light}@media(prefers-color-scheme:dark){{{dark}}}"
