"""Runs: what each has written, field by field, and its undo by a plan that is shown first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from urllib.parse import urlencode

from aiohttp import web

from connector.errors import ConnectorError
from connector.jobs.runs import find_orgs_of, get_run, list_runs, list_writes, total_run
from connector.jobs.undo_plan import UndoChoice
from connector.model.role import Role
from connector.model.run_name import RunKind, RunPlace
from connector.model.undo import Included, UndoPlan, UndoState
from connector.settings.salesforce import DEFAULT_ORG
from connector.web.api.runs import plan_of, problem_of, query_place, visible_run
from connector.web.console.csv_page import send_csv
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.path_number import query_number
from connector.web.routing import RequestContext
from connector.wording import plural

PAGE_SIZE, WRITES = 30, 50
MOST_ROWS = 200
"""Rows of each state that a plan shows."""
COLUMNS = ("at", "entity", "key", "action", "side", "object", "record", "record_id", "field", "before", "before_known",
           "after", "hidden", "call")  # fmt: skip
RUN_COLUMNS = ("run", "kind", "what", "actor", "state", "created_at", "ended_at", "counts", "undone_by")


async def load_runs(call: RequestContext) -> Mapping[str, object]:
    kind, actor, before = _filters(call)
    found = await list_runs(call.store, kind=kind, actor=actor, before=before, limit=PAGE_SIZE + 1)
    kept = {name: value for name in ("kind", "actor") if (value := call.query_value(name))}
    following = None
    if len(found) > PAGE_SIZE:
        following = urlencode({**kept, "before": str(found[PAGE_SIZE - 1].place)})
    return {
        "runs": [visible_run(call, run) for run in found[:PAGE_SIZE]],
        "kinds": list(RunKind),
        "chosen": kept,
        "query": urlencode(kept),
        "following": following,
        "is_later_page": before is not None,
    }


async def stream_runs(call: RequestContext) -> web.StreamResponse:
    """The runs of these filters as CSV."""
    kind, actor, _ = _filters(call)

    async def rows() -> AsyncGenerator[Sequence[object], None]:
        for run in await list_runs(call.store, kind=kind, actor=actor, limit=10_000):
            counts = " ".join(f"{name}={number}" for name, number in run.counts.items())
            ended_at = "" if run.ended_at is None else run.ended_at.isoformat()
            yield (run.run, run.kind, run.what, run.actor, run.state, run.created_at.isoformat(), ended_at, counts,
                   " ".join(run.undone_by))  # fmt: skip

    return await send_csv(call, "runs.csv", RUN_COLUMNS, rows())


async def load_run(call: RequestContext) -> Mapping[str, object]:
    """One run: what it came to, and its writes, page by page."""
    run = visible_run(call, await get_run(call.store, call.path_key("run")))
    after = query_number(call, "after") or 0
    writes, following = await list_writes(
        call.store, run.run, after=after, limit=WRITES, with_personal=_sees_personal(call)
    )
    return {
        "title": run.run,
        "follows": run.ended_at is None or run.waiting > 0,
        "run": run,
        "totals": await total_run(call.store, run),
        "writes": writes,
        "following": following,
        "is_later_page": bool(after),
        "changed": [item for item in run.left_alone if "field" in item],
        "forbidden": [item for item in run.left_alone if "field" not in item],
        "most": MOST_ROWS,
    }


async def stream_writes(call: RequestContext) -> web.StreamResponse:
    """Each field that a run has written, as CSV."""
    run = await get_run(call.store, call.path_key("run"))

    async def rows() -> AsyncGenerator[Sequence[object], None]:
        after: int | None = 0
        while after is not None:
            writes, after = await list_writes(
                call.store, run.run, after=after, limit=1000, with_personal=_sees_personal(call)
            )
            for write in writes:
                begin = (write.at.isoformat(), write.entity, write.key, write.action, write.side)
                for field in write.fields:
                    before = "" if field.before is None else str(field.before)
                    written = "" if field.after is None else str(field.after)
                    yield (*begin, field.sobject, field.record, field.record_id or "", field.field, before,
                           field.has_before, written, field.hidden, write.call or "")  # fmt: skip

    return await send_csv(call, f"{run.run}.csv", COLUMNS, rows())


async def load_undo(call: RequestContext) -> Mapping[str, object]:
    """The plan of an undo, in the org that the run has written to. It reads the records in the org for each look, so
    the page does not follow changes."""
    run = await get_run(call.store, call.path_key("run"))
    orgs = await find_orgs_of(call.store, run.run)
    chosen = _chosen(call)
    plan = await plan_of(call, run.run, _choice(chosen), org=_org(chosen, orgs))
    return {
        "title": f"Undo {run.run}",
        "run": run,
        "plan": plan,
        "groups": _groups(plan),
        "holds": sum(row.holds for row in plan.to_restore),
        "chosen": chosen,
        "query": urlencode(chosen),
        "orgs": [name or DEFAULT_ORG for name in orgs],
        "most": MOST_ROWS,
    }


def _chosen(call: RequestContext) -> dict[str, str]:
    """What of the run the address of the page chooses."""
    return {name: value for name in ("keys", "fields", "org", *Included) if (value := call.query_value(name))}


def _org(chosen: Mapping[str, str], orgs: Sequence[str]) -> str:
    """The org that is chosen; if none is, the one that the run has written to."""
    name = chosen.get("org") or (orgs[0] if orgs else "")
    return "" if name == DEFAULT_ORG else name


def _groups(plan: UndoPlan) -> list[tuple[str, Sequence[object], int]]:
    """The rows of each state, the first of them, and how many there are."""
    found: list[tuple[str, Sequence[object], int]] = []
    for state in UndoState:
        rows = [row for row in plan.rows if row.state is state]
        if rows and state is not UndoState.RESTORED:
            found.append((state.value, rows[:MOST_ROWS], len(rows)))
    return found


async def start_undo(call: RequestContext, form: Form) -> Done:
    """Do what the plan has said that the page has shown."""
    run = await get_run(call.store, call.path_key("run"))
    chosen = _chosen(call)
    org = _org(chosen, await find_orgs_of(call.store, run.run))
    try:
        plan, undo = await call.undoer.undo(
            run.run, form.get("plan", ""), _choice(chosen), actor=call.token.name, org=org
        )
    except ConnectorError as error:
        raise problem_of(error) from None
    if undo is None:
        return Done(where=f"/runs/{run.run}", told="There was nothing left to put back.")
    number = len(plan.to_restore)
    told = f"{plural(number, 'field')} will be put back: the worker sends them."
    return Done(where=f"/runs/{undo.run_name}", told=told)


def _choice(form: Mapping[str, str]) -> UndoChoice:
    included = frozenset(name for name in Included if form.get(name))
    return UndoChoice(
        keys=tuple(form.get("keys", "").split()), fields=tuple(form.get("fields", "").split()), included=included
    )


def _filters(call: RequestContext) -> tuple[RunKind | None, str | None, RunPlace | None]:
    return call.query_choice("kind", RunKind), call.query_key("actor"), query_place(call)


def _sees_personal(call: RequestContext) -> bool:
    return call.token.role.covers(Role.OPS)


UNDO = ConsolePage(
    path="/runs/{run}/undo", title="Undo", template="undo.html.j2", load=load_undo, role=Role.OPS, follows=False
)
PAGES = (
    ConsolePage(path="/runs", title="Runs", template="runs.html.j2", load=load_runs),
    ConsolePage(path="/runs.csv", title="Runs", template="", load=stream_runs),
    ConsolePage(path="/runs/{run}", title="Run", template="run.html.j2", load=load_run),
    ConsolePage(path="/runs/{run}/writes.csv", title="Run", template="", load=stream_writes),
    UNDO,
)
ACTIONS = (ConsoleAction(path="/runs/{run}/undo/start", act=start_undo, page=UNDO),)
