"""Serve the tracking page of an order. Whoever has the link can open it; the key in it cannot be guessed."""

from __future__ import annotations

from aiohttp import web

from connector.orders.documents.tracking_page import no_tracking_page, style_source, tracking_page
from connector.orders.service import OrderService
from connector.store import orders
from connector.store.engine import Store
from connector.store.queries.order_search import find_by_tracking_key

LONGEST = 64


def routes(store: Store, service: OrderService) -> list[web.RouteDef]:
    async def track(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        async with store.reader() as connection:
            number = await find_by_tracking_key(connection, key[:LONGEST])
            loaded = await orders.load(connection, [number]) if number is not None else []
        company = service.rules.billing.company
        page = tracking_page(loaded[0], company) if loaded else no_tracking_page(company)
        policy = f"default-src 'none'; style-src {style_source()}; base-uri 'none'; frame-ancestors 'none'"
        headers = {"Content-Security-Policy": policy}
        return web.Response(text=page, status=200 if loaded else 404, content_type="text/html", headers=headers)

    return [web.get("/track/{key}", track)]
