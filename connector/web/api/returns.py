"""Returns: request, read, and transition them through approval, receipt and inspection."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from connector.api.schemas import ReturnBody
from connector.api.serializers import serialize_return
from connector.api.transitions import ReturnTransitionBody
from connector.errors import CommandError
from connector.model.actions import Action
from connector.model.events import RequestReturn
from connector.model.order_return import build_order_return, return_key, split_key
from connector.model.role import Role
from connector.orders.command import OrderCommand
from connector.store import order_history, returns
from connector.store.engine import Store
from connector.web import answers
from connector.web.preconditions import idempotency_key_of, replayed_header
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


async def request_return(call: RequestContext, body: ReturnBody) -> ApiResponse:
    event = RequestReturn(
        lines=body.lines,
        reason=body.reason,
        resolution=body.resolution,
        note=body.note,
    )
    request = idempotency_key_of(call.request.headers)
    command = OrderCommand(number=body.order, event=event, request=request)
    executed = await call.orders.execute(command, actor=call.token.name)
    order = executed.order
    index = await _return_of_request(call.store, body.order, request) if executed.replayed else max(order.state.returns)
    key = return_key(body.order, index)
    headers = {"Location": f"/api/v1/returns/{quote(key, safe='')}", **replayed_header(executed.replayed)}
    value = serialize_return(build_order_return(order, order.state.returns[index]))
    return ApiResponse(value=value, status=200 if executed.replayed else 201, headers=headers)


async def _return_of_request(store: Store, number: str, request: str | None) -> int:
    """Return the number of the return that this request created; returns are numbered in the order of requests."""
    async with store.reader() as connection:
        entries = await order_history.read(connection, number)
    requested = [entry for entry in entries if entry.event.action is Action.REQUEST_RETURN]
    return 1 + next(index for index, entry in enumerate(requested) if entry.request and entry.request.key == request)


async def get_return(call: RequestContext) -> ApiResponse:
    key = call.path_key("key")
    async with call.store.reader() as connection:
        loaded = await returns.load(connection, [key])
    if not loaded:
        raise _unknown_return(key)
    return ApiResponse(value=serialize_return(loaded[0]))


async def transition_return(call: RequestContext, body: ReturnTransitionBody) -> ApiResponse:
    key = call.path_key("key")
    number, index = split_key(key)
    event = body.root.event
    if event.return_number not in {None, index}:
        text = f"return_number: the path says {index}, the body {event.return_number}."
        raise CommandError(text, field="return_number", rule="input")
    request = idempotency_key_of(call.request.headers)
    async with call.store.reader() as connection:
        if not await returns.load(connection, [key]):
            raise _unknown_return(key)
    command = OrderCommand(
        number=number, event=replace(event, return_number=index), version=body.root.version, request=request
    )
    executed = await call.orders.execute(command, actor=call.token.name)
    value = serialize_return(build_order_return(executed.order, executed.order.state.returns[index]))
    return ApiResponse(value=value, headers=replayed_header(executed.replayed))


def _unknown_return(key: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no return {key}.", field="key")


ROUTES = (
    Route(method="POST", path="/returns", result=answers.ReturnAnswer, role=Role.OPS, summary="Request a return.",
          handler=BodyHandler(ReturnBody, request_return), statuses=(201, 200), headers=("Idempotency-Key",)),
    Route(method="GET", path="/returns/{key}", result=answers.ReturnAnswer,
          role=Role.VIEWER, summary="One return.", handler=get_return),
    Route(method="POST", path="/returns/{key}/transitions", result=answers.ReturnAnswer, role=Role.OPS,
          summary="Approve, reject, label, receive, inspect or close a return.",
          handler=BodyHandler(ReturnTransitionBody, transition_return), headers=("Idempotency-Key",)),
)  # fmt: skip
