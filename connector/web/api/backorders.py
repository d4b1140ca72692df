"""Backorders: products that are short, and the order lines that wait for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

from connector.api.serializers import serialize_backorder
from connector.model.money import plain
from connector.model.role import Role
from connector.store.queries import backorders
from connector.web import answers
from connector.web.csv_response import KIND, stream_csv
from connector.web.pagination import QUERIES, load_page
from connector.web.routing import ApiResponse, RequestContext, Route, StreamBody

COLUMNS = ("sku", "number", "line", "quantity", "priority", "promised_on", "placed_at", "on_hold")


async def list_backorders(call: RequestContext) -> ApiResponse:
    """List backorders by product, one page per request."""
    async with call.store.reader() as connection:
        skus, following = await load_page(
            call, partial(backorders.list_short_skus, connection, only=call.query_keys("sku"))
        )
        page_backorders = await backorders.load_backorders(connection, skus)
    return ApiResponse(
        value={"back_orders": [serialize_backorder(short) for short in page_backorders], "after": following}
    )


async def get_backorders_csv(call: RequestContext) -> ApiResponse:
    """Stream every waiting line as CSV."""
    return ApiResponse(value=StreamBody(stream_csv(COLUMNS, _rows(call)), KIND))


async def _rows(call: RequestContext) -> AsyncGenerator[Sequence[object], None]:
    skus = call.query_keys("sku") or None
    async with (
        call.store.reader() as connection,
        aclosing(backorders.stream_backorder_lines(connection, skus)) as lines,
    ):
        async for item in lines:
            yield [
                item.sku, item.number, item.line, plain(item.quantity),
                item.priority, item.promised_on, item.placed_at, item.on_hold,
            ]  # fmt: skip


ONLY = {"sku": "only this product; can be repeated"}
ROUTES = (
    Route(
        method="GET",
        path="/back-orders",
        result=answers.BACKORDER_PAGE,
        role=Role.VIEWER,
        summary="Backorders by product, and the orders that wait for it, the most urgent one first.",
        handler=list_backorders,
        queries=ONLY | QUERIES,
    ),
    Route(
        method="GET",
        path="/back-orders/csv",
        role=Role.VIEWER,
        summary="All backordered lines as CSV.",
        handler=get_backorders_csv,
        queries=ONLY,
        kind=KIND,
    ),
)
