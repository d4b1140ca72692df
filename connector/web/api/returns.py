"""Returns: asked for, and taken through approval, receipt and inspection."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import CommandError
from connector.model.event import Action, Event
from connector.model.order_return import return_key, split_key
from connector.model.role import Role
from connector.orders.command import Command
from connector.orders.desk import Desk
from connector.store import history, returns
from connector.web.answers import return_said
from connector.web.bodies import ReturnBody
from connector.web.conditions import replayed, request_of
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Route
from connector.web.transitions import ReturnTransitionBody, event_of


async def ask(call: Call) -> Answer:
    body = call.body
    event = Event(
        action=Action.REQUEST_RETURN,
        lines=body.lines,
        reason=body.reason,
        resolution=body.resolution,
        note=body.note,
    )
    request = request_of(call.request.headers)
    async with call.store.transaction() as uow:
        desk = Desk(uow, actor=call.token.name, rules=call.rules)
        [progress] = await desk.act([Command(number=body.order, event=event, request=request)])
        again = (body.order, request) in desk.repeated
        index = await _made_by(uow.connection, body.order, request) if again else max(progress.returns)
        key = return_key(body.order, index)
        [item] = await returns.load(uow.connection, [key])
    headers = {"Location": f"/api/v1/returns/{quote(key, safe='')}", **replayed(again)}
    return Answer(value=return_said(item), status=200 if again else 201, headers=headers)


async def _made_by(connection: AsyncConnection, number: str, request: str | None) -> int:
    """Which return of the order this request asked for: they are numbered as they were asked for."""
    asked = [entry for entry in await history.read(connection, number) if entry.event.action is Action.REQUEST_RETURN]
    return 1 + next(index for index, entry in enumerate(asked) if entry.request and entry.request.key == request)


async def one(call: Call) -> Answer:
    key = call.at("key")
    async with call.store.reader() as connection:
        found = await returns.load(connection, [key])
    if not found:
        raise _unknown(key)
    return Answer(value=return_said(found[0]))


async def move(call: Call) -> Answer:
    key = call.at("key")
    number, index = split_key(key)
    event = event_of(call.body)
    if event.return_number not in {None, index}:
        said = f"return_number: the path says {index}, the body {event.return_number}."
        raise CommandError(said, field="return_number", rule="input")
    request = request_of(call.request.headers)
    event = replace(event, return_number=index)
    async with call.store.transaction() as uow:
        if not await returns.load(uow.connection, [key]):
            raise _unknown(key)
        desk = Desk(uow, actor=call.token.name, rules=call.rules)
        await desk.act([Command(number=number, event=event, version=call.body.root.version, request=request)])
        [item] = await returns.load(uow.connection, [key])
    return Answer(value=return_said(item), headers=replayed((number, request) in desk.repeated))


def _unknown(key: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no return {key}.", field="key")


ROUTES = (
    Route(method="POST", path="/returns", role=Role.OPS, summary="Ask for goods to come back.", handler=ask,
          body=ReturnBody, statuses=(201, 200), headers=("Idempotency-Key",)),
    Route(method="GET", path="/returns/{key}", role=Role.VIEWER, summary="One return.", handler=one),
    Route(method="POST", path="/returns/{key}/transitions", role=Role.OPS,
          summary="Approve, reject, label, receive, inspect or close a return.", handler=move,
          body=ReturnTransitionBody, headers=("Idempotency-Key",)),
)  # fmt: skip
