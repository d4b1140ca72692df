"""The flow chart of an order as SVG, drawn from the transition table."""

from __future__ import annotations

from html import escape

from connector import design
from connector.model.lifecycle_chart import draw_text
from connector.model.role import Role
from connector.web.chart import KIND
from connector.web.routing import ApiResponse, RequestContext, Route, TextBody

LETTER, ROW, EDGE = 8.5, 20, 16
_TEXT, _GROUND = design.color("--text"), design.color("--surface")
STYLE = (
    f"text{{font:14px ui-monospace,monospace;fill:{_TEXT[0]};white-space:pre}}.ground{{fill:{_GROUND[0]}}}"
    f"@media(prefers-color-scheme:dark){{text{{fill:{_TEXT[1]}}}.ground{{fill:{_GROUND[1]}}}}}"
)


def draw_svg() -> str:
    """Return the chart of `draw_text` as SVG, with a text element per line."""
    rows = draw_text().splitlines()
    width, height = int(LETTER * max(map(len, rows))) + 2 * EDGE, ROW * len(rows) + 2 * EDGE
    texts = [
        f'<text x="{EDGE}" y="{EDGE + ROW * index + 14}" xml:space="preserve">{escape(row)}</text>'
        for index, row in enumerate(rows)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="The stages of an order"><style>{STYLE}</style>'
        f'<rect class="ground" width="{width}" height="{height}"/>{"".join(texts)}</svg>'
    )


async def get_lifecycle_chart(call: RequestContext) -> ApiResponse:
    return ApiResponse(value=TextBody(draw_svg(), KIND))


ROUTES = (
    Route(method="GET", path="/lifecycle.svg", role=Role.VIEWER, summary="The flow chart of an order (SVG).",
          handler=get_lifecycle_chart, kind=KIND),
)  # fmt: skip
