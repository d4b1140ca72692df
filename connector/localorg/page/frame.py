"""The frame of all pages: menu, search box, security headers, and the pages for errors. Styles and icons are those of
the console."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aiohttp import web

from connector import design
from connector.localorg.page.html import EMPTY, Html, html, join

_NAVIGATION = (
    ("/", "Home", "house"), ("/orders", "Orders", "package-check"), ("/accounts", "Accounts", "users"),
    ("/products", "Products", "boxes"), ("/usage", "API usage", "gauge"), ("/calls", "Call log", "scroll-text"),
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
    own = (files("connector.localorg.page") / "page.css").read_text(encoding="utf-8")
    return "".join(map(design.read, design.SHARED)) + own


@cache
def _policy() -> str:
    return (
        f"default-src 'none'; style-src {design.style_source(_style())}; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    )


def render_page(page: Page, *, inside: bool = True) -> web.Response:
    """Render a page. Only a page that is `inside` the login has the navigation."""
    main = html('<main id="main" tabindex="-1"{}>{}</main>', EMPTY if inside else Html(' class="alone"'), page.body)
    text = html(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · Local Salesforce org</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><style>{style}</style></head><body class="framed"><a class="skip" href="#main">Skip to '
        "content</a>{content}</body></html>\n",
        title=page.title,
        style=Html(_style()),
        content=html('{}<div class="page">{}</div>', _head(page), main) if inside else main,
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
            '<li><a href="{}"{}>{}<span>{}</span></a></li>',
            to,
            Html(' aria-current="page"') if to == page.navigation_url else EMPTY,
            icon(name),
            label,
        )
        for to, label, name in _NAVIGATION
    )
    return html(
        '<header class="bar"><button class="plain menu-button" type="button" popovertarget="menu" title="Pages">{}'
        '<span class="hidden">Pages</span></button><a class="mark" href="/">{}Local org</a>'
        '<form class="find" role="search" action="/search">{}<label class="hidden" for="q">Search orders, accounts and '
        'products</label><input id="q" name="q" type="search" placeholder="Order, account, SKU" value="{}">'
        '<button class="plain" title="Search">Search</button></form></header>'
        '<nav class="menu" id="menu" popover aria-label="Pages"><ul>{}</ul></nav>',
        icon("menu"),
        icon("cloud", "logo"),
        icon("search"),
        page.search_text,
        entries,
    )


def icon(name: str, css_class: str = "") -> Html:
    """Render an icon of the design."""
    return Html(design.icon(name, css_class))


def locked_page() -> web.Response:
    body = Html(
        '<h1>This page needs its link</h1><p class="quiet">Open the link that the org printed when it was started: it '
        "carries the key. If you have just followed it from another site, reload this page.</p>"
    )
    return render_page(Page(title="Locked", body=body, status=403), inside=False)


def not_found_page(what: str = "There is no such page.") -> Page:
    body = html(
        '<h1>Not found</h1><p class="quiet">{} It may have been deleted, or the address is not complete.</p>'
        '<p><a href="/orders">See all orders</a> or search above.</p>',
        what,
    )
    return Page(title="Not found", body=body, status=404)


def read_only_page(method: str) -> Page:
    body = html(
        '<h1>Only for looking</h1><p class="quiet">Nothing can be changed here: {} is not answered.</p>', method
    )
    return Page(title="Only for looking", body=body, status=405)
