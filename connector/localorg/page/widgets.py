"""Building blocks of pages: tables, definition lists, badges, navigation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connector.localorg.page.html import EMPTY, Html, html, join, link

_TONES = {
    "completed": "good", "delivered": "good", "activated": "good", "paid": "good", "refunded": "plain",
    "canceled": "bad", "failed": "bad", "returned": "plain", "draft": "plain", "expired": "bad",
    "shipped": "busy", "fulfilling": "busy", "partially_shipped": "busy", "confirmed": "busy", "verified": "busy",
    "placed": "busy", "partially_paid": "busy", "authorized": "busy",
}  # fmt: skip
_MAX_UNBROKEN_LENGTH = 20
_MAX_WIDE_COLUMNS = 11
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
        return html('<p class="empty">{}</p>', empty)
    head = join(
        html(
            '<th scope="col" role="columnheader"{}>{}</th>',
            Html(' class="n"') if column.number else EMPTY,
            column.label,
        )
        for column in columns
    )
    return html(
        '<div class="wide"><table class="cards{}" role="table"><caption class="hidden">{}</caption>'
        '<thead role="rowgroup"><tr role="row">{}'
        '</tr></thead><tbody role="rowgroup">{}</tbody></table></div>',
        Html(" few") if few else Html(" many") if len(columns) > _MAX_WIDE_COLUMNS else EMPTY,
        caption,
        head,
        body,
    )


def _render_row(columns: Sequence[Column], row: Sequence[object]) -> Html:
    cells = []
    for index, (column, value) in enumerate(zip(columns, row, strict=True)):
        tag = Html('th scope="row" role="rowheader"') if index == 0 else Html('td role="cell"')
        kind = " ".join(name for name, so in (("n", column.number), ("none", value in {None, ""})) if so)
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


def definition_list(pairs: Iterable[tuple[str, Html]], *, kind: str = "facts") -> Html:
    """Render labels and values. An empty value is shown as a dash."""
    entries = join(html("<div><dt>{}</dt><dd>{}</dd></div>", label, value or NOTHING) for label, value in pairs)
    return html('<dl class="{}">{}</dl>', kind, entries) if entries else EMPTY


NOTHING = Html('<span class="nothing">–</span>')
EMPTY_VALUE = Html('<span class="nothing">empty</span>')


def badge(label: str, value: str) -> Html:
    """Render a state as text. The color only repeats the text."""
    return html('<span class="badge {}">{}</span>', _TONES.get(value.lower(), "plain"), label) if label else EMPTY


def key(text: object) -> Html:
    """Render a number or a name; a short one is kept on one line."""
    return html('<span class="key">{}</span>', text) if len(str(text)) <= _MAX_UNBROKEN_LENGTH else html("{}", text)


def hold_badge(reason: str) -> Html:
    return html('<span class="badge held"><span class="sign" aria-hidden="true"></span>On hold: {}</span>', reason)


def section(title: str, body: Html, *, more: Html = EMPTY) -> Html:
    return html('<section><div class="title"><h2>{}</h2>{}</div>{}</section>', title, more, body)


def navigation(places: Iterable[tuple[str, str | None]]) -> Html:
    """Render links to other parts of a list. Entries without an address are left out."""
    entries = join(html("<li>{}</li>", link(to, label)) for label, to in places if to)
    return html('<nav class="steps" aria-label="Parts of the list"><ul>{}</ul></nav>', entries) if entries else EMPTY


def heading(kind: str, title: object, beside: Html = EMPTY) -> Html:
    return html('<div class="head"><p class="kind">{}</p><h1>{}</h1>{}</div>', kind, title, beside)
