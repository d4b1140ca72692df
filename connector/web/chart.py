"""A figure as a bar chart: SVG made here, readable without a script, in light and dark."""

from __future__ import annotations

from decimal import Decimal
from html import escape

from connector.orders.analytics import Figure

KIND = "image/svg+xml"
WIDTH, ROW, LABELS, VALUES, TOP = 720, 28, 210, 90, 56
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1f2933}.about{font-size:12px;fill:#52606d}"
    ".bar{fill:#2f6fdb}.rest{fill:#e4e7eb}"
    "@media(prefers-color-scheme:dark){text{fill:#f5f7fa}.about{fill:#cbd2d9}.bar{fill:#7aa7ff}.rest{fill:#323f4b}}"
)


def bars(figure: Figure) -> str:
    """One bar a row, as long as its last value; a row is named by its texts."""
    values = [row[-1] if isinstance(row[-1], Decimal | int) else Decimal(0) for row in figure.rows]
    most = max([*values, Decimal(1)]) if "percent" not in figure.columns[-1] else Decimal(100)
    height = TOP + ROW * max(len(figure.rows), 1) + 12
    room = WIDTH - LABELS - VALUES
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(figure.about)}"><style>{STYLE}</style>',
        f'<text x="12" y="22">{escape(figure.name.capitalize())}</text>',
        f'<text x="12" y="42" class="about">{escape(figure.about)}</text>',
    ]
    if not figure.rows:
        parts.append(f'<text x="12" y="{TOP + 18}" class="about">Nothing in this period.</text>')
    for index, (row, value) in enumerate(zip(figure.rows, values, strict=True)):
        y = TOP + ROW * index
        name = " ".join(str(part) or "(none)" for part in row[:-1] if isinstance(part, str)) or "(none)"
        length = max(float(value) / float(most) * room, 0)
        label = escape(name if len(name) <= 24 else f"{name[:23]}…")
        parts += [
            f'<text x="{LABELS - 10}" y="{y + 17}" text-anchor="end">{label}</text>',
            f'<rect class="rest" x="{LABELS}" y="{y + 4}" width="{room}" height="{ROW - 10}" rx="3"/>',
            f'<rect class="bar" x="{LABELS}" y="{y + 4}" width="{length:.1f}" height="{ROW - 10}" rx="3"/>',
            f'<text x="{WIDTH - 12}" y="{y + 17}" text-anchor="end">{value:,}</text>',
        ]
    return "".join([*parts, "</svg>"])
