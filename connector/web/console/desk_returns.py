"""Returns that somebody has to work on: to approve, to receive, to inspect, to refund."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from connector.model.actions import Action
from connector.model.money import plain
from connector.model.order_return import OrderReturn, split_key
from connector.model.possible_actions import PossibleAction, list_possible_actions
from connector.model.shipments import OPEN_RETURNS, ReturnStatus
from connector.store import returns
from connector.web.console.desk import send_csv
from connector.web.console.frame import ConsolePage
from connector.web.console.order_actions import ActionLink, action_link, new_request
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

PAGE_SIZE = 40
COLUMNS = ("return", "order", "status", "reason", "resolution", "requested_on", "line", "sku", "requested", "received",
           "restocked", "written_off")  # fmt: skip
_AT_ONCE = frozenset({Action.APPROVE_RETURN, Action.RECEIVE_RETURN})


@dataclass(frozen=True, kw_only=True, slots=True)
class ReturnRow:
    """A return with what can be done with it: `at_once` by a button, the rest by a form."""

    item: OrderReturn
    links: Sequence[ActionLink]
    at_once: frozenset[Action] = _AT_ONCE


async def load_desk_returns(call: RequestContext) -> Mapping[str, object]:
    status, after = call.query_choice("status", ReturnStatus), _position(call.query_value("after"))
    async with call.store.reader() as connection:
        keys = await returns.list_open(connection, status=status, after=after, limit=PAGE_SIZE + 1)
        loaded = await returns.load(connection, keys[:PAGE_SIZE])
        counts = await returns.count_open(connection)
    kept = {"status": status.value} if status else {}
    return {
        "rows": [ReturnRow(item=item, links=_links(item)) for item in loaded],
        "counts": counts,
        "total": sum(counts.values()),
        "status": status,
        "statuses": OPEN_RETURNS,
        "query": urlencode(kept),
        "following": urlencode({**kept, "after": keys[PAGE_SIZE - 1]}) if len(keys) > PAGE_SIZE else None,
        "is_later_page": after is not None,
        "request_key": new_request(),
    }


def _links(item: OrderReturn) -> list[ActionLink]:
    found = [way for way in list_possible_actions(item.order.state) if _is_of(way, item.number)]
    return [action_link(item.order.number, way) for way in found]


def _is_of(way: PossibleAction, number: int) -> bool:
    """Whether the action is for this return. A refund is for the order: it is offered while the order owes one."""
    owes = way.action is Action.REFUND and way.amount is not None
    return way.return_number == number or owes


def _position(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    order, number = split_key(text)
    if not order:
        raise ProblemError(400, "query", "This address names no page.", hint="Begin with the first page.")
    return order, number


async def stream_returns(call: RequestContext) -> web.StreamResponse:
    """The lines of all open returns as CSV."""
    return await send_csv(call, "returns", COLUMNS, _csv_rows(call, call.query_choice("status", ReturnStatus)))


async def _csv_rows(call: RequestContext, status: ReturnStatus | None) -> AsyncGenerator[Sequence[object], None]:
    after: tuple[str, int] | None = None
    async with call.store.reader() as connection:
        while keys := await returns.list_open(connection, status=status, after=after, limit=200):
            for item in await returns.load(connection, keys):
                for line in item.lines:
                    numbers = (line.requested, line.received, line.restocked, line.written_off)
                    yield (
                        item.key, item.order.number, item.status.value, item.reason.value, item.resolution.value,
                        item.requested_on or "", line.number, line.line.product.sku, *map(plain, numbers),
                    )  # fmt: skip
            after = split_key(keys[-1])


PAGES = (
    ConsolePage(path="/desk/returns", title="Returns", template="desk_returns.html.j2", load=load_desk_returns),
    ConsolePage(path="/desk/returns.csv", title="", template="", load=stream_returns),
)
