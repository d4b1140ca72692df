"""Status: orders by stage, holds with their age, pending pushes and notifications, the latest reconciliation."""

from __future__ import annotations

from connector.api.serializers import serialize_hold, serialize_outage, serialize_reconciliation
from connector.model.role import Role
from connector.store import notifications, orders, orgs, outages, outbox, reconcile_runs
from connector.store.queries.holds import list_holds
from connector.web.routing import ApiResponse, RequestContext, Route


async def get_status(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        stages = await orders.counts(connection)
        unsent = await outbox.counts(connection)
        message_counts = await notifications.counts(connection)
        outage = await outages.get_current(connection)
        org = await orgs.get_active(connection)
        reconciled = None if org is None else await reconcile_runs.latest(connection, org.org_id)
    return ApiResponse(
        value={
            "orders": {stage.value: count for stage, count in stages.items()},
            "unsent": {kind.value: {state.word: n for state, n in states.items()} for kind, states in unsent.items()},
            "outage": None if outage is None else serialize_outage(outage),
            "reconciliation": None if reconciled is None else serialize_reconciliation(reconciled),
            "messages": {state.value: count for state, count in message_counts.items()},
        }
    )


async def get_holds(call: RequestContext) -> ApiResponse:
    """List orders on hold, the oldest hold first."""
    async with call.store.reader() as connection:
        holds = await list_holds(connection)
    return ApiResponse(value={"holds": [serialize_hold(hold) for hold in holds]})


ROUTES = (
    Route(method="GET", path="/status", role=Role.VIEWER, summary="Orders by stage, unsent changes, and messages.",
          handler=get_status),
    Route(method="GET", path="/holds", role=Role.VIEWER, summary="Orders on hold, the oldest hold first.",
          handler=get_holds),
)  # fmt: skip
