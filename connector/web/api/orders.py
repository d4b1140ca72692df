"""Orders: place, read and transition them; verify and allocate several at once."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from urllib.parse import quote

from connector.api.schemas import NumbersBody, OrderBody
from connector.api.serializers import serialize_action, serialize_event, serialize_order
from connector.api.transitions import TransitionBody
from connector.model.holds import Hold
from connector.model.role import Role
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.placement import Placement
from connector.store import order_actions, order_history, orders
from connector.store.queries.order_search import list_order_numbers
from connector.store.references import UnknownReferenceError
from connector.web import answers
from connector.web.pagination import QUERIES, load_page
from connector.web.preconditions import checked_version, etag, idempotency_key_of, replayed_header, version_of
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


async def place_order(call: RequestContext, body: OrderBody) -> ApiResponse:
    placement = _placement_of(body, call.store.clock.now())
    try:
        [result] = await call.orders.place([placement], actor=call.token.name)
    except UnknownReferenceError as error:
        raise _unknown_reference(error, body) from None
    order = result.order
    headers = {"Location": f"/api/v1/orders/{quote(order.number, safe='')}", **etag(order.version)}
    return ApiResponse(value=serialize_order(order), status=200 if result.replayed else 201, headers=headers)


def _unknown_reference(error: UnknownReferenceError, body: OrderBody) -> ProblemError:
    """The problem of an order whose customer or product is unknown, with the field of the body."""
    if error.customers:
        [number] = error.customers
        path = f"/api/v1/customers/{quote(number, safe='')}"
        hint = f"Create it with PUT {path}, send it as an object, or correct the number."
        return ProblemError(422, "reference", f"There is no customer {number}.", field="customer", hint=hint)
    sku = error.skus[0]
    index = next((index for index, line in enumerate(body.lines) if line.sku == sku), 0)
    hint = f"Create it with PUT /api/v1/products/{quote(sku, safe='')}, or correct the SKU."
    return ProblemError(422, "reference", f"There is no product {sku}.", field=f"lines.{index}.sku", hint=hint)


def _placement_of(body: OrderBody, now: datetime) -> Placement:
    return Placement(
        order=body.order(now),
        content=body.content(),
        moment_given=body.names_moment,
        customer=body.customer_values,
    )


async def list_orders(call: RequestContext) -> ApiResponse:
    """List orders by number, one page per request."""
    stage, hold = call.query_choice("stage", Stage), call.query_choice("hold", Hold)
    customer, channel = call.query_key("customer"), call.query_value("channel")
    async with call.store.reader() as connection:
        list_keys = partial(list_order_numbers, connection, stage=stage, hold=hold, customer=customer, channel=channel)
        numbers, following = await load_page(call, list_keys)
        page_orders = await orders.load(connection, numbers)
    return ApiResponse(value={"orders": [serialize_order(order) for order in page_orders], "after": following})


async def get_order(call: RequestContext) -> ApiResponse:
    number = call.path_key("number")
    async with call.store.reader() as connection:
        loaded = await orders.load(connection, [number])
    if not loaded:
        raise _unknown_order(number)
    return ApiResponse(value=serialize_order(loaded[0]), headers=etag(loaded[0].version))


async def get_order_history(call: RequestContext) -> ApiResponse:
    number = call.path_key("number")
    async with call.store.reader() as connection:
        if not await orders.load(connection, [number]):
            raise _unknown_order(number)
        entries = await order_history.read(connection, number)
    return ApiResponse(value={"number": number, "history": [serialize_event(entry) for entry in entries]})


async def list_actions(call: RequestContext) -> ApiResponse:
    """What people asked of the order in the org, and what they were answered; the latest 100, newest first."""
    number = call.path_key("number")
    async with call.store.reader() as connection:
        if not await orders.load(connection, [number]):
            raise _unknown_order(number)
        actions = await order_actions.list_latest(connection, order=number)
    return ApiResponse(value={"number": number, "actions": [serialize_action(item) for item in actions]})


async def transition_order(call: RequestContext, body: TransitionBody) -> ApiResponse:
    number, if_match = call.path_key("number"), call.request.headers.get("If-Match")
    request = idempotency_key_of(call.request.headers)
    asked = body.root
    version = version_of(if_match) if if_match else asked.version
    command = OrderCommand(number=number, event=asked.event, version=version, request=request)
    with checked_version(if_match):
        executed = await call.orders.execute(command, actor=call.token.name)
    order = executed.order
    return ApiResponse(value=serialize_order(order), headers=etag(order.version) | replayed_header(executed.replayed))


async def verify_orders(call: RequestContext, body: NumbersBody) -> ApiResponse:
    verified = await call.orders.verify(body.numbers, actor=call.token.name)
    return ApiResponse(value={"orders": [serialize_order(order) for order in verified]})


async def allocate_orders(call: RequestContext, body: NumbersBody) -> ApiResponse:
    allocated = await call.orders.allocate(body.numbers, actor=call.token.name)
    return ApiResponse(value={"orders": [serialize_order(item.order) for item in allocated]})


def _unknown_order(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no order {number}.", field="number")


ROUTES = (
    Route(
        method="POST",
        path="/orders",
        result=answers.ORDER,
        role=Role.OPS,
        summary="Place an order; a repeated request changes nothing.",
        handler=BodyHandler(OrderBody, place_order),
        statuses=(201, 200),
    ),
    Route(
        method="GET",
        path="/orders",
        result=answers.ORDER_PAGE,
        role=Role.VIEWER,
        summary="Orders by number, page by page.",
        handler=list_orders,
        choices={"stage": Stage, "hold": Hold},
        queries={
            "stage": "only in this stage",
            "hold": "only on hold for this reason",
            "customer": "only of this customer",
            "channel": "only of this channel",
            **QUERIES,
        },
    ),
    Route(
        method="GET",
        path="/orders/{number}",
        result=answers.ORDER,
        role=Role.VIEWER,
        summary="One order.",
        handler=get_order,
    ),
    Route(
        method="GET",
        path="/orders/{number}/history",
        result=answers.OrderHistory,
        role=Role.VIEWER,
        summary="The history of an order.",
        handler=get_order_history,
    ),
    Route(
        method="GET",
        path="/orders/{number}/actions",
        result=answers.OrderActions,
        role=Role.VIEWER,
        summary="What people asked of an order in the org, and the answers; the latest 100, newest first.",
        handler=list_actions,
    ),
    Route(
        method="POST",
        path="/orders/{number}/transitions",
        result=answers.ORDER,
        role=Role.OPS,
        summary="Execute a transition: with If-Match or `version` only if the order is unchanged, with Idempotency-Key"
        " only once.",
        handler=BodyHandler(TransitionBody, transition_order),
        headers=("If-Match", "Idempotency-Key"),
    ),
    Route(
        method="POST",
        path="/verifications",
        result=answers.ORDERS,
        role=Role.OPS,
        summary="Verify orders by the rules.",
        handler=BodyHandler(NumbersBody, verify_orders),
    ),
    Route(
        method="POST",
        path="/allocations",
        result=answers.ORDERS,
        role=Role.OPS,
        summary="Allocate stock to orders, the most urgent one first.",
        handler=BodyHandler(NumbersBody, allocate_orders),
    ),
)
