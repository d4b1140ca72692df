"""The pieces that pages are put together from: tables, facts, badges, links to the next part."""

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
"""Columns that have room for money on one line."""


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    number: bool = False


def render_table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, empty: Html | str, few: bool = False
) -> Html:
    """The first cell of a row is its head. Narrow screens show a row as a card, each value behind its label; the roles
    keep it a table for those who hear it. With `few` columns that happens on phones only."""
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
    """Labels and values; what is empty says so."""
    entries = join(html("<div><dt>{}</dt><dd>{}</dd></div>", label, value or NOTHING) for label, value in pairs)
    return html('<dl class="{}">{}</dl>', kind, entries) if entries else EMPTY


NOTHING = Html('<span class="nothing">–</span>')
EMPTY_VALUE = Html('<span class="nothing">empty</span>')


def badge(label: str, value: str) -> Html:
    """A state, in words; the color only repeats them."""
    return html('<span class="badge {}">{}</span>', _TONES.get(value.lower(), "plain"), label) if label else EMPTY


def key(text: object) -> Html:
    """A number or a name, kept on one line if it is short."""
    return html('<span class="key">{}</span>', text) if len(str(text)) <= _MAX_UNBROKEN_LENGTH else html("{}", text)


def hold_badge(reason: str) -> Html:
    return html('<span class="badge held"><span class="sign" aria-hidden="true"></span>On hold: {}</span>', reason)


def section(title: str, body: Html, *, more: Html = EMPTY) -> Html:
    return html('<section><div class="title"><h2>{}</h2>{}</div>{}</section>', title, more, body)


def navigation(places: Iterable[tuple[str, str | None]]) -> Html:
    """Where to go on in a list: labels and addresses, those without one left out."""
    entries = join(html("<li>{}</li>", link(to, label)) for label, to in places if to)
    return html('<nav class="steps" aria-label="Parts of the list"><ul>{}</ul></nav>', entries) if entries else EMPTY


def heading(kind: str, title: object, beside: Html = EMPTY) -> Html:
    return html('<div class="head"><p class="kind">{}</p><h1>{}</h1>{}</div>', kind, title, beside)
