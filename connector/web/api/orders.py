"""Orders: placed once by number, read, moved by events, verified and allocated in groups."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from connector.api.schemas import CustomerBody, NumbersBody, OrderBody, order_of, request_bytes
from connector.api.serializers import serialize_event, serialize_order
from connector.api.transitions import TransitionBody, event_of
from connector.errors import CommandError
from connector.model.customer import Customer
from connector.model.order_state import Hold
from connector.model.role import Role
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.inventory.allocation import allocate
from connector.orders.policy.verification import verify
from connector.orders.service import execute
from connector.orders.transaction import OrderTransaction
from connector.store import customers, order_history, orders
from connector.store.queries.order_search import list_order_numbers
from connector.store.unit_of_work import UnitOfWork
from connector.web.pagination import QUERIES, page
from connector.web.preconditions import etag, request_of, version_of, was_replayed
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route

E = TypeVar("E", Stage, Hold)


async def place_order(call: RequestContext) -> ApiResponse:
    body = call.body
    item = order_of(body, call.store.clock.now())
    async with call.store.transaction() as uow:
        known = await orders.load(uow.connection, [item.number])
        if known and body.placed_at is None:  # the moment of the first time stands
            item = order_of(body, known[0].placed_at)
        if not known and not isinstance(body.customer, str):
            await _keep(uow, body.customer)
        transaction = OrderTransaction(uow, actor=call.token.name, rules=call.rules)
        await transaction.place([item], {item.number: request_bytes(body)})
        [order] = await orders.load(uow.connection, [item.number])
    headers = {"Location": f"/api/v1/orders/{quote(item.number, safe='')}", **etag(order.version)}
    return ApiResponse(
        value=serialize_order(order), status=201 if item.number in transaction.created else 200, headers=headers
    )


async def _keep(uow: UnitOfWork, told: CustomerBody) -> None:
    """What an order tells of its customer adds to what is known; how far a customer is trusted, it does not tell."""
    await customers.versions(uow.connection, [told.number], lock=True)
    known = await customers.load(uow.connection, [told.number])
    changes = told.model_dump(exclude_unset=True, exclude={"number", "tier", "credit_limit"} if known else {"number"})
    await customers.save(
        uow,
        [known[0].updated_from_order(**changes) if known else Customer.named_by_order(number=told.number, **changes)],
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
        async with call.store.transaction() as uow:
            transaction = OrderTransaction(uow, actor=call.token.name, rules=call.rules)
            await execute(transaction, command)
            [order] = await orders.load(uow.connection, [number])
    except CommandError as error:
        if error.rule == "version" and asked:
            raise ProblemError(412, "version", error.message, field="If-Match", hint=error.hint) from None
        raise
    again = (number, request) in transaction.repeated
    return ApiResponse(value=serialize_order(order), headers=etag(order.version) | was_replayed(again))


async def verify_orders(call: RequestContext) -> ApiResponse:
    return await _together(call, verify)


async def allocate_orders(call: RequestContext) -> ApiResponse:
    return await _together(call, allocate)


async def _together(call: RequestContext, what: Any) -> ApiResponse:
    async with call.store.transaction() as uow:
        await what(OrderTransaction(uow, actor=call.token.name, rules=call.rules), call.body.numbers)
        found = await orders.load(uow.connection, call.body.numbers)
    return ApiResponse(value={"orders": [serialize_order(order) for order in found]})


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
