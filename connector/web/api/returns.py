"""Returns: asked for, and taken through approval, receipt and inspection."""

from __future__ import annotations

from dataclasses import replace

from connector.errors import CommandError
from connector.model.event import Action, Event
from connector.model.order_return import return_key, split_key
from connector.model.role import Role
from connector.orders.desk import Command, Desk
from connector.store import returns
from connector.web.answers import return_said
from connector.web.bodies import ReturnBody, TransitionBody, event_of
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Route

OF_RETURNS = frozenset(action for action in Action if action.endswith("_return") and action != Action.REQUEST_RETURN)


async def ask(call: Call) -> Answer:
    body = call.body
    event = Event(
        action=Action.REQUEST_RETURN,
        lines=body.lines,
        reason=body.reason,
        resolution=body.resolution,
        note=body.note,
    )
    async with call.store.transaction() as uow:
        desk = Desk(uow, actor=call.token.name, rules=call.rules)
        [progress] = await desk.act([Command(number=body.order, event=event)])
        key = return_key(body.order, max(progress.returns))
        [item] = await returns.load(uow.connection, [key])
    return Answer(value=return_said(item), status=201, headers={"Location": f"/api/v1/returns/{key}"})


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
    if event.action not in OF_RETURNS:
        hint = f"It is one of {', '.join(sorted(OF_RETURNS))}."
        raise CommandError(f"{event.action} is nothing to do with a return.", hint=hint, field="action", rule="input")
    async with call.store.transaction() as uow:
        if not await returns.load(uow.connection, [key]):
            raise _unknown(key)
        desk = Desk(uow, actor=call.token.name, rules=call.rules)
        await desk.act([Command(number=number, event=replace(event, return_number=index), version=call.body.version)])
        [item] = await returns.load(uow.connection, [key])
    return Answer(value=return_said(item))


def _unknown(key: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no return {key}.", field="key")


ROUTES = (
    Route(method="POST", path="/returns", role=Role.OPS, summary="Ask for goods to come back.", handler=ask,
          body=ReturnBody, statuses=(201,)),
    Route(method="GET", path="/returns/{key}", role=Role.VIEWER, summary="One return.", handler=one),
    Route(method="POST", path="/returns/{key}/transitions", role=Role.OPS,
          summary="Approve, reject, label, receive, inspect or close a return.", handler=move, body=TransitionBody),
)  # fmt: skip
