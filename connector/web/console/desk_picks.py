"""Pick lists, to be printed, by warehouse and urgency; and what is picked and waits to be shipped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from aiohttp import web

from connector.model.actions import Action
from connector.model.money import plain
from connector.model.order import Order
from connector.model.possible_actions import PossibleAction, list_possible_actions
from connector.model.shipments import ZERO
from connector.orders.inventory.pick_list import Pick, load_picks
from connector.store import orders, stock
from connector.store.queries.reservations import list_orders_to_ship
from connector.web.console.desk import send_csv
from connector.web.console.frame import ConsolePage
from connector.web.console.order_actions import ActionLink, action_link, new_request
from connector.web.routing import RequestContext

MOST_PICKED = 60
MOST_SHIPPING = 40
"""Orders of one page: as many as are picked in one walk; the sheet has more."""
COLUMNS = ("warehouse", "order", "priority", "line", "sku", "name", "quantity")


@dataclass(frozen=True, kw_only=True, slots=True)
class PickedOrder:
    """An order on the pick list of a warehouse."""

    order: Order
    picks: Sequence[Pick]


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """What can leave now: a packed shipment, or picked goods that would leave as one."""

    order: Order
    item: PossibleAction
    link: ActionLink
    pieces: str


async def load_desk_picks(call: RequestContext) -> Mapping[str, object]:
    warehouse = call.query_key("warehouse")
    async with call.store.reader() as connection:
        picks = await load_picks(connection, warehouse, limit=MOST_PICKED)
        shipping = await list_orders_to_ship(connection, MOST_SHIPPING)
        numbers = list(dict.fromkeys([*(pick.order for pick in picks), *shipping]))
        loaded = {order.number: order for order in await orders.load(connection, numbers)}
        known = sorted(await stock.warehouses(connection))
    by_warehouse = {
        name: [
            PickedOrder(order=loaded[number], picks=list(of_order))
            for number, of_order in groupby(group, key=lambda pick: pick.order)
            if number in loaded
        ]
        for name, group in groupby(sorted(picks, key=lambda pick: pick.warehouse), key=lambda pick: pick.warehouse)
    }
    return {
        "by_warehouse": by_warehouse,
        "departures": [item for number in shipping if number in loaded for item in _departures(loaded[number])],
        "warehouse": warehouse or "",
        "warehouses": known,
        "most": MOST_PICKED,
        "is_cut": len({pick.order for pick in picks}) >= MOST_PICKED,
        "request_key": new_request(),
    }


def _departures(order: Order) -> list[Departure]:
    found = []
    for item in list_possible_actions(order.state):
        if item.action is Action.SHIP:
            lines = item.most if item.shipment is None else order.state.shipments[item.shipment].lines
            pieces = plain(sum(lines.values(), ZERO))
            found.append(Departure(order=order, item=item, link=action_link(order.number, item), pieces=pieces))
    return found


async def stream_picks(call: RequestContext) -> web.StreamResponse:
    """The pick list as CSV."""
    return await send_csv(call, "pick-list", COLUMNS, _csv_rows(call))


async def _csv_rows(call: RequestContext) -> AsyncGenerator[Sequence[object], None]:
    async with call.store.reader() as connection:
        picks = await load_picks(connection, call.query_key("warehouse"))
    for pick in sorted(picks, key=lambda item: item.warehouse):
        yield pick.warehouse, pick.order, pick.priority, pick.line, pick.sku, pick.name, plain(pick.quantity)


PAGES = (
    ConsolePage(path="/desk/picks", title="Pick lists", template="desk_picks.html.j2", load=load_desk_picks),
    ConsolePage(path="/desk/picks.csv", title="", template="", load=stream_picks),
)
