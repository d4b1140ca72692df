"""Orders: placed once by number, read, moved by events, verified and allocated in groups."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sqlalchemy import select

from connector.errors import CommandError
from connector.model.customer import Customer
from connector.model.progress import Hold
from connector.model.role import Role
from connector.model.stage import Stage
from connector.orders.allocation import allocate
from connector.orders.asking import ask
from connector.orders.command import Command
from connector.orders.desk import Desk
from connector.orders.verification import verify
from connector.store import customers, history, orders
from connector.store.tables import holds
from connector.store.tables import orders as table
from connector.store.unit import UnitOfWork
from connector.web.answers import event_said, order_said
from connector.web.bodies import CustomerBody, NumbersBody, OrderBody, order_of, said_by
from connector.web.conditions import etag, replayed, request_of, version_of
from connector.web.paging import QUERIES, page
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Route
from connector.web.transitions import TransitionBody, event_of


async def place(call: Call) -> Answer:
    body = call.body
    item = order_of(body, call.store.clock.now())
    async with call.store.transaction() as uow:
        known = await orders.load(uow.connection, [item.number])
        if known and body.placed_at is None:  # the moment of the first time stands
            item = order_of(body, known[0].placed_at)
        if not known and not isinstance(body.customer, str):
            await _keep(uow, body.customer)
        desk = Desk(uow, actor=call.token.name, rules=call.rules)
        await desk.place([item], {item.number: said_by(body)})
        [order] = await orders.load(uow.connection, [item.number])
    headers = {"Location": f"/api/v1/orders/{quote(item.number, safe='')}", **etag(order.version)}
    return Answer(value=order_said(order), status=201 if item.number in desk.created else 200, headers=headers)


async def _keep(uow: UnitOfWork, told: CustomerBody) -> None:
    """What an order tells of its customer adds to what is known; how far a customer is trusted, it does not tell."""
    await customers.versions(uow.connection, [told.number], lock=True)
    known = await customers.load(uow.connection, [told.number])
    changes = told.model_dump(exclude_unset=True, exclude={"number", "tier", "credit_limit"} if known else {"number"})
    await customers.save(uow, [known[0].told(**changes) if known else Customer.called(number=told.number, **changes)])


async def every(call: Call) -> Answer:
    """By number, a page at a time."""
    statement = select(table.c.number)
    if stage := _choice(call, "stage", Stage):
        statement = statement.where(table.c.stage == stage)
    if hold := _choice(call, "hold", Hold):
        statement = statement.where(table.c.number.in_(select(holds.c.order_number).where(holds.c.reason == hold)))
    if customer := call.key("customer"):
        statement = statement.where(table.c.customer == customer)
    if channel := call.asked("channel"):
        statement = statement.where(table.c.channel == channel)
    async with call.store.reader() as connection:
        numbers, following = await page(call, connection, statement, table.c.number)
        found = await orders.load(connection, numbers)
    return Answer(value={"orders": [order_said(order) for order in found], "after": following})


async def one(call: Call) -> Answer:
    number = call.at("number")
    async with call.store.reader() as connection:
        found = await orders.load(connection, [number])
    if not found:
        raise _unknown(number)
    return Answer(value=order_said(found[0]), headers=etag(found[0].version))


async def story(call: Call) -> Answer:
    number = call.at("number")
    async with call.store.reader() as connection:
        if not await orders.load(connection, [number]):
            raise _unknown(number)
        entries = await history.read(connection, number)
    return Answer(value={"number": number, "history": [event_said(entry) for entry in entries]})


async def move(call: Call) -> Answer:
    number, asked = call.at("number"), call.request.headers.get("If-Match")
    request = request_of(call.request.headers)
    version = version_of(asked) if asked else call.body.root.version
    command = Command(number=number, event=event_of(call.body), version=version, request=request)
    try:
        async with call.store.transaction() as uow:
            desk = Desk(uow, actor=call.token.name, rules=call.rules)
            await ask(desk, command)
            [order] = await orders.load(uow.connection, [number])
    except CommandError as error:
        if error.rule == "version" and asked:
            raise ProblemError(412, "version", error.message, field="If-Match", hint=error.hint) from None
        raise
    again = (number, request) in desk.repeated
    return Answer(value=order_said(order), headers=etag(order.version) | replayed(again))


async def verify_all(call: Call) -> Answer:
    return await _together(call, verify)


async def allocate_all(call: Call) -> Answer:
    return await _together(call, allocate)


async def _together(call: Call, what: Any) -> Answer:
    async with call.store.transaction() as uow:
        await what(Desk(uow, actor=call.token.name, rules=call.rules), call.body.numbers)
        found = await orders.load(uow.connection, call.body.numbers)
    return Answer(value={"orders": [order_said(order) for order in found]})


def _choice(call: Call, name: str, among: type[Stage] | type[Hold]) -> str | None:
    value = call.asked(name)
    if value is not None and value not in set(among):
        raise ProblemError(
            400, "query", f"{value!r} is no {name}.", field=name, hint=f"It is one of {', '.join(among)}."
        )
    return value


def _unknown(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no order {number}.", field="number")


ROUTES = (
    Route(method="POST", path="/orders", role=Role.OPS, summary="Place an order; the same again changes nothing.",
          handler=place, body=OrderBody, statuses=(201, 200)),
    Route(method="GET", path="/orders", role=Role.VIEWER, summary="Orders by number, a page at a time.", handler=every,
          queries={"stage": "only in this stage", "hold": "only on hold for this reason",
                   "customer": "only of this one", "channel": "only through this one",
                   **QUERIES}),
    Route(method="GET", path="/orders/{number}", role=Role.VIEWER, summary="One order.", handler=one),
    Route(method="GET", path="/orders/{number}/history", role=Role.VIEWER, summary="What happened to an order.",
          handler=story),
    Route(method="POST", path="/orders/{number}/transitions", role=Role.OPS,
          summary="Ask something of an order; If-Match or `version` only if nobody else did meanwhile, once by"
          " Idempotency-Key.", handler=move, body=TransitionBody, headers=("If-Match", "Idempotency-Key")),
    Route(method="POST", path="/verifications", role=Role.OPS, summary="Verify orders by the rules.",
          handler=verify_all, body=NumbersBody),
    Route(method="POST", path="/allocations", role=Role.OPS, summary="Reserve stock, the most urgent order first.",
          handler=allocate_all, body=NumbersBody),
)  # fmt: skip
