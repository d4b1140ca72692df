"""Stock, the pick list, and what carriers say."""

from __future__ import annotations

from collections.abc import Sequence

from connector.model.dispatch import is_news
from connector.model.event import Action, Event
from connector.model.parcels import ON_THE_WAY
from connector.model.role import Role
from connector.orders.allocation import recount
from connector.orders.command import Command
from connector.orders.desk import Desk
from connector.orders.picking import pick_list
from connector.store import orders, parcels, stock
from connector.store.parcels import Tracked
from connector.web.answers import order_said, stock_said
from connector.web.bodies import CountBody, TrackingBody
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Route


async def levels(call: Call) -> Answer:
    skus = call.keys("sku")
    if not skus:
        raise ProblemError(400, "query", "Which products? Name one `sku` at least.", field="sku")
    async with call.store.reader() as connection:
        found = await stock.levels(connection, skus)
    return Answer(value={"stock": stock_said(found)})


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
        found = await pick_list(connection, call.key("warehouse"))
    return Answer(value={"picks": [pick.said for pick in found]})


async def tracked(call: Call) -> Answer:
    """What leads no further changes nothing: carriers repeat themselves, and what they say may come late."""
    body = call.body
    async with call.store.transaction() as uow:
        found = _by_carrier(body, await parcels.find(uow.connection, body.tracking_number))
        desk = Desk(uow, actor=call.token.name, rules=call.rules)
        known = await desk.load(list(dict.fromkeys(parcel.order for parcel in found)))
        commands = [
            Command(
                number=parcel.order,
                event=Event(action=Action.TRACK, shipment=parcel.number, status=body.status, note=body.note),
            )
            for parcel in found
            if is_news(known[parcel.order][0].shipments[parcel.number], body.status)
        ]
        await desk.act(commands)
        moved = await orders.load(uow.connection, list(known))
    return Answer(value={"orders": [order_said(order) for order in moved]})


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
