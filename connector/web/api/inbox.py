"""The inbox: records of the org that could not be applied here, and wait for a person."""

from __future__ import annotations

from connector.api.parked_schemas import RecordsBody
from connector.api.serializers import serialize_parked
from connector.model.inbound_change import InboxState
from connector.model.role import Role
from connector.store import inbox
from connector.web import answers
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route

MAX_LISTED = 200


async def list_parked(call: RequestContext) -> ApiResponse:
    """List parked records, the oldest first, and count those that are still to be read and those beyond the list."""
    async with call.store.reader() as connection:
        items = await inbox.list_parked(connection, limit=MAX_LISTED)
        counts = await inbox.counts(connection)
    more = counts[InboxState.PARKED] - len(items)
    return ApiResponse(
        value={"parked": [serialize_parked(item) for item in items], "more": more, "due": counts[InboxState.DUE]}
    )


async def replay_parked(call: RequestContext, body: RecordsBody) -> ApiResponse:
    """Make parked records due again; the next poll, or the listener, reads and applies them."""
    chosen, actor = None if body.all else body.records, call.token.name
    replayed = await call.store.transact(lambda uow: inbox.replay(uow, chosen, actor=actor))
    return ApiResponse(value={"replayed": replayed})


ROUTES = (
    Route(method="GET", path="/inbox", result=answers.ParkedList, role=Role.VIEWER, handler=list_parked, by_org=True,
          summary="Records of the org that could not be applied, why, and what to do; the oldest first."),
    Route(method="POST", path="/inbox/replay", result=answers.ReplayedRecords,
          role=Role.OPS, handler=BodyHandler(RecordsBody, replay_parked),
          by_org=True,
          summary="Apply parked records again: those with these record IDs, or `all`."),
)  # fmt: skip
