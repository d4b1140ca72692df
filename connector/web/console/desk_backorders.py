"""Back-orders: the products that orders wait for, what no stock covers, and allocating what is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime
from urllib.parse import quote, urlencode

from aiohttp import web

from connector.model.money import plain
from connector.model.shipments import ZERO
from connector.store import journal, products
from connector.store.journal import JournalEntry
from connector.store.queries import backorders
from connector.store.queries.backorders import BackorderLine, WaitingPlace
from connector.web.console.desk import send_csv
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

PAGE_SIZE = 10
MOST_WAITING = 8
LINES_OF_PAGE = 100
"""Lines of a page about one product."""
BATCH = 100
MOST_ALLOCATED = 5_000
"""Orders that one press of the button allocates to; order automation does the rest."""
LARGEST = 2**31 - 1
_BETWEEN = " "
COLUMNS = ("sku", "number", "line", "quantity", "priority", "promised_on", "placed_at", "on_hold")


async def load_backorders(call: RequestContext) -> Mapping[str, object]:
    sku, after = call.query_key("sku"), call.query_key("after")
    behind = _place(call.query_value("behind"))
    async with call.store.reader() as connection:
        only = [] if sku is None else [sku]
        skus = await backorders.list_short_skus(connection, after=after, limit=PAGE_SIZE + 1, only=only)
        listed = MOST_WAITING if sku is None else 0
        waiting = await backorders.load_backorders(connection, skus[:PAGE_SIZE], listed=listed)
        lines: list[BackorderLine] = []
        if sku is not None and waiting:
            lines = await backorders.list_waiting_lines(connection, sku, after=behind, limit=LINES_OF_PAGE + 1)
            waiting[0].waiting = lines[:LINES_OF_PAGE]
        names = await products.find(connection, skus[:PAGE_SIZE])
    more = len(lines) > LINES_OF_PAGE
    return {
        "items": waiting,
        "names": {key: item.name for key, item in names.items()},
        "sku": sku or "",
        "following": skus[PAGE_SIZE - 1] if len(skus) > PAGE_SIZE else None,
        "is_later_page": after is not None,
        "more_lines": urlencode({"sku": sku, "behind": _address(lines[LINES_OF_PAGE - 1])}) if more else None,
        "are_later_lines": behind is not None,
    }


def _address(line: BackorderLine) -> str:
    rank, promised_by, placed_at, number, place = line.place
    return _BETWEEN.join((str(rank), promised_by.isoformat(), placed_at.isoformat(), str(place), number))


def _place(text: str | None) -> WaitingPlace | None:
    """Behind which line a page begins, from its address."""
    if text is None:
        return None
    try:
        rank, promised_by, placed_at, line, number = text.split(_BETWEEN, 4)
        moment = datetime.fromisoformat(placed_at).astimezone(UTC)
        numbers = (int(rank), int(line))
        if max(map(abs, numbers)) > LARGEST:
            raise ValueError(text)
        return numbers[0], date.fromisoformat(promised_by), moment, number, numbers[1]
    except (ValueError, OverflowError):
        raise ProblemError(400, "query", "This address names no page.", hint="Begin with the first page.") from None


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
        numbers = await backorders.list_orders_waiting_for_stock(connection, [sku], limit=MOST_ALLOCATED)
    served, gained = 0, ZERO
    for start in range(0, len(numbers), BATCH):  # each batch by itself, so that nobody waits long for its orders
        got = [
            item.gained
            for item in await call.orders.allocate(numbers[start : start + BATCH], actor=call.token.name)
            if item.gained > 0
        ]
        served, gained = served + len(got), gained + sum(got, ZERO)
        async with call.store.reader() as connection:
            left = await backorders.load_backorders(connection, [sku], listed=0)
        if not left or not left[0].to_allocate:
            break
    where = f"/desk/back-orders?sku={quote(sku, safe='')}" if form.get("from") == "one" else "/desk/back-orders"
    if not served:
        return Done(where=where, told=f"Nothing of {sku} could be allocated: no stock is left, or its orders are held.")
    entry = JournalEntry(
        entity="product", key=sku, action="allocated", detail={"orders": served}, actor=call.token.name
    )
    async with call.store.transaction() as uow:
        await journal.write(uow, [entry])
    return Done(where=where, told=f"{plural(served, 'order')} got {plain(gained)} of {sku}.")


PAGE = ConsolePage(
    path="/desk/back-orders", title="Back-orders", template="desk_backorders.html.j2", load=load_backorders
)
PAGES = (PAGE, ConsolePage(path="/desk/back-orders.csv", title="", template="", load=stream_backorders))
ACTIONS = (ConsoleAction(path="/desk/back-orders/allocate", act=allocate, page=PAGE),)
