"""The box that finds orders and customers: what has exactly this number opens at once; else a page lists what is like
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from connector.errors import ConnectorError
from connector.jobs.link import normalize_record_id
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.order_return import split_key
from connector.model.role import Role
from connector.store import customers, orgs, outbox
from connector.store.engine import Connection
from connector.store.queries.order_list import OrderFilter, list_latest_orders
from connector.store.queries.search import CUSTOMER, PRODUCT, RETURN, Hit, find_exact, find_record
from connector.store.queries.typed_text import list_customers_like, read_text
from connector.web.console.frame import ConsolePage
from connector.web.console.orders import load_rows
from connector.web.console.session import lead_to
from connector.web.routing import RequestContext

MOST_ORDERS = 10
MOST_CUSTOMERS = 20
LONGEST = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundPage:
    """What a hit leads to, and by what it was found: `invoice number`."""

    title: str
    address: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCustomer:
    """A customer of the list; `is_refused`: Salesforce refused it."""

    customer: Customer
    what: str
    is_refused: bool


async def load_search(call: RequestContext) -> Mapping[str, object] | web.StreamResponse:
    text = (call.query_value("q") or "").strip()[:LONGEST]
    if not text:
        return {"q": "", "pages": [], "rows": [], "more_orders": False, "customers": [], "more_customers": False}
    async with call.store.reader() as connection:
        org_ids = await orgs.list_active_ids(connection)
        hits = await find_exact(connection, text, with_contacts=call.token.role.covers(Role.OPS))
        if (record := _record_id(text)) is not None:
            hits += await find_record(connection, org_ids, record)
        pages = _pages(hits)
        if len({page.address for page in pages}) == 1:
            return lead_to(pages[0].address)
        like = await list_customers_like(connection, text, limit=MOST_CUSTOMERS + 1)
        chosen = OrderFilter(text=await read_text(connection, text))
        found = await list_latest_orders(connection, chosen, before=None, limit=MOST_ORDERS + 1)
        rows = await load_rows(connection, [number for number, _ in found[:MOST_ORDERS]], org_ids)
        own = {hit.key: hit.what for hit in hits if hit.entity == CUSTOMER}
        numbers = list(dict.fromkeys([*own, *like[:MOST_CUSTOMERS]]))
        listed = await _load_customers(connection, numbers, own)
    return {
        "q": text,
        "pages": [page for page in pages if not page.address.startswith("/customers/")],
        "rows": rows,
        "more_orders": len(found) > MOST_ORDERS,
        "customers": listed,
        "more_customers": len(like) > MOST_CUSTOMERS,
    }


async def _load_customers(
    connection: Connection, numbers: Sequence[str], own: Mapping[str, str]
) -> list[FoundCustomer]:
    unsent = await outbox.find(connection, EntityKind.CUSTOMER, numbers)
    return [
        FoundCustomer(
            customer=item,
            what=own.get(item.number, ""),
            is_refused=item.number in unsent and unsent[item.number].refusal is not None,
        )
        for item in await customers.load(connection, numbers)
    ]


def _record_id(text: str) -> str | None:
    try:
        return normalize_record_id(text)
    except ConnectorError:
        return None


def _pages(hits: Sequence[Hit]) -> list[FoundPage]:
    """Where the hits lead, each once."""
    found: dict[str, FoundPage] = {}
    for hit in hits:
        key = quote(hit.key, safe="")
        title, address = f"Order {hit.key}", f"/orders/{key}"
        if hit.entity == CUSTOMER:
            title, address = f"Customer {hit.key}", f"/customers/{key}"
        elif hit.entity == PRODUCT:
            title, address = f"Orders of product {hit.key}", f"/orders?sku={key}"
        elif hit.entity == RETURN:
            order, number = split_key(hit.key)
            title, address = f"Return {hit.key}", f"/orders/{quote(order, safe='')}#return-{number}"
        found.setdefault(address, FoundPage(title=title, address=address, what=hit.what))
    return list(found.values())


PAGE = ConsolePage(path="/search", title="Find", template="search.html.j2", load=load_search, follows=False)
