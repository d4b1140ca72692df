"""Draw counts by the hour as columns: SVG without script and style; the style sheet of the console colors its classes.

Series are stacked, the first one at the bottom. The axis begins at zero and ends at a round number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 190
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 12, 26
MOST_LABELS = 9
"""Labels below the axis: more of them would touch."""


def column_chart(title: str, labels: Sequence[str], series: Mapping[str, Sequence[int]]) -> str:
    """One column for each label; `series` has a number for each of them, by name. A name is also the class of its
    rectangles, as `series-NAME`."""
    totals = [sum(values[index] for values in series.values()) for index in range(len(labels))]
    most = round_up(max(totals, default=0))
    room, width = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
    ]
    for share in (0.0, 0.5, 1.0):
        at = TOP + room * (1 - share)
        number = most * share
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_short(number)}</text>')
    step = -(-len(labels) // MOST_LABELS) or 1
    for index, label in enumerate(labels):
        left, low = LEFT + width * index, float(TOP + room)
        counts = [f"{name} {values[index]:,}" for name, values in series.items() if values[index]]
        said = f"{label}: {totals[index]:,}" + (f" ({', '.join(counts)})" if len(counts) > 1 else "")
        parts.append(f"<g><title>{escape(said)}</title>")
        parts.append(f'<rect class="ground" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{room}"/>')
        for name, values in series.items():
            height = room * values[index] / most
            low -= height
            if values[index]:
                parts.append(
                    f'<rect class="series-{escape(name)}" x="{left + width * 0.12:.1f}" y="{low:.1f}"'
                    f' width="{width * 0.76:.1f}" height="{max(height, 0.8):.1f}"/>'
                )
        parts.append("</g>")
        if index % step == 0:
            middle = left + width / 2
            parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>')
    return "".join([*parts, "</svg>"])


def round_up(number: int) -> int:
    """The next number that is 1, 2 or 5 with zeros behind; at least 4."""
    size = 1
    while True:
        for first in (1, 2, 5):
            if first * size >= max(number, 4):
                return first * size
        size *= 10


def _short(number: float) -> str:
    """`1,200` as `1.2k`."""
    for size, unit in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"
