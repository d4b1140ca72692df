"""Building blocks of pages: tables, definition lists, badges, navigation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connector.localorg.page.html import EMPTY, Html, html, join, link

_TONES = {
    "completed": "tag good", "delivered": "tag good", "activated": "tag good", "paid": "tag good",
    "failed": "tag bad", "expired": "tag bad",
    **dict.fromkeys(("placed", "verified", "confirmed", "fulfilling", "shipped"), "stage"),
    **dict.fromkeys(("partially_shipped", "partially_paid", "authorized"), "stage"),
}  # fmt: skip
_MAX_UNBROKEN_LENGTH = 20
_MAX_LINE_LENGTH = 60
_MAX_LINES_LENGTH = 200
_MAX_WIDE_COLUMNS = 9
"""A table with more columns uses the dense layout."""


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    number: bool = False


def render_table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, empty: Html | str, few: bool = False
) -> Html:
    """Render a table. The first cell of a row is its header.

    Narrow screens show each row as a card, with a label before each value; the roles keep it a table for screen
    readers. A table with `few` columns becomes cards on phones only.
    """
    body = join(_render_row(columns, row) for row in rows)
    if not body:
        return html('<p class="card nothing">{}</p>', empty)
    head = join(
        html(
            '<th scope="col" role="columnheader"{}>{}</th>',
            Html(' class="right"') if column.number else EMPTY,
            column.label,
        )
        for column in columns
    )
    return html(
        '<div class="scroll"><table class="stacked{}" role="table"><caption class="hidden">{}</caption>'
        '<thead role="rowgroup"><tr role="row">{}'
        '</tr></thead><tbody role="rowgroup">{}</tbody></table></div>',
        Html(" dense") if len(columns) > _MAX_WIDE_COLUMNS else EMPTY,
        caption,
        head,
        body,
    )


def _render_row(columns: Sequence[Column], row: Sequence[object]) -> Html:
    cells = []
    for index, (column, value) in enumerate(zip(columns, row, strict=True)):
        tag = Html('th scope="row" role="rowheader"') if index == 0 else Html('td role="cell"')
        names = (
            ("right", column.number),
            ("none", value in {None, ""}),
            ("long", _is_longer(value, _MAX_UNBROKEN_LENGTH)),
        )
        kind = " ".join(name for name, so in names if so)
        cells.append(
            html(
                '<{}{} data-label="{}"><span>{}</span></{}>',
                tag,
                html(' class="{}"', kind) if kind else EMPTY,
                column.label,
                value,
                Html("th" if index == 0 else "td"),
            )
        )
    return html('<tr role="row">{}</tr>', join(cells))


def definition_list(pairs: Iterable[tuple[str, Html]], *, kind: str = "card highlights") -> Html:
    """Render labels and values. An empty value is shown as a dash."""
    entries = join(
        html("<div{}><dt>{}</dt><dd>{}</dd></div>", _width(value), label, value or NOTHING) for label, value in pairs
    )
    return html('<dl class="{}">{}</dl>', kind, entries) if entries else EMPTY


def _width(value: Html) -> Html:
    """Give a long text more room than a number."""
    if _is_longer(value, _MAX_LINES_LENGTH):
        return Html(' class="whole"')
    return Html(' class="long"') if _is_longer(value, _MAX_LINE_LENGTH) else EMPTY


def _is_longer(value: object, length: int) -> bool:
    return len(re.sub(r"<[^>]*>", "", str(value))) > length


NOTHING = Html('<span class="quiet">–</span>')
EMPTY_VALUE = Html('<span class="quiet">empty</span>')


def badge(label: str, value: str) -> Html:
    """Render a state as text. The color only repeats the text."""
    return html('<span class="{}">{}</span>', _TONES.get(value.lower(), "tag none"), label) if label else EMPTY


def key(text: object) -> Html:
    """Render a number or a name; a short one is kept on one line."""
    if not text:
        return EMPTY
    return html('<span class="key">{}</span>', text) if len(str(text)) <= _MAX_UNBROKEN_LENGTH else html("{}", text)


def hold_badge(reason: str) -> Html:
    return html('<span class="tag held">On hold: {}</span>', reason)


def section(title: str, body: Html, *, more: Html = EMPTY) -> Html:
    return html('<section><div class="head"><h2>{}</h2>{}</div>{}</section>', title, more, body)


def navigation(places: Iterable[tuple[str, str | None]]) -> Html:
    """Render links to other parts of a list. Entries without an address are left out."""
    entries = join(html("<li>{}</li>", link(to, label)) for label, to in places if to)
    return html('<nav aria-label="Parts of the list"><ul class="parts">{}</ul></nav>', entries) if entries else EMPTY


def heading(kind: str, title: object, beside: Html = EMPTY) -> Html:
    return html(
        '<div class="head"><div><p class="quiet small">{}</p><h1 class="plaintext">{}</h1></div>{}</div>',
        kind,
        title,
        beside,
    )
