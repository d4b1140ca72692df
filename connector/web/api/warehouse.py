"""Stock, the pick list, and what carriers say."""

from __future__ import annotations

from connector.model.event import Action, Event
from connector.model.role import Role
from connector.orders.allocation import recount
from connector.orders.desk import Command, Desk
from connector.orders.picking import pick_list
from connector.store import orders, parcels, stock
from connector.web.answers import order_said
from connector.web.bodies import CountBody, TrackingBody
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Route


async def levels(call: Call) -> Answer:
    skus = call.request.query.getall("sku", [])
    if not skus:
        raise ProblemError(400, "query", "Which products? Name one `sku` at least.", field="sku")
    async with call.store.reader() as connection:
        found = await stock.levels(connection, skus)
    return Answer(
        value={
            "stock": [
                {
                    "sku": sku,
                    "warehouse": warehouse,
                    "on_hand": level.on_hand,
                    "reserved": level.reserved,
                    "available": level.available,
                    "since": level.since,
                }
                for (sku, warehouse), level in sorted(found.items())
            ]
        }
    )


async def count(call: Call) -> Answer:
    body = call.body
    counted = {(sku, body.warehouse): on_hand for sku, on_hand in body.counts.items()}
    expected = {(sku, body.warehouse): on_hand for sku, on_hand in body.expected.items()}
    async with call.store.transaction() as uow:
        done = await recount(Desk(uow, actor=call.token.name, rules=call.rules), counted, expected)
    return Answer(
        value={"counted": len(counted), "reallocated": done.taken, "short": done.short, "served": done.served}
    )


async def picks(call: Call) -> Answer:
    async with call.store.reader() as connection:
        found = await pick_list(connection, call.asked("warehouse"))
    return Answer(value={"picks": [pick.said for pick in found]})


async def tracked(call: Call) -> Answer:
    async with call.store.transaction() as uow:
        found = await parcels.find(uow.connection, call.body.tracking_number)
        if not found:
            detail = f"No parcel is on its way as {call.body.tracking_number}."
            raise ProblemError(404, "unknown", detail, field="tracking_number")
        commands = [
            Command(
                number=number,
                event=Event(action=Action.TRACK, shipment=parcel, status=call.body.status, note=call.body.note),
            )
            for number, parcel in found
        ]
        await Desk(uow, actor=call.token.name, rules=call.rules).act(commands)
        moved = await orders.load(uow.connection, [number for number, _ in found])
    return Answer(value={"orders": [order_said(order) for order in moved]})


ROUTES = (
    Route(method="GET", path="/stock", role=Role.VIEWER, summary="Stock of products by warehouse.", handler=levels,
          queries={"sku": "a product; several may be named"}),
    Route(method="PUT", path="/stock", role=Role.OPS,
          summary="Count stock: what is lost is taken from the least urgent orders, what came goes to the most urgent.",
          handler=count, body=CountBody),
    Route(method="GET", path="/picks", role=Role.VIEWER, summary="What to pick, the most urgent first.", handler=picks,
          queries={"warehouse": "only there"}),
    Route(method="POST", path="/tracking", role=Role.OPS, summary="What a carrier says of a parcel.", handler=tracked,
          body=TrackingBody),
)  # fmt: skip
