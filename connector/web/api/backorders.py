"""Backorders: products that are short, and the order lines that wait for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from decimal import Decimal
from functools import partial

from connector.model.money import plain
from connector.model.role import Role
from connector.store.queries import backorders
from connector.store.queries.backorders import Backorder
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
        value={"back_orders": [_serialize_backorder(short) for short in page_backorders], "after": following}
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
            yield [_cell(getattr(item, name)) for name in COLUMNS]


def _serialize_backorder(short: Backorder) -> dict[str, object]:
    fields = asdict(short)
    for item in fields["waiting"]:
        del item["sku"]
    return fields


def _cell(value: object) -> object:
    return plain(value) if isinstance(value, Decimal) else value


ONLY = {"sku": "only of this product; several may be named"}
ROUTES = (
    Route(
        method="GET",
        path="/back-orders",
        role=Role.VIEWER,
        summary="What is short by product, and the orders that wait for it, the most urgent first.",
        handler=list_backorders,
        queries=ONLY | QUERIES,
    ),
    Route(
        method="GET",
        path="/back-orders/csv",
        role=Role.VIEWER,
        summary="Every line that waits, as CSV.",
        handler=get_backorders_csv,
        queries=ONLY,
        kind=KIND,
    ),
)
