"""Draw a metric as a bar chart: SVG without a script, for light and dark color schemes.

At most MAX_BARS rows are drawn, the worst ones, with a note; CSV and JSON have all rows. Each currency has its own
scale, as bars of different currencies cannot be compared.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from decimal import Decimal
from html import escape

from connector.orders.analytics import Metric

KIND = "image/svg+xml"
MAX_BARS = 40
"""Bars in one chart."""

WIDTH, ROW, LABELS, EDGE = 720, 28, 210, 12
LETTER, SMALL, MARGIN = 8, 16, 16
"""The width of a digit (about), the height of a line of notes, the margin below the notes, in pixels."""

UNITS = {"percent": " %", "hours": " h", "days": " d"}
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1f2933}.about{font-size:12px;fill:#52606d}"
    ".bar{fill:#2f6fdb}.less{fill:#c2410c}.rest{fill:#e4e7eb}.zero{stroke:#52606d}.ground{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#f5f7fa}.about{fill:#cbd2d9}.bar{fill:#7aa7ff}.less{fill:#fb923c}"
    ".rest{fill:#323f4b}.zero{stroke:#cbd2d9}.ground{fill:#1f2933}}"
)


def bar_chart(metric: Metric) -> str:
    """Draw one bar per row. The last value of a row is the bar's length; its texts are the bar's label."""
    rows, rows_note = select_rows(metric)
    unit = UNITS.get(metric.columns[-1], "")
    texts = [f"{value_of(row):,}{unit}" for row in rows]
    values = max([LETTER * len(text) for text in texts], default=0) + 2 * EDGE
    room = WIDTH - LABELS - values
    scales = "Each currency has a scale of its own." if len(currencies(metric, rows)) > 1 else ""
    notes = [line for note in (metric.about, scales, rows_note) for line in textwrap.wrap(note, 110)]
    top = 26 + SMALL * len(notes) + MARGIN
    height = top + ROW * len(rows) + MARGIN // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(metric.about)}"><style>{STYLE}</style>',
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text x="{EDGE}" y="22">{escape(metric.name.replace("-", " ").capitalize())}</text>',
    ]
    parts += [
        f'<text x="{EDGE}" y="{26 + SMALL * (index + 1)}" class="about">{escape(note)}</text>'
        for index, note in enumerate(notes)
    ]
    for index, (row, text) in enumerate(zip(rows, texts, strict=True)):
        least, most = _scale(metric, rows, row)
        at = top + ROW * index
        zero, end = (LABELS + room * float((value - least) / (most - least)) for value in (Decimal(0), value_of(row)))
        kind = "bar" if value_of(row) >= 0 else "less"
        parts += [
            f"<g><title>{escape(name_of(row))}: {text}</title>",
            f'<text x="{LABELS - 10}" y="{at + 17}" text-anchor="end">{escape(_shorten(name_of(row)))}</text>',
            f'<rect class="rest" x="{LABELS}" y="{at + 4}" width="{room}" height="{ROW - 10}" rx="3"/>',
            f'<rect class="{kind}" x="{min(zero, end):.1f}" y="{at + 4}" width="{abs(end - zero):.1f}"'
            f' height="{ROW - 10}" rx="3"/>',
            f'<path class="zero" d="M{zero:.1f} {at}v{ROW}"/>' if least < 0 else "",
            f'<text x="{WIDTH - EDGE}" y="{at + 17}" text-anchor="end">{text}</text></g>',
        ]
    return "".join([*parts, "</svg>"])


def select_rows(metric: Metric) -> tuple[Sequence[tuple[object, ...]], str]:
    """Return the rows to draw, and a note about the rows that are not drawn."""
    rows = metric.rows
    if not rows:
        return (), "Nothing in this period."
    if len(rows) <= MAX_BARS:
        return rows, ""
    worst = sorted(rows, key=value_of, reverse=not metric.low_is_bad)[:MAX_BARS]
    which = "lowest" if metric.low_is_bad else "highest"
    return worst, f"The {MAX_BARS} {which}; {len(rows) - MAX_BARS:,} more are in the CSV and the JSON."


def _scale(metric: Metric, rows: Sequence[tuple[object, ...]], row: tuple[object, ...]) -> tuple[Decimal, Decimal]:
    """Return the least and the greatest value of the scale for `row`: that of all rows in its currency."""
    mine = currencies(metric, [row])
    values = [value_of(other) for other in rows if currencies(metric, [other]) == mine]
    most = Decimal(100) if metric.columns[-1] == "percent" else max(*values, Decimal(0))
    least = min(*values, Decimal(0))
    return least, most if most > least else least + 1


def currencies(metric: Metric, rows: Sequence[tuple[object, ...]]) -> set[object]:
    at = metric.columns.index("currency") if "currency" in metric.columns else None
    return set() if at is None else {row[at] for row in rows}


def value_of(row: tuple[object, ...]) -> Decimal:
    return Decimal(row[-1]) if isinstance(row[-1], Decimal | int) else Decimal(0)


def name_of(row: tuple[object, ...]) -> str:
    return " ".join(part or "(none)" for part in row[:-1] if isinstance(part, str)) or "(none)"


def _shorten(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
