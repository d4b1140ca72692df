"""Alerts: what operators were told, and whether it is over."""

from __future__ import annotations

from dataclasses import dataclass

from connector.api.alerts import AlertView, view_alerts
from connector.model.role import Role
from connector.store import alerts
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import query_number
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route

STATES = {"open": True, "ended": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertPage:
    """Alerts, the newest first; `before` of the next page, None on the last one."""

    alerts: list[AlertView]
    before: int | None


async def list_alerts(call: RequestContext) -> ApiResponse:
    """List alerts, the newest first."""
    limit, before, state = limit_of(call), query_number(call, "before"), call.query_value("state")
    if state is not None and state not in STATES:
        raise ProblemError(400, "query", "state must be open or ended.", field="state", hint="Use open or ended.")
    is_open = None if state is None else STATES[state]
    async with call.store.reader() as connection:
        found = await alerts.list_page(connection, is_open=is_open, before=before, limit=limit + 1)
        messages = await alerts.list_messages(connection, [alert.id for alert in found[:limit]])
    following = found[limit - 1].id if len(found) > limit else None
    return ApiResponse(value=AlertPage(alerts=view_alerts(found[:limit], messages), before=following))


ROUTES = (
    Route(method="GET", path="/alerts", role=Role.VIEWER, handler=list_alerts, result=AlertPage,
          summary="What operators were told, and whether it is over; the newest first, page by page.",
          choices={"state": STATES},
          queries={"state": "only those that are open, or that ended", "before": "list only smaller ids",
                   "limit": f"page size, up to {MAX_LIMIT}"}),
)  # fmt: skip
