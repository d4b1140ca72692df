"""The frame of all pages: navigation, search box, security headers, and the pages for errors."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aiohttp import web

from connector.localorg.page.html import EMPTY, Html, html, join

_NAVIGATION = (
    ("/", "Home"), ("/orders", "Orders"), ("/accounts", "Accounts"), ("/products", "Products"),
    ("/usage", "API usage"), ("/calls", "Call log"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Page:
    title: str
    body: Html
    navigation_url: str = ""  # the entry of the navigation it belongs to
    search_text: str = ""
    status: int = 200


@cache
def _style() -> str:
    return (files("connector.localorg.page") / "page.css").read_text(encoding="utf-8")


@cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def render_page(page: Page, *, inside: bool = True) -> web.Response:
    """Render a page. Only a page that is `inside` the login has the navigation."""
    head = _head(page) if inside else EMPTY
    text = html(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · Local Salesforce org</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><style>{style}</style></head><body><a class="skip" href="#main">Skip to content</a>'
        '{head}<main id="main">{body}</main></body></html>\n',
        title=page.title,
        style=Html(_style()),
        head=head,
        body=page.body,
    )
    return web.Response(
        status=page.status,
        text=text,
        content_type="text/html",
        headers={
            "Content-Security-Policy": _policy(),
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _head(page: Page) -> Html:
    entries = join(
        html(
            '<li><a href="{}"{}>{}</a></li>',
            to,
            Html(' aria-current="page"') if to == page.navigation_url else EMPTY,
            label,
        )
        for to, label in _NAVIGATION
    )
    return html(
        '<header><div class="bar"><p class="brand">Local Salesforce org</p>'
        '<form class="search" role="search" action="/search"><label class="hidden" for="q">Search orders, accounts and '
        'products</label><input id="q" name="q" type="search" placeholder="Order number, account, SKU" value="{}">'
        '<button>Search</button></form></div><nav aria-label="Pages"><ul>{}</ul></nav></header>',
        page.search_text,
        entries,
    )


def locked_page() -> web.Response:
    body = Html(
        "<h1>This page needs its link</h1><p>Open the link that the org printed when it was started: it carries the "
        "key. If you have just followed it from another site, reload this page.</p>"
    )
    return render_page(Page(title="Locked", body=body, status=403), inside=False)


def not_found_page(what: str = "There is no such page.") -> Page:
    body = html(
        "<h1>Not found</h1><p>{} It may have been deleted, or the address is not complete.</p>"
        '<p><a href="/orders">See all orders</a> or search above.</p>',
        what,
    )
    return Page(title="Not found", body=body, status=404)


def read_only_page(method: str) -> Page:
    body = html("<h1>Only for looking</h1><p>Nothing can be changed here: {} is not answered.</p>", method)
    return Page(title="Only for looking", body=body, status=405)
