"""Stock levels, stock counts, the pick list, and carrier updates."""

from __future__ import annotations

from connector.api.schemas import CountBody, TrackingBody
from connector.api.serializers import serialize_order, serialize_stock
from connector.model.role import Role
from connector.orders.inventory.pick_list import load_picks
from connector.store import stock
from connector.web import answers
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


async def list_stock(call: RequestContext) -> ApiResponse:
    skus = call.query_keys("sku")
    if not skus:
        raise ProblemError(
            400, "query", "sku: at least one is required.", field="sku", hint="Repeat `sku` for several products."
        )
    async with call.store.reader() as connection:
        levels = await stock.levels(connection, skus)
    return ApiResponse(value={"stock": serialize_stock(levels)})


async def count_stock(call: RequestContext, body: CountBody) -> ApiResponse:
    counted = {(sku, body.warehouse): on_hand for sku, on_hand in body.counts.items()}
    expected = {(sku, body.warehouse): on_hand for sku, on_hand in body.expected.items()}
    report = await call.orders.count_stock(counted, expected, actor=call.token.name)
    return ApiResponse(
        value={
            "counted": len(counted),
            "reallocated": report.orders_reduced,
            "short": report.orders_short,
            "served": report.orders_served,
        }
    )


async def list_picks(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        picks = await load_picks(connection, call.query_key("warehouse"))
    return ApiResponse(value={"picks": [pick.as_dict for pick in picks]})


async def track_shipments(call: RequestContext, body: TrackingBody) -> ApiResponse:
    """Record a carrier's update. One that does not advance the status changes nothing: updates repeat or come late."""
    tracked = await call.orders.track(
        body.tracking_number, body.status, carrier=body.carrier, note=body.note, actor=call.token.name
    )
    return ApiResponse(value={"orders": [serialize_order(order) for order in tracked]})


ROUTES = (
    Route(
        method="GET",
        path="/stock",
        result=answers.StockList,
        role=Role.VIEWER,
        summary="Stock of products by warehouse.",
        handler=list_stock,
        queries={"sku": "a product; can be repeated"},
        required=("sku",),
    ),
    Route(
        method="PUT",
        path="/stock",
        result=answers.StockCount,
        role=Role.OPS,
        summary="Set counted stock: the least urgent orders lose missing stock, the most urgent ones get new stock.",
        handler=BodyHandler(CountBody, count_stock),
    ),
    Route(
        method="GET",
        path="/picks",
        result=answers.PickList,
        role=Role.VIEWER,
        summary="The pick list, the most urgent order first.",
        handler=list_picks,
        queries={"warehouse": "only in this warehouse"},
    ),
    Route(
        method="POST",
        path="/tracking",
        result=answers.ORDERS,
        role=Role.OPS,
        summary="Record a carrier's status update of a shipment.",
        handler=BodyHandler(TrackingBody, track_shipments),
    ),
)
