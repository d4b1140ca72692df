"""Back-orders: the products that are short, what waits for them, and allocating what is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from urllib.parse import quote

from aiohttp import web

from connector.model.money import plain
from connector.model.shipments import ZERO
from connector.store import products
from connector.store.queries import backorders
from connector.web.console.desk import send_csv
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.routing import RequestContext
from connector.wording import plural

PAGE_SIZE = 10
MOST_WAITING = 8
COLUMNS = ("sku", "number", "line", "quantity", "priority", "promised_on", "placed_at", "on_hold")


async def load_backorders(call: RequestContext) -> Mapping[str, object]:
    sku, after = call.query_key("sku"), call.query_key("after")
    async with call.store.reader() as connection:
        only = [] if sku is None else [sku]
        skus = await backorders.list_short_skus(connection, after=after, limit=PAGE_SIZE + 1, only=only)
        short = await backorders.load_backorders(connection, skus[:PAGE_SIZE])
        names = await products.find(connection, skus[:PAGE_SIZE])
    return {
        "short": short,
        "names": {key: item.name for key, item in names.items()},
        "sku": sku or "",
        "shown": len(short[0].waiting) if sku and short else MOST_WAITING,
        "following": skus[PAGE_SIZE - 1] if len(skus) > PAGE_SIZE else None,
        "is_later_page": after is not None,
    }


async def stream_backorders(call: RequestContext) -> web.StreamResponse:
    """Every waiting line as CSV."""
    return await send_csv(call, "back-orders", COLUMNS, _csv_rows(call, call.query_keys("sku") or None))


async def _csv_rows(call: RequestContext, skus: Sequence[str] | None) -> AsyncGenerator[Sequence[object], None]:
    async with (
        call.store.reader() as connection,
        aclosing(backorders.stream_backorder_lines(connection, skus)) as lines,
    ):
        async for item in lines:
            yield (
                item.sku, item.number, item.line, plain(item.quantity), item.priority, item.promised_on or "",
                item.placed_at.isoformat(), "yes" if item.on_hold else "no",
            )  # fmt: skip


async def allocate(call: RequestContext, form: Form) -> Done:
    """Reserve what is there of a product for the orders that wait for it, the most urgent one first. Repeating it
    reserves nothing twice."""
    sku = form.get("sku", "")
    async with call.store.reader() as connection:
        if sku not in await products.find(connection, [sku]):
            raise FormError({"": "This form names no product. Reload the page, and repeat it."})
        numbers = await backorders.list_orders_waiting_for_stock(connection, [sku])
    allocated = await call.orders.allocate(numbers, actor=call.token.name)
    served = [item for item in allocated if item.gained > 0]
    where = f"/desk/back-orders?sku={quote(sku, safe='')}" if form.get("from") == "one" else "/desk/back-orders"
    if not served:
        return Done(where=where, told=f"Nothing of {sku} could be allocated: no stock is left, or its orders are held.")
    orders = plural(len(served), "order")
    gained = plain(sum((item.gained for item in served), ZERO))
    return Done(where=where, told=f"{orders} got {gained} of {sku}.")


PAGE = ConsolePage(
    path="/desk/back-orders", title="Back-orders", template="desk_backorders.html.j2", load=load_backorders
)
PAGES = (PAGE, ConsolePage(path="/desk/back-orders.csv", title="", template="", load=stream_backorders))
ACTIONS = (ConsoleAction(path="/desk/back-orders/allocate", act=allocate, page=PAGE),)
