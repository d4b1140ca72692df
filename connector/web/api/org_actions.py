"""What people asked of orders in the org, and what they were answered."""

from __future__ import annotations

from connector.api.serializers import serialize_action
from connector.model.action_request import ActionState
from connector.model.role import Role
from connector.store import order_actions
from connector.web import answers
from connector.web.routing import ApiResponse, RequestContext, Route


async def list_actions(call: RequestContext) -> ApiResponse:
    """List the latest 100 actions, newest first."""
    chosen = call.query_choice("state", ActionState)
    async with call.store.reader() as connection:
        actions = await order_actions.list_latest(connection, state=chosen)
    return ApiResponse(value={"actions": [serialize_action(item) for item in actions]})


ROUTES = (
    Route(method="GET", path="/actions", result=answers.ActionList, role=Role.VIEWER, handler=list_actions, by_org=True,
          summary="What people asked of orders in the org, and the answers; the latest 100, newest first.",
          choices={"state": ActionState}, queries={"state": "only in this state: accepted, refused or parked"}),
)  # fmt: skip
