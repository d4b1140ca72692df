"""Runs that write, what each has written, and its undo."""

from __future__ import annotations

from dataclasses import dataclass

from connector.api.runs import RunTotals, RunView, RunWrite, redact_run
from connector.api.schemas import UndoBody
from connector.errors import ApiBudgetError, CommandError, ConnectorError, SettingsError, StoreError
from connector.jobs.runs import get_run, list_runs, list_writes, total_run
from connector.jobs.undo_plan import UndoChoice
from connector.model.role import Role
from connector.model.run_name import RunKind, RunPlace
from connector.model.undo import Included, UndoPlan, UndoRow
from connector.settings.salesforce import DEFAULT_ORG
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import query_number
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route

MAX_ROWS = 5_000
"""Rows of a plan that an answer lists; `counts` has all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPage:
    """Runs, the newest first; `before` of the next page, None on the last one."""

    runs: list[RunView]
    before: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDetail:
    """A run, and what it came to."""

    run: RunView
    totals: RunTotals


@dataclass(frozen=True, kw_only=True, slots=True)
class WritePage:
    """What a run did with entities, in order; `after` of the next page, None on the last one."""

    writes: list[RunWrite]
    after: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoPlanView:
    """What undoing a run comes to: rows by state (`counts`), the first 5,000 of them, the calls that the plan took, and
    those of the undo at most. `id` is what the undo is asked for by."""

    id: str
    run: str
    counts: dict[str, int]
    rows: list[UndoRow]
    reads: int
    calls_at_most: int
    notes: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoAnswer:
    """The plan, and the undo itself as a run; None for a dry run, and if there was nothing to put back."""

    plan: UndoPlanView
    undo: RunView | None


async def get_runs(call: RequestContext) -> ApiResponse:
    """List runs, the newest first."""
    limit, kind = limit_of(call), call.query_choice("kind", RunKind)
    before, actor = query_place(call), call.query_key("actor")
    found = await list_runs(call.store, kind=kind, actor=actor, before=before, limit=limit + 1)
    following = str(found[limit - 1].place) if len(found) > limit else None
    return ApiResponse(value=RunPage(runs=[visible_run(call, run) for run in found[:limit]], before=following))


async def get_one_run(call: RequestContext) -> ApiResponse:
    view = await get_run(call.store, call.path_key("run"))
    return ApiResponse(value=RunDetail(run=visible_run(call, view), totals=await total_run(call.store, view)))


async def get_writes(call: RequestContext) -> ApiResponse:
    """List what a run did, in order."""
    view = await get_run(call.store, call.path_key("run"))
    writes, following = await list_writes(
        call.store, view.run, after=query_number(call, "after") or 0, limit=limit_of(call),
        with_personal=call.token.role.covers(Role.OPS),
    )  # fmt: skip
    return ApiResponse(value=WritePage(writes=writes, after=following))


async def undo_run(call: RequestContext, body: UndoBody) -> ApiResponse:
    """Say what an undo comes to, or do what that plan said."""
    view = await get_run(call.store, call.path_key("run"))
    org = "" if body.org in {None, DEFAULT_ORG} else str(body.org)
    chosen = UndoChoice(
        keys=tuple(body.keys), fields=tuple(body.fields), included=frozenset(map(Included, body.include))
    )
    if body.dry_run:
        plan = await plan_of(call, view.run, chosen, org=org)
        return ApiResponse(value=UndoAnswer(plan=_view(plan), undo=None))
    if body.plan is None:
        raise ProblemError(
            428, "precondition", "plan: the ID of the plan is required.", field="plan",
            hint='Ask with "dry_run": true first, look at it, and send its `id` as `plan`.',
        )  # fmt: skip
    try:
        plan, undo = await call.undoer.undo(view.run, body.plan, chosen, actor=call.token.name, org=org)
    except ConnectorError as error:
        raise problem_of(error) from None
    made = None if undo is None else await get_run(call.store, undo.run_name)
    headers = {} if made is None else {"Location": f"/api/v1/runs/{made.run}"}
    return ApiResponse(
        value=UndoAnswer(plan=_view(plan), undo=made), status=200 if made is None else 202, headers=headers
    )


def query_place(call: RequestContext) -> RunPlace | None:
    """The place that a page of runs begins behind. Raises ProblemError 400 if it is none."""
    text = call.query_value("before")
    place = None if text is None else RunPlace.parse(text)
    if text is not None and place is None:
        hint = "Use the `before` of the previous page, or a time such as 2026-03-01T12:00:00Z."
        raise ProblemError(400, "query", f"before: invalid place {text[:80]!r}.", field="before", hint=hint)
    return place


def visible_run(call: RequestContext, run: RunView) -> RunView:
    """The run as the caller may see it."""
    return run if call.token.role.covers(Role.OPS) else redact_run(run)


async def plan_of(call: RequestContext, run: str, chosen: UndoChoice, *, org: str = "") -> UndoPlan:
    """The plan of an undo; raises ProblemError where the org does not let it be made."""
    try:
        return await call.undoer.plan(run, chosen, org=org)
    except ConnectorError as error:
        raise problem_of(error) from None


def problem_of(error: ConnectorError) -> Exception:
    """The problem of an error of the org; other errors as they are."""
    if isinstance(error, CommandError | StoreError):
        return error
    if isinstance(error, SettingsError):  # this process has no org, and will have none
        return ProblemError(409, "org", error.message, hint=error.hint)
    status = 429 if isinstance(error, ApiBudgetError) else 503
    return ProblemError(status, "org", error.message, hint=error.hint)


def _view(plan: UndoPlan) -> UndoPlanView:
    return UndoPlanView(
        id=plan.id, run=plan.run, counts=dict(plan.counts), rows=list(plan.rows[:MAX_ROWS]), reads=plan.reads,
        calls_at_most=plan.calls_at_most, notes=list(plan.notes),
    )  # fmt: skip


ROUTES = (
    Route(method="GET", path="/runs", role=Role.VIEWER, handler=get_runs, result=RunPage,
          summary="Runs that write (resyncs, healing, pulls, undos), the newest first, page by page.",
          queries={"kind": "only `resync`, `reconcile`, `job` or `undo`", "actor": "only by this token or user",
                   "before": "list only those behind this place (`before` of a page), or asked for before this time",
                   "limit": f"page size, up to {MAX_LIMIT}"}),
    Route(method="GET", path="/runs/{run}", role=Role.VIEWER, handler=get_one_run, result=RunDetail,
          summary="One run, and what it came to; reasons and names are for ops only."),
    Route(method="GET", path="/runs/{run}/writes", role=Role.VIEWER, handler=get_writes, result=WritePage,
          summary="What a run has written, field by field, page by page; personal data is for ops only.",
          queries={"after": "list only larger ids", "limit": f"page size, up to {MAX_LIMIT}"}),
    Route(method="POST", path="/runs/{run}/undo", role=Role.OPS, handler=BodyHandler(UndoBody, undo_run),
          result=UndoAnswer, statuses=(200, 202),
          summary="Put back what a run has written, by a plan; with `dry_run`, make the plan."),
)  # fmt: skip
