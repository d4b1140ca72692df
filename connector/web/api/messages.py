"""Messages to customers: list, preview, retry and discard them."""

from __future__ import annotations

from connector.api.schemas import MessagesBody
from connector.api.serializers import serialize_message
from connector.model.notification import MessageKind, MessageState, NotificationRequest
from connector.model.role import Role
from connector.notifications.composer import ComposedNotification
from connector.notifications.renderer import TemplateFaultError
from connector.store import notifications, orders
from connector.web import answers
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route, TextBody

PAGE_SIZE = 200
# Mail clients keep style attributes only, so they must be allowed here; nothing else is, and nothing is loaded.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; sandbox"


async def list_order_messages(call: RequestContext) -> ApiResponse:
    number = call.path_key("number")
    async with call.store.reader() as connection:
        if not await orders.load(connection, [number]):
            raise _unknown_order(number)
        messages = await notifications.list_page(connection, order=number)
    return ApiResponse(value={"messages": [serialize_message(item) for item in messages]})


async def list_messages(call: RequestContext) -> ApiResponse:
    """List notifications, the oldest first, one page per request."""
    state, after = call.query_choice("state", MessageState), call.query_value("after") or "0"
    if not after.isdecimal() or len(after) > 18:
        raise ProblemError(
            400, "query", f"after: invalid id {after!r}.", field="after", hint="Use the `after` of the previous page."
        )
    states = [state] if state else []
    async with call.store.reader() as connection:
        messages = await notifications.list_page(connection, states=states, after=int(after), limit=PAGE_SIZE + 1)
    following = messages[PAGE_SIZE - 1].id if len(messages) > PAGE_SIZE else None
    return ApiResponse(
        value={"messages": [serialize_message(item) for item in messages[:PAGE_SIZE]], "after": following}
    )


async def preview_message(call: RequestContext) -> ApiResponse:
    number, kind_name = call.path_key("number"), call.path_key("kind")
    if kind_name not in set(MessageKind):
        hint = f"Use one of {', '.join(MessageKind)}."
        raise ProblemError(404, "unknown", f"invalid kind {kind_name!r}.", field="kind", hint=hint)
    kind, reference = MessageKind(kind_name), call.query_key("reference")
    async with call.store.reader() as connection:
        latest = await call.composer.latest_request(connection, number, kind)
        if latest is None:
            raise _unknown_order(number)
        item = latest if reference is None else NotificationRequest(order=number, kind=kind, reference=reference)
        [subject] = await call.composer.compose_all(connection, [item], call.store.clock.now())
    if not isinstance(subject, ComposedNotification):
        raise ProblemError(404, "unknown", subject.why, field="kind")
    try:
        content = call.composer.renderer.render(subject.view)
    except TemplateFaultError as error:
        raise ProblemError(409, "template", f"A template cannot be rendered: {error}.", field="kind") from None
    return ApiResponse(value=TextBody(content.html, "text/html"), headers={"Content-Security-Policy": POLICY})


async def retry_messages(call: RequestContext, body: MessagesBody) -> ApiResponse:
    messages = await call.store.transact(lambda uow: notifications.retry(uow, body.ids, by=call.token.name))
    return _ids_response(body, "retried", [item.id for item in messages])


async def discard_messages(call: RequestContext, body: MessagesBody) -> ApiResponse:
    messages = await call.store.transact(lambda uow: notifications.discard(uow, body.ids, by=call.token.name))
    return _ids_response(body, "discarded", [item.id for item in messages])


def _ids_response(body: MessagesBody, name: str, ids: list[int]) -> ApiResponse:
    others = sorted(set(body.ids) - set(ids))
    return ApiResponse(value={name: ids, "left": others})


def _unknown_order(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no order {number}.", field="number")


ROUTES = (
    Route(
        method="GET",
        path="/orders/{number}/messages",
        result=answers.MESSAGES,
        role=Role.VIEWER,
        summary="Messages of an order: sent, due, and others.",
        handler=list_order_messages,
    ),
    Route(
        method="GET",
        path="/orders/{number}/messages/{kind}/preview",
        role=Role.VIEWER,
        summary="A message as it would be sent now.",
        handler=preview_message,
        queries={"reference": "which shipment, invoice, …, as in the list; default: the latest"},
        kind="text/html",
    ),
    Route(
        method="GET",
        path="/messages",
        result=answers.MESSAGE_PAGE,
        role=Role.VIEWER,
        summary="Messages of all orders, page by page.",
        handler=list_messages,
        choices={"state": MessageState},
        queries={"state": "only in this state", "after": "list only ids after this one"},
    ),
    Route(
        method="POST",
        path="/messages/retry",
        result=answers.RetriedMessages,
        role=Role.OPS,
        summary="Make messages due again that failed, expired, were skipped or discarded; `left` are the other ids.",
        handler=BodyHandler(MessagesBody, retry_messages),
    ),
    Route(
        method="POST",
        path="/messages/discard",
        result=answers.DiscardedMessages,
        role=Role.OPS,
        summary="Discard messages that were not sent; `left` are the other ids.",
        handler=BodyHandler(MessagesBody, discard_messages),
    ),
)
