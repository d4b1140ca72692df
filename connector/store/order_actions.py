"""The actions that were received from the org, each by the ID of its event, so that one that comes again does nothing.

An action is stored in the transaction of its effect. It is kept for longer than the org can deliver its event again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.action_request import ActionRequest, ActionState, ReceivedAction
from connector.store.event_tables import order_actions
from connector.store.orgs import is_of_scope
from connector.store.sql import select_in
from connector.store.unit_of_work import UnitOfWork

_ROW = order_actions.c


async def list_known(connection: AsyncConnection, org_id: str, event_ids: Collection[str]) -> set[str]:
    """Those of these events that were handled."""
    statement = select(_ROW.event_id).where(_ROW.org_id == org_id)
    return {row.event_id for row in await select_in(connection, statement, _ROW.event_id, sorted(event_ids))}


async def put(uow: UnitOfWork, org_id: str, request: ActionRequest, state: ActionState, message: str) -> None:
    """Store what became of an action."""
    row = {
        "org_id": org_id,
        "event_id": request.event_id,
        "received_at": uow.now,
        "published_at": request.published_at,
        "state": state.value,
        "order_number": request.order,
        "action": request.action,
        "reason": request.reason,
        "requested_by": request.requested_by,
        "service_level": request.service_level,
        "request_id": request.request_id,
        "user_id": request.user_id,
        "message": message,
    }
    await uow.connection.execute(insert(order_actions), [row])


async def counts(connection: AsyncConnection) -> dict[ActionState, int]:
    """Actions by state, every state named."""
    rows = await connection.execute(_of_scope(connection, select(_ROW.state, func.count())).group_by(_ROW.state))
    numbers: dict[str, int] = dict(rows.all())
    return {state: numbers.get(state.value, 0) for state in ActionState}


async def list_latest(
    connection: AsyncConnection, *, order: str | None = None, state: ActionState | None = None, limit: int = 100
) -> list[ReceivedAction]:
    """The latest actions, newest first: all, or those of an order or in a state."""
    statement = (
        _of_scope(connection, select(order_actions)).order_by(_ROW.received_at.desc(), _ROW.event_id).limit(limit)
    )
    if order is not None:
        statement = statement.where(_ROW.order_number == order)
    if state is not None:
        statement = statement.where(_ROW.state == state.value)
    return [
        ReceivedAction(
            request=ActionRequest(
                event_id=row.event_id,
                order=row.order_number,
                action=row.action,
                reason=row.reason,
                requested_by=row.requested_by,
                service_level=row.service_level,
                request_id=row.request_id,
                user_id=row.user_id,
                published_at=row.published_at,
            ),
            state=ActionState(row.state),
            message=row.message,
            received_at=row.received_at,
        )
        for row in await connection.execute(statement)
    ]


def _of_scope(connection: AsyncConnection, statement: Select[Any]) -> Select[Any]:
    return statement.where(is_of_scope(connection, _ROW.org_id))
