"""Dispatch page addresses, for a browser that has access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from connector.localorg import ids
from connector.localorg.page import (
    accounts,
    call_log,
    frame,
    home,
    indexes,
    login,
    order,
    orders,
    record,
    search,
    usage,
)
from connector.localorg.page.frame import Page
from connector.localorg.page.html import build_url

if TYPE_CHECKING:
    from aiohttp import web

    from connector.localorg.org import Org

_PLACES = frozenset({"orders", "accounts", "products", "record", "search", "usage", "calls"})


class Site:
    def __init__(self, org: Org) -> None:
        self._org = org
        self._indexed_for: object = None

    def _ensure_indexes(self) -> None:
        """Create the indexes with the first page, and again if the schema has changed: no later page waits for a scan.
        Most orgs show none, and write faster without these indexes."""
        if self._indexed_for != self._org.schema_changed_at:
            indexes.create_indexes(self._org)
            self._indexed_for = self._org.schema_changed_at

    def accepts(self, request: web.Request, segments: Sequence[str]) -> bool:
        """Whether an address belongs to the pages. A browser also gets its errors as a page."""
        if not segments or segments[0] in _PLACES:
            return True
        if len(segments) == 1 and ids.normalize(segments[0]):
            return True
        return segments[0].lower() != "services" and "text/html" in request.headers.get("Accept", "")

    def handle(self, request: web.Request, segments: Sequence[str], params: Mapping[str, str]) -> web.Response:
        if login.has_key(self._org, params):
            return login.grant_access(self._org, request, build_url(*segments), params)
        if not login.has_cookie(self._org, request):
            return frame.locked_page()
        if request.method not in {"GET", "HEAD"}:
            return frame.render_page(frame.read_only_page(request.method))
        self._ensure_indexes()
        return frame.render_page(self._render(segments, params))

    def _render(self, segments: Sequence[str], params: Mapping[str, str]) -> Page:
        org = self._org
        if org.schema.get("Order") is None and (not segments or segments[0] == "orders"):
            return frame.not_found_page() if segments else accounts.view(org, params)  # Orders are switched off
        match list(segments):
            case []:
                return home.view(org)
            case ["orders"]:
                return orders.view(org, params)
            case ["orders", record_id]:
                return order.view(org, record_id)
            case ["accounts"]:
                return accounts.view(org, params)
            case ["accounts", record_id]:
                return accounts.view_account(org, record_id)
            case ["products"]:
                empty = "No products yet. They appear with the first product that is written."
                return accounts.list_by_name(org, "Product2", "products", params, empty=empty)
            case ["record", record_id] | [record_id] if ids.normalize(record_id):
                return self._view_record(record_id)
            case ["record", record_id, child, field]:
                return record.view_children(org, record_id, child, field, params)
            case ["search"]:
                return search.view(org, params.get("q", ""))
            case ["usage"]:
                return usage.view(org)
            case ["calls"]:
                return call_log.view(org, params)
        return frame.not_found_page()

    def _view_record(self, record_id: str) -> Page:
        """Orders and accounts have pages of their own under any address."""
        match ids.normalize(record_id):
            case str(full) if full.startswith("801"):
                return order.view(self._org, full)
            case str(full) if full.startswith("001"):
                return accounts.view_account(self._org, full)
        return record.view(self._org, record_id)
