"""The journey of an order, a customer, a product or a return: what was done with it, in both directions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from connector.api.journey import Journey, build_journey
from connector.model.change import EntityKind
from connector.model.role import Role
from connector.store.queries.journey import load_journey
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import query_number
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route


async def get_journey(call: RequestContext, *, kind: EntityKind, name: str) -> ApiResponse:
    """The steps of one entity, oldest first, page by page. Values of personal data are for operators only."""
    key, limit, after = call.path_key(name), limit_of(call), query_number(call, "after") or 0
    async with call.store.reader() as connection:
        sources = await load_journey(connection, kind, key)
    if not (sources.is_known or sources.entries):
        raise ProblemError(404, "unknown", f"There is no {kind} {key}.", field=name)
    with_personal = call.token.role.covers(Role.OPS)
    journey = build_journey(kind.value, key, sources, with_personal=with_personal, after=after, limit=limit)
    return ApiResponse(value=journey)


def _handler(kind: EntityKind, name: str) -> Callable[[RequestContext], Awaitable[ApiResponse]]:
    return partial(get_journey, kind=kind, name=name)


ROUTES = tuple(
    Route(
        method="GET",
        path=f"/{kind}s/{{{name}}}/journey",
        role=Role.VIEWER,
        summary=f"What was done with one {kind}, in both directions, step by step; personal data is for ops only.",
        handler=_handler(kind, name),
        queries={"after": "list only steps after this number", "limit": f"page size, up to {MAX_LIMIT}"},
        result=Journey,
    )
    for kind, name in (
        (EntityKind.ORDER, "number"),
        (EntityKind.CUSTOMER, "number"),
        (EntityKind.PRODUCT, "sku"),
        (EntityKind.RETURN, "key"),
    )
)
