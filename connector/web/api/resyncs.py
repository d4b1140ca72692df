"""Resyncs: send, read or compare entities again, chosen by a filter, in the background."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connector.api.runs import HIDDEN_REASON
from connector.api.schemas import ResyncBody
from connector.errors import CommandError
from connector.jobs.resync_request import (
    ResyncPreview,
    ResyncView,
    change_resync,
    preview_resync,
    request_resync,
    view_resync,
)
from connector.model.change import EntityKind
from connector.model.resync import Priority, Resync, ResyncMode
from connector.model.role import Role
from connector.store import resyncs
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import path_number, query_number
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncAnswer:
    """What a resync comes to, and the resync itself; None for a dry run."""

    preview: ResyncPreview
    resync: ResyncView | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncPage:
    """Resyncs, the newest first; `before` of the next page, None on the last one."""

    resyncs: list[ResyncView]
    before: int | None


async def post_resync(call: RequestContext, body: ResyncBody) -> ApiResponse:
    entity, mode, chosen = EntityKind(body.entity), ResyncMode(body.mode), body.filter.chosen()
    try:
        preview = await preview_resync(
            call.store, entity, chosen, mode, partitions=call.partitions, list_keys=body.list_keys
        )
        if body.dry_run:
            return ApiResponse(value=ResyncAnswer(preview=preview, resync=None))
        asked = await request_resync(call.store, preview, priority=Priority(body.priority), actor=call.token.name)
    except CommandError as error:
        field = "entity" if error.field == "entity" else f"filter.{error.field}"
        raise ProblemError(422, "input", error.message, field=field, hint=error.hint) from None
    answer = ResyncAnswer(preview=preview, resync=_view(call, asked))
    return ApiResponse(value=answer, status=202, headers={"Location": f"/api/v1/scheduler/resyncs/{asked.id}"})


async def get_resyncs(call: RequestContext) -> ApiResponse:
    """List resyncs, the newest first."""
    limit, before = limit_of(call), query_number(call, "before")
    async with call.store.reader() as connection:
        page = await resyncs.list_page(connection, before=before, limit=limit + 1)
    following = page[limit - 1].id if len(page) > limit else None
    return ApiResponse(value=ResyncPage(resyncs=[_view(call, item) for item in page[:limit]], before=following))


async def get_resync(call: RequestContext) -> ApiResponse:
    number = path_number(call, "id", "resync")
    async with call.store.reader() as connection:
        found = await resyncs.get(connection, number)
    if found is None:
        raise ProblemError(404, "unknown", f"There is no resync {number}.", field="id")
    return ApiResponse(value=_view(call, found))


async def pause_resync(call: RequestContext) -> ApiResponse:
    return await _change(call, "pause")


async def resume_resync(call: RequestContext) -> ApiResponse:
    return await _change(call, "resume")


async def cancel_resync(call: RequestContext) -> ApiResponse:
    return await _change(call, "cancel")


async def _change(call: RequestContext, action: str) -> ApiResponse:
    number = path_number(call, "id", "resync")
    try:
        return ApiResponse(value=_view(call, await change_resync(call.store, number, action, actor=call.token.name)))
    except CommandError as error:
        status = 404 if error.rule == "unknown" else 409
        raise ProblemError(status, error.rule, error.message, field=error.field, hint=error.hint) from None


def _view(call: RequestContext, resync: Resync) -> ResyncView:
    view = view_resync(resync, call.store.clock.now())
    is_hidden = view.error is not None and not call.token.role.covers(Role.OPS)
    return replace(view, error=HIDDEN_REASON) if is_hidden else view


_RESYNCS = "/scheduler/resyncs"
ROUTES = (
    Route(method="POST", path=_RESYNCS, role=Role.OPS, handler=BodyHandler(ResyncBody, post_resync),
          result=ResyncAnswer, statuses=(200, 202),
          summary="Send, read or compare entities again; with `dry_run`, only say what it would come to."),
    Route(method="GET", path=_RESYNCS, role=Role.VIEWER, handler=get_resyncs, result=ResyncPage,
          summary="Resyncs, the newest first, page by page.",
          queries={"before": "list only smaller ids", "limit": f"page size, up to {MAX_LIMIT}"}),
    Route(method="GET", path=f"{_RESYNCS}/{{id}}", role=Role.VIEWER, handler=get_resync, result=ResyncView,
          summary="One resync: how far it is, its rate, and the time left."),
    Route(method="POST", path=f"{_RESYNCS}/{{id}}/pause", role=Role.OPS, handler=pause_resync, result=ResyncView,
          summary="Begin no further batch until it is resumed."),
    Route(method="POST", path=f"{_RESYNCS}/{{id}}/resume", role=Role.OPS, handler=resume_resync, result=ResyncView,
          summary="Go on where it was paused."),
    Route(method="POST", path=f"{_RESYNCS}/{{id}}/cancel", role=Role.OPS, handler=cancel_resync, result=ResyncView,
          summary="Begin no further batch; what was made due by the last one is still sent."),
)  # fmt: skip
