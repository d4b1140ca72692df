"""Orders: placed once by number, read, moved by events, verified and allocated in groups."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from connector.api.schemas import NumbersBody, OrderBody, order_of, request_bytes
from connector.api.serializers import serialize_event, serialize_order
from connector.api.transitions import TransitionBody, event_of
from connector.errors import CommandError
from connector.model.order_state import Hold
from connector.model.role import Role
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.placement import Placement
from connector.store import order_history, orders
from connector.store.queries.order_search import list_order_numbers
from connector.web.pagination import QUERIES, page
from connector.web.preconditions import etag, request_of, version_of, was_replayed
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route

E = TypeVar("E", Stage, Hold)


async def place_order(call: RequestContext) -> ApiResponse:
    body = call.body
    placement = _placement_of(body, call.store.clock.now())
    [placed] = await call.orders.place([placement], actor=call.token.name)
    order = placed.order
    headers = {"Location": f"/api/v1/orders/{quote(order.number, safe='')}", **etag(order.version)}
    return ApiResponse(value=serialize_order(order), status=200 if placed.replayed else 201, headers=headers)


def _placement_of(body: OrderBody, now: datetime) -> Placement:
    customer = None
    if not isinstance(body.customer, str):
        customer = body.customer.model_dump(exclude_unset=True, exclude={"number"})
    return Placement(
        order=order_of(body, now),
        content=request_bytes(body),
        moment_given=body.placed_at is not None,
        customer=customer,
    )


async def list_orders(call: RequestContext) -> ApiResponse:
    """By number, a page at a time."""
    stage, hold = _choice(call, "stage", Stage), _choice(call, "hold", Hold)
    customer, channel = call.key("customer"), call.asked("channel")
    async with call.store.reader() as connection:
        list_keys = partial(list_order_numbers, connection, stage=stage, hold=hold, customer=customer, channel=channel)
        numbers, following = await page(call, list_keys)
        found = await orders.load(connection, numbers)
    return ApiResponse(value={"orders": [serialize_order(order) for order in found], "after": following})


async def get_order(call: RequestContext) -> ApiResponse:
    number = call.at("number")
    async with call.store.reader() as connection:
        found = await orders.load(connection, [number])
    if not found:
        raise _unknown(number)
    return ApiResponse(value=serialize_order(found[0]), headers=etag(found[0].version))


async def get_order_history(call: RequestContext) -> ApiResponse:
    number = call.at("number")
    async with call.store.reader() as connection:
        if not await orders.load(connection, [number]):
            raise _unknown(number)
        entries = await order_history.read(connection, number)
    return ApiResponse(value={"number": number, "history": [serialize_event(entry) for entry in entries]})


async def transition_order(call: RequestContext) -> ApiResponse:
    number, asked = call.at("number"), call.request.headers.get("If-Match")
    request = request_of(call.request.headers)
    version = version_of(asked) if asked else call.body.root.version
    command = OrderCommand(number=number, event=event_of(call.body), version=version, request=request)
    try:
        executed = await call.orders.execute(command, actor=call.token.name)
    except CommandError as error:
        if error.rule == "version" and asked:
            raise ProblemError(412, "version", error.message, field="If-Match", hint=error.hint) from None
        raise
    order = executed.order
    return ApiResponse(value=serialize_order(order), headers=etag(order.version) | was_replayed(executed.replayed))


async def verify_orders(call: RequestContext) -> ApiResponse:
    orders_then = await call.orders.verify(call.body.numbers, actor=call.token.name)
    return ApiResponse(value={"orders": [serialize_order(order) for order in orders_then]})


async def allocate_orders(call: RequestContext) -> ApiResponse:
    allocated = await call.orders.allocate(call.body.numbers, actor=call.token.name)
    return ApiResponse(value={"orders": [serialize_order(item.order) for item in allocated]})


def _choice(call: RequestContext, name: str, among: type[E]) -> E | None:
    value = call.asked(name)
    if value is None:
        return None
    if value not in set(among):
        raise ProblemError(
            400, "query", f"{value!r} is no {name}.", field=name, hint=f"It is one of {', '.join(among)}."
        )
    return among(value)


def _unknown(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no order {number}.", field="number")


ROUTES = (
    Route(
        method="POST",
        path="/orders",
        role=Role.OPS,
        summary="Place an order; the same again changes nothing.",
        handler=place_order,
        body=OrderBody,
        statuses=(201, 200),
    ),
    Route(
        method="GET",
        path="/orders",
        role=Role.VIEWER,
        summary="Orders by number, a page at a time.",
        handler=list_orders,
        queries={
            "stage": "only in this stage",
            "hold": "only on hold for this reason",
            "customer": "only of this one",
            "channel": "only through this one",
            **QUERIES,
        },
    ),
    Route(method="GET", path="/orders/{number}", role=Role.VIEWER, summary="One order.", handler=get_order),
    Route(
        method="GET",
        path="/orders/{number}/history",
        role=Role.VIEWER,
        summary="What happened to an order.",
        handler=get_order_history,
    ),
    Route(
        method="POST",
        path="/orders/{number}/transitions",
        role=Role.OPS,
        summary="Ask something of an order; If-Match or `version` only if nobody else did meanwhile, once by"
        " Idempotency-Key.",
        handler=transition_order,
        body=TransitionBody,
        headers=("If-Match", "Idempotency-Key"),
    ),
    Route(
        method="POST",
        path="/verifications",
        role=Role.OPS,
        summary="Verify orders by the rules.",
        handler=verify_orders,
        body=NumbersBody,
    ),
    Route(
        method="POST",
        path="/allocations",
        role=Role.OPS,
        summary="Reserve stock, the most urgent order first.",
        handler=allocate_orders,
        body=NumbersBody,
    ),
)
