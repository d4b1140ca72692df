"""The list of orders, with the filters that operators and order desks use; as a page and as CSV."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from aiohttp import web

from connector.model.change import ChangeState, EntityKind, Unsent
from connector.model.holds import Hold
from connector.model.order import Order
from connector.model.shipments import ReturnReason
from connector.model.stage import Stage
from connector.store import links, orders, orgs, outbox
from connector.store.engine import Connection
from connector.store.queries.entity_orgs import find_orgs
from connector.store.queries.order_list import OrderFilter, Position, SyncFilter, list_latest_orders
from connector.store.queries.typed_text import TypedText, read_text
from connector.web.console.formats import Place
from connector.web.console.frame import ConsolePage
from connector.web.csv_response import KIND, stream_csv
from connector.web.problem import ProblemError
from connector.web.query_moment import first_moment, query_day
from connector.web.routing import ApiResponse, RequestContext, StreamBody, make_response

PAGE_SIZE = 50
COLUMNS = ("number", "customer", "customer_name", "stage", "holds", "currency", "total", "placed_at", "channel",
           "status", "due")  # fmt: skip
"""Of the CSV: `total` is that of the goods, `due` is with freight and tax, `status` that of the record."""
FILTERS = ("q", "stage", "hold", "status", "customer", "channel", "sync", "from", "to", "goods", "sku", "returned",
           "held", "left")  # fmt: skip
NARROWED = ("customer", "channel", "sku", "returned", "held", "left")
"""Filters without a field: another page leads to them."""


class GoodsFilter(StrEnum):
    """`late`: not delivered by the promised day. `back-ordered`: it waits for stock."""

    LATE = "late"
    BACKORDERED = "back-ordered"


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderRow:
    """An order of the list, and what is not in the org yet; None if nothing is due. `status`: of its record; None if it
    has none."""

    order: Order
    unsent: Unsent | None
    status: str | None

    @property
    def is_refused(self) -> bool:
        return self.unsent is not None and self.unsent.state in {ChangeState.DEAD, ChangeState.BLOCKED}


async def load_orders(call: RequestContext) -> Mapping[str, object]:
    query = call.request.query
    chosen, before = _filter(call), _position(query.get("before", ""))
    async with call.store.reader() as connection:
        org_ids = await orgs.list_active_ids(connection)
        chosen = replace(chosen, org_ids=org_ids, text=await _read_text(call, connection))
        found = await list_latest_orders(connection, chosen, before=before, limit=PAGE_SIZE + 1)
        numbers = [number for number, _ in found[:PAGE_SIZE]]
        rows = await load_rows(connection, numbers, org_ids)
        statuses = await links.list_statuses(connection, org_ids)
        has_orgs = bool(await orgs.list_named(connection))
        orgs_of = await find_orgs(connection, EntityKind.ORDER, numbers) if has_orgs else None
    kept = {name: query[name] for name in FILTERS if query.get(name)}
    following = None
    if len(found) > PAGE_SIZE:
        number, placed_at = found[PAGE_SIZE - 1]
        following = urlencode({**kept, "before": f"{placed_at.isoformat()} {number}"})
    return {
        "rows": rows,
        "chosen": kept,
        "following": following,
        "is_later_page": before is not None,
        "query": urlencode(kept),
        "stages": list(Stage),
        "holds": list(Hold),
        "syncs": list(SyncFilter),
        "goods": list(GoodsFilter),
        "statuses": sorted({*statuses, *([chosen.status] if chosen.status else [])}),
        "narrowed": {name: kept[name] for name in NARROWED if name in kept},
        "orgs_of": orgs_of,
        "today": _today(call),
    }


async def stream_orders(call: RequestContext) -> web.StreamResponse:
    """All orders of these filters as CSV."""
    body = StreamBody(stream_csv(COLUMNS, _csv_rows(call, _filter(call))), KIND)
    headers = {"Content-Disposition": 'attachment; filename="orders.csv"'}
    return await make_response(call.request, ApiResponse(value=body, headers=headers))


async def _csv_rows(call: RequestContext, chosen: OrderFilter) -> AsyncGenerator[Sequence[object], None]:
    before: Position | None = None
    async with call.store.reader() as connection:
        org_ids = await orgs.list_active_ids(connection)
        chosen = replace(chosen, org_ids=org_ids, text=await _read_text(call, connection))
        while True:
            found = await list_latest_orders(connection, chosen, before=before, limit=500)
            numbers = [number for number, _ in found]
            statuses = await links.statuses(connection, chosen.org_ids, numbers)
            for order in await _in_sequence(connection, numbers):
                yield (
                    order.number,
                    order.customer.number,
                    order.customer.name,
                    order.stage.value,
                    " ".join(sorted(order.state.holds)),
                    order.currency,
                    "" if order.exact_total is None else f"{order.exact_total:f}",
                    order.header.placed_at.isoformat(),
                    order.header.channel or "",
                    statuses.get(order.number, ""),
                    f"{order.state.due:f}",
                )
            if len(found) < 500:
                return
            before = (found[-1][1], found[-1][0])


async def load_rows(connection: Connection, numbers: Sequence[str], org_ids: Sequence[str]) -> list[OrderRow]:
    unsent = await outbox.find(connection, EntityKind.ORDER, numbers)
    statuses = await links.statuses(connection, org_ids, numbers)
    return [
        OrderRow(order=item, unsent=unsent.get(item.number), status=statuses.get(item.number))
        for item in await _in_sequence(connection, numbers)
    ]


async def _in_sequence(connection: Connection, numbers: Sequence[str]) -> list[Order]:
    loaded = {order.number: order for order in await orders.load(connection, numbers)}
    return [loaded[number] for number in numbers if number in loaded]


async def _read_text(call: RequestContext, connection: Connection) -> TypedText | None:
    text = (call.query_value("q") or "").strip()[:80]
    return await read_text(connection, text) if text else None


def _filter(call: RequestContext) -> OrderFilter:
    hold = call.query_value("hold")
    goods = call.query_choice("goods", GoodsFilter)
    zone = Place.of(call.request).info
    first, last = query_day(call, "from"), query_day(call, "to")
    return OrderFilter(
        stage=call.query_choice("stage", Stage),
        on_hold=hold == "any",
        hold=None if hold == "any" else call.query_choice("hold", Hold),
        customer=call.query_key("customer"),
        channel=call.query_value("channel"),
        sync=call.query_choice("sync", SyncFilter),
        placed_since=None if first is None else first_moment(first, zone),
        placed_until=None if last is None else first_moment(last + timedelta(days=1), zone),
        late_on=_today(call) if goods is GoodsFilter.LATE else None,
        backordered=goods is GoodsFilter.BACKORDERED,
        sku=call.query_key("sku"),
        returned=call.query_choice("returned", ReturnReason),
        held=call.query_choice("held", Hold),
        left=call.query_choice("left", Stage),
        status=call.query_value("status"),
    )


def _today(call: RequestContext) -> date:
    return call.store.clock.now().astimezone(Place.of(call.request).info).date()


def _position(text: str) -> Position | None:
    """The place behind which a page begins, from its address."""
    moment, _, number = text.partition(" ")
    try:
        return (datetime.fromisoformat(moment).astimezone(UTC), number) if text else None
    except (ValueError, OverflowError):
        raise ProblemError(400, "query", "This address names no page.", hint="Begin with the first page.") from None


PAGES = (
    ConsolePage(path="/orders", title="Orders", template="orders.html.j2", load=load_orders),
    ConsolePage(path="/orders.csv", title="Orders", template="", load=stream_orders),
)
