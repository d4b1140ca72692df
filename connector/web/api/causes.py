"""Causes of dead letters as people work on them: assign, note, snooze; and those that are closed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.api.parked_schemas import CauseBody
from connector.jobs.triage import CauseWork, work_on_cause
from connector.model.cause import Cause
from connector.model.outcome import RowError
from connector.model.role import Role
from connector.salesforce.fault import classify_row
from connector.store import causes, dead_letters
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import query_number
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class CauseView:
    """A cause: what was refused, since when, whose it was; and how it was closed, if it is. `most`: how many dead
    letters it had at most. `closed_how`: replayed, discarded or corrected by `closed_by`, or by_itself. The note is for
    ops and admin."""

    id: int
    group: str
    entity: str
    code: str
    field: str | None
    source: str | None
    explanation: str
    most: int
    opened_at: datetime
    assignee: str | None
    note: str | None
    closed_at: datetime | None
    closed_how: str | None
    closed_by: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CausePage:
    """Closed causes, the one that was opened last first; `before` of the next page, None on the last one. `settling`,
    on the first page only: causes of which nothing is left, which are closed within two minutes if nothing of them is
    refused again; `closed_how` and `closed_by` are what a person did last, if anybody did anything."""

    causes: list[CauseView]
    settling: list[CauseView]
    before: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CauseSaid:
    """What is said of a cause now."""

    group: str
    assignee: str | None
    note: str | None
    snoozed_until: datetime | None


async def work_on(call: RequestContext, body: CauseBody) -> ApiResponse:
    name = call.path_key("group")
    work = CauseWork(
        names=frozenset(body.model_fields_set),
        assignee=body.assignee,
        note=body.note,
        snoozed_until=body.snoozed_until,
    )
    await work_on_cause(call.store, name, work, actor=call.token.name)
    async with call.store.reader() as connection:
        cause = (await causes.list_open(connection)).get(name)
    if cause is None:
        raise ProblemError(404, "unknown", f"The cause {name} was closed meanwhile.", field="group")
    said = CauseSaid(group=name, assignee=cause.assignee, note=cause.note, snoozed_until=cause.snoozed_until)
    return ApiResponse(value=said)


async def list_closed(call: RequestContext) -> ApiResponse:
    """List closed causes, the newest first."""
    limit, before = limit_of(call), query_number(call, "before")
    async with call.store.reader() as connection:
        page = await causes.list_closed(connection, before=before, limit=limit + 1)
        groups = await dead_letters.group_by_cause(connection) if before is None else []
        settling = await causes.list_settling(connection, groups) if before is None else []
    following = page[limit - 1].id if len(page) > limit else None
    hides_notes = not call.token.role.covers(Role.OPS)
    listed = CausePage(
        causes=[_view(item, hides_notes) for item in page[:limit]],
        settling=[_view(item, hides_notes) for item in settling],
        before=following,
    )
    return ApiResponse(value=listed)


def _view(cause: Cause, hides_notes: bool) -> CauseView:
    how, by = (cause.last_action, cause.last_actor) if cause.closed_at is None else (cause.closed_how, cause.closed_by)
    return CauseView(
        id=cause.id,
        group=cause.fingerprint,
        entity=cause.entity,
        code=cause.code,
        field=cause.field,
        source=cause.source,
        explanation=classify_row(RowError(code=cause.code, message="")).sentence,
        most=cause.most,
        opened_at=cause.opened_at,
        assignee=cause.assignee,
        note=None if hides_notes else cause.note,
        closed_at=cause.closed_at,
        closed_how=None if how is None else how.value,
        closed_by=by,
    )


ROUTES = (
    Route(method="POST", path="/dead-letters/groups/{group}", role=Role.OPS, result=CauseSaid,
          handler=BodyHandler(CauseBody, work_on),
          summary="Assign a cause of dead letters to somebody, note something, or snooze it."),
    Route(method="GET", path="/dead-letters/closed-causes", role=Role.VIEWER, handler=list_closed, result=CausePage,
          summary="Causes of dead letters of which nothing is left: who, how, when; page by page.",
          queries={"before": "list only smaller ids", "limit": f"page size, up to {MAX_LIMIT}"}),
)  # fmt: skip
