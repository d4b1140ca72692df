"""Returns: asked for, and taken through approval, receipt and inspection."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from connector.api.schemas import ReturnBody
from connector.api.serializers import serialize_return
from connector.api.transitions import ReturnTransitionBody, event_of
from connector.errors import CommandError
from connector.model.events import Action, Event
from connector.model.order_return import return_key, split_key
from connector.model.role import Role
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import order_history, returns
from connector.store.engine import Connection
from connector.web.preconditions import request_of, was_replayed
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route


async def request_return(call: RequestContext) -> ApiResponse:
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
        transaction = OrderTransaction(uow, actor=call.token.name, rules=call.rules)
        [progress] = await transaction.execute_all([OrderCommand(number=body.order, event=event, request=request)])
        again = (body.order, request) in transaction.repeated
        index = await _made_by(uow.connection, body.order, request) if again else max(progress.returns)
        key = return_key(body.order, index)
        [item] = await returns.load(uow.connection, [key])
    headers = {"Location": f"/api/v1/returns/{quote(key, safe='')}", **was_replayed(again)}
    return ApiResponse(value=serialize_return(item), status=200 if again else 201, headers=headers)


async def _made_by(connection: Connection, number: str, request: str | None) -> int:
    """Which return of the order this request asked for: they are numbered as they were asked for."""
    asked = [
        entry for entry in await order_history.read(connection, number) if entry.event.action is Action.REQUEST_RETURN
    ]
    return 1 + next(index for index, entry in enumerate(asked) if entry.request and entry.request.key == request)


async def get_return(call: RequestContext) -> ApiResponse:
    key = call.at("key")
    async with call.store.reader() as connection:
        found = await returns.load(connection, [key])
    if not found:
        raise _unknown(key)
    return ApiResponse(value=serialize_return(found[0]))


async def transition_return(call: RequestContext) -> ApiResponse:
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
        transaction = OrderTransaction(uow, actor=call.token.name, rules=call.rules)
        await transaction.execute_all(
            [OrderCommand(number=number, event=event, version=call.body.root.version, request=request)]
        )
        [item] = await returns.load(uow.connection, [key])
    return ApiResponse(value=serialize_return(item), headers=was_replayed((number, request) in transaction.repeated))


def _unknown(key: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no return {key}.", field="key")


ROUTES = (
    Route(method="POST", path="/returns", role=Role.OPS, summary="Ask for goods to come back.", handler=request_return,
          body=ReturnBody, statuses=(201, 200), headers=("Idempotency-Key",)),
    Route(method="GET", path="/returns/{key}", role=Role.VIEWER, summary="One return.", handler=get_return),
    Route(method="POST", path="/returns/{key}/transitions", role=Role.OPS,
          summary="Approve, reject, label, receive, inspect or close a return.", handler=transition_return,
          body=ReturnTransitionBody, headers=("Idempotency-Key",)),
)  # fmt: skip
