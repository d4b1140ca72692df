"""Stock, the pick list, and what carriers say."""

from __future__ import annotations

from collections.abc import Sequence

from connector.api.schemas import CountBody, TrackingBody
from connector.api.serializers import serialize_order, serialize_stock
from connector.model.events import Action, Event
from connector.model.fulfillment import is_news
from connector.model.role import Role
from connector.model.shipments import ON_THE_WAY
from connector.orders.command import OrderCommand
from connector.orders.inventory.allocation import apply_stock_count
from connector.orders.inventory.pick_list import pick_list
from connector.orders.transaction import OrderTransaction
from connector.store import orders, shipments, stock
from connector.store.shipments import Tracked
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route


async def list_stock(call: RequestContext) -> ApiResponse:
    skus = call.keys("sku")
    if not skus:
        raise ProblemError(400, "query", "Which products? Name one `sku` at least.", field="sku")
    async with call.store.reader() as connection:
        found = await stock.levels(connection, skus)
    return ApiResponse(value={"stock": serialize_stock(found)})


async def count_stock(call: RequestContext) -> ApiResponse:
    body = call.body
    counted = {(sku, body.warehouse): on_hand for sku, on_hand in body.counts.items()}
    expected = {(sku, body.warehouse): on_hand for sku, on_hand in body.expected.items()}
    async with call.store.transaction() as uow:
        done = await apply_stock_count(
            OrderTransaction(uow, actor=call.token.name, rules=call.rules), counted, expected
        )
    return ApiResponse(
        value={"counted": len(counted), "reallocated": done.taken, "short": done.short, "served": done.served}
    )


async def list_picks(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        found = await pick_list(connection, call.key("warehouse"))
    return ApiResponse(value={"picks": [pick.said for pick in found]})


async def track_shipments(call: RequestContext) -> ApiResponse:
    """What leads no further changes nothing: carriers repeat themselves, and what they say may come late."""
    body = call.body
    async with call.store.transaction() as uow:
        found = _by_carrier(body, await shipments.find(uow.connection, body.tracking_number))
        transaction = OrderTransaction(uow, actor=call.token.name, rules=call.rules)
        known = await transaction.load(list(dict.fromkeys(parcel.order for parcel in found)))
        commands = [
            OrderCommand(
                number=parcel.order,
                event=Event(action=Action.TRACK, shipment=parcel.number, status=body.status, note=body.note),
            )
            for parcel in found
            if is_news(known[parcel.order][0].shipments[parcel.number], body.status)
        ]
        await transaction.execute_all(commands)
        moved = await orders.load(uow.connection, list(known))
    return ApiResponse(value={"orders": [serialize_order(order) for order in moved]})


def _by_carrier(body: TrackingBody, found: Sequence[Tracked]) -> Sequence[Tracked]:
    """The parcels that are meant: those on their way, else those that have arrived. ProblemError where the number is
    nobody's, or may be another carrier's."""
    if body.carrier is not None:
        named = _plain(body.carrier)
        found = [parcel for parcel in found if parcel.carrier is None or _plain(parcel.carrier) == named]
    if not found:
        whose = f"{body.carrier} {body.tracking_number}" if body.carrier else body.tracking_number
        raise ProblemError(404, "unknown", f"No parcel is on its way as {whose}.", field="tracking_number")
    carriers = {_plain(parcel.carrier): parcel.carrier for parcel in found if parcel.carrier}
    if body.carrier is None and len(carriers) > 1:
        detail = f"{' and '.join(sorted(carriers.values()))} have parcels as {body.tracking_number}."
        raise ProblemError(409, "carrier", detail, field="carrier", hint="Say whose it is.")
    return [parcel for parcel in found if parcel.status in ON_THE_WAY] or found


def _plain(carrier: str) -> str:
    return carrier.strip().casefold()


ROUTES = (
    Route(
        method="GET",
        path="/stock",
        role=Role.VIEWER,
        summary="Stock of products by warehouse.",
        handler=list_stock,
        queries={"sku": "a product; several may be named"},
    ),
    Route(
        method="PUT",
        path="/stock",
        role=Role.OPS,
        summary="Count stock: what is lost is taken from the least urgent orders, what came goes to the most urgent.",
        handler=count_stock,
        body=CountBody,
    ),
    Route(
        method="GET",
        path="/picks",
        role=Role.VIEWER,
        summary="What to pick, the most urgent first.",
        handler=list_picks,
        queries={"warehouse": "only there"},
    ),
    Route(
        method="POST",
        path="/tracking",
        role=Role.OPS,
        summary="What a carrier says of a parcel.",
        handler=track_shipments,
        body=TrackingBody,
    ),
)
