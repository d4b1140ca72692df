"""Answers that concern the whole org, the kinds of calls that can meet them, and how the push stands then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete

from connector.errors import ConnectorError
from connector.jobs.resync import make_due
from connector.model.change import EntityKind
from connector.model.order import OrderInput
from connector.model.stage import Stage
from connector.store import outages, outbox_counts
from connector.store.outages import Outage
from connector.store.tables import org_catalog
from tests.flow.conftest import CUSTOMERS, Silent, World
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line
from tests.order_builders import changed

FEW = 6
"""Data calls of a push to an org that takes nothing: one that is tried four times, and one that asks."""

LITE = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
HTML = "<html><body>We are down for maintenance.</body></html>"


def html(status: int, **more: Any) -> dict[str, Any]:
    return {"status": status, "body": HTML, **more}


def said(status: int, code: str, message: str = "It says so.") -> dict[str, Any]:
    return {"status": status, "code": code, "message": message}


MOVED = {"location": "https://moved.my.salesforce.example"}
ANSWERS = {
    "301": {"status": 301, **MOVED},
    "302 to a page": html(302, **MOVED),
    "307": {"status": 307, **MOVED},
    "308": {"status": 308, **MOVED},
    "401": said(401, "INVALID_SESSION_ID"),
    "403 page": html(403),
    "403 forbidden": said(403, "FORBIDDEN"),
    "403 data code": said(403, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    "403 unknown": said(403, "NEVER_SEEN_BEFORE"),
    "API disabled for org": said(403, "API_DISABLED_FOR_ORG"),
    "API currently disabled": said(403, "API_CURRENTLY_DISABLED"),
    "transaction security": said(403, "TXN_SECURITY_METERING_ERROR"),
    "transaction security, 400": said(400, "TXN_SECURITY_NO_ACCESS"),
    "daily limit": said(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "storage": said(400, "STORAGE_LIMIT_EXCEEDED"),
    "org locked": said(500, "ORG_LOCKED"),
    "404": said(404, "NOT_FOUND", "The requested resource does not exist"),
    "404 page": html(404),
    "404 moved": said(404, "URL_NOT_RESET"),
    "410": said(410, "UNSUPPORTED_API_VERSION"),
    "410 page": html(410),
    "420": html(420),
    "429": html(429, retry_after=0),
    "500 page": html(500),
    "500 code": said(500, "UNKNOWN_EXCEPTION"),
    "502": html(502),
    "503": said(503, "SERVER_UNAVAILABLE"),
    "200 page": html(200),
    "200 empty": {"status": 200, "body": "", "content_type": "application/json"},
    "200 null": {"status": 200, "body": "null", "content_type": "application/json"},
    "200 other shape": {"status": 200, "body": '{"graphs": [7], "x": {}}', "content_type": "application/json"},
    "400 field": said(400, "INVALID_FIELD", "No such column 'X__c' on sobject of type Order"),
    "400 object": said(400, "INVALID_TYPE", "sObject type 'Order' is not supported."),
    "400 access": said(400, "INSUFFICIENT_ACCESS"),
    "400 unknown": said(400, "NEVER_SEEN_BEFORE"),
}


def some_new(turn: int = 0) -> list[OrderInput]:
    return [an_order(f"N-{4 * turn + number}", customer=f"C-{number}") for number in range(1, 5)]


NEW = some_new()
OLD = [an_order(f"A-{number}", customer=f"C-{number}", stage=Stage.CONFIRMED) for number in range(1, 5)]


async def new_orders(world: World, turn: int = 0) -> None:
    await world.save(some_new(turn))


async def changed_orders(world: World, turn: int = 0) -> None:
    await world.save([changed(order, notes=f"changed {turn}") for order in OLD])


async def changed_lines(world: World, turn: int = 0) -> None:
    await world.save([replace(order, lines=(a_line(1, "P-1"), a_line(3 + turn, "P-2"))) for order in OLD])


async def orders_to_look_at(world: World, _: int = 0) -> None:
    await make_due(world.service.store, EntityKind.ORDER, [order.number for order in OLD])


async def nothing_known_of_the_org(world: World, _: int = 0) -> None:
    await changed_orders(world)
    async with world.service.store.transaction() as uow:
        await uow.connection.execute(delete(org_catalog))


async def new_customers(world: World, turn: int = 0) -> None:
    await world.save(some_customers=[replace(item, number=f"X{turn}-{item.number}") for item in CUSTOMERS])


CALLS: dict[str, Callable[..., Awaitable[None]]] = {
    "graph": new_orders,
    "collections": changed_orders,
    "composite": changed_lines,
    "query": orders_to_look_at,
    "describe": nothing_known_of_the_org,
    "upsert": new_customers,
}
"""What makes a push begin with such a call. A world takes each of them again with another `turn`."""


async def due(world: World) -> int:
    async with world.service.store.reader() as connection:
        counts = await outbox_counts.counts(connection)
    return sum(sum(states.values()) for states in counts.values())


async def outage(world: World) -> Outage | None:
    async with world.service.store.reader() as connection:
        return await outages.get_current(connection)


async def push(world: World, *, scheduled: bool = False) -> str | None:
    """What stopped it."""
    try:
        summary = await world.service.push(Silent(), scheduled=scheduled)
    except ConnectorError as error:
        return str(error)
    return summary.stopped


def calls(world: World) -> int:
    return len(world.org.org.usage.log)
