"""The audit: what operators did, with tokens, jobs, resyncs, dead letters, conflicts, links and mappings."""

from __future__ import annotations

from dataclasses import dataclass

from connector.api.audit import AuditView, view_action
from connector.model.role import Role
from connector.store import journal
from connector.store.journal import AuditFilter
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import query_number
from connector.web.query_moment import query_moment
from connector.web.routing import ApiResponse, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPage:
    """Actions, the newest first; `before` of the next page, None on the last one."""

    actions: list[AuditView]
    before: int | None


async def list_actions(call: RequestContext) -> ApiResponse:
    """List what operators did, the newest first."""
    limit, before = limit_of(call), query_number(call, "before")
    chosen = AuditFilter(
        actor=call.query_key("actor"),
        action=call.query_key("action"),
        entity=call.query_key("entity"),
        key=call.query_key("key"),
        since=query_moment(call, "since"),
    )
    async with call.store.reader() as connection:
        found = await journal.list_actions(connection, chosen, before=before, limit=limit + 1)
    following = found[limit - 1].id if len(found) > limit else None
    return ApiResponse(value=AuditPage(actions=[view_action(item) for item in found[:limit]], before=following))


ROUTES = (
    Route(method="GET", path="/audit", role=Role.VIEWER, handler=list_actions, result=AuditPage,
          summary="What operators did, the newest first, page by page.",
          queries={"actor": "only by this token or user", "action": "only this action, such as replayed",
                   "entity": "only with this kind of thing: token, job, resync, mapping, order, …",
                   "key": "only with this key of it", "since": "only then or later",
                   "before": "list only smaller ids", "limit": f"page size, up to {MAX_LIMIT}"}),
)  # fmt: skip
