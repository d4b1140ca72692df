"""Serve the tracking page of an order. Whoever has the link can open it; the key in it cannot be guessed."""

from __future__ import annotations

from aiohttp import web

from connector.orders.documents.tracking_page import style_source, tracking_page
from connector.orders.service import OrderService
from connector.store import orders
from connector.store.engine import Store
from connector.store.queries.order_search import find_by_tracking_key
from connector.web.problem import ProblemError

LONGEST = 64


def routes(store: Store, service: OrderService) -> list[web.RouteDef]:
    async def track(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        async with store.reader() as connection:
            number = await find_by_tracking_key(connection, key[:LONGEST])
            loaded = await orders.load(connection, [number]) if number is not None else []
        if not loaded:
            raise ProblemError(404, "unknown", "There is no such page.")
        policy = f"default-src 'none'; style-src {style_source()}; frame-ancestors 'none'"
        page = tracking_page(loaded[0], service.rules.billing.company)
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": policy})

    return [web.get("/track/{key}", track)]
