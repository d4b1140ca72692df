"""Conflicts: fields that both sides changed to different values."""

from __future__ import annotations

from connector.api.serializers import serialize_conflict
from connector.model.conflict import ConflictState
from connector.model.role import Role
from connector.store import conflicts
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route

PAGE_SIZE = 200
MAX_DIGITS = 18


async def list_conflicts(call: RequestContext) -> ApiResponse:
    """List conflicts, the oldest first, one page per request."""
    state, after = call.query_value("state") or ConflictState.OPEN.value, call.query_value("after") or "0"
    if state not in set(ConflictState):
        hint = f"Use one of {', '.join(ConflictState)}."
        raise ProblemError(400, "query", f"state: invalid value {state!r}.", field="state", hint=hint)
    if not after.isdecimal() or len(after) > MAX_DIGITS:
        raise ProblemError(
            400, "query", f"after: invalid id {after!r}.", field="after", hint="Use the `after` of the previous page."
        )
    async with call.store.reader() as connection:
        page = await conflicts.list_page(connection, state=ConflictState(state), after=int(after), limit=PAGE_SIZE + 1)
    following = page[PAGE_SIZE - 1].id if len(page) > PAGE_SIZE else None
    return ApiResponse(value={"conflicts": [serialize_conflict(item) for item in page[:PAGE_SIZE]], "after": following})


async def get_conflict(call: RequestContext) -> ApiResponse:
    text = call.path_key("id")
    item = None
    if text.isdecimal() and len(text) <= MAX_DIGITS:
        async with call.store.reader() as connection:
            item = await conflicts.get(connection, int(text))
    if item is None:
        raise ProblemError(404, "unknown", f"There is no conflict {text}.", field="id")
    return ApiResponse(value=serialize_conflict(item))


ROUTES = (
    Route(
        method="GET",
        path="/conflicts",
        role=Role.VIEWER,
        summary="Fields that both sides changed to different values, page by page.",
        handler=list_conflicts,
        queries={
            "state": "only in this state; default: open",
            "after": "list only ids after this one",
        },
    ),
    Route(
        method="GET",
        path="/conflicts/{id}",
        role=Role.VIEWER,
        summary="One conflict: both values, and what both sides agreed on before.",
        handler=get_conflict,
    ),
)
