"""What files would change, record by record, before they are made live."""

from __future__ import annotations

from collections.abc import Mapping

from connector.errors import MappingError
from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.views import Applied, MappingPlan
from connector.model.mapping_plan import Direction
from connector.model.role import Role
from connector.store import mapping_versions, resyncs
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.routing import RequestContext

MOST_FIELDS = 30


async def load_plan(call: RequestContext) -> Mapping[str, object]:
    plan = await call.mappings.get_plan(call.path_key("plan"))
    effects = plan.numbers.effects
    return {
        "title": "What becomes live",
        "plan": plan,
        "to_org": [item for item in effects if item.direction is Direction.TO_ORG],
        "from_org": [item for item in effects if item.direction is Direction.FROM_ORG],
        "written_by": await _list_runs(call, plan),
        "fields": sorted(plan.numbers.fields, key=lambda item: -item.count)[:MOST_FIELDS],
        "entities": [item for item in plan.numbers.entities if item.total],
        "several_orgs": len({item.org for item in plan.numbers.entities}) > 1,
        "with_personal": call.token.role.covers(Role.OPS),
        "may_edit": call.token.role.covers(Role.ADMIN),
    }


async def _list_runs(call: RequestContext, plan: MappingPlan) -> list[str]:
    """The runs that have sent what the version changed that is gone back from."""
    if plan.rollback_to is None or plan.base is None:
        return []
    version = await call.mappings.get_version(plan.base)
    async with call.store.reader() as connection:
        made = await resyncs.list_made_at(connection, version.activated_at, actor=version.author or "")
    return [item.run_name for item in made if item.done]


async def use_plan(call: RequestContext, form: Form) -> Done:
    """Make the files of the plan live, for every running process at once; or only compute them from now on."""
    request = read_request(call, form)
    try:
        if form.get("do") == "shadow":
            await _start_shadow(call, request)
            return Done(where="/mappings/shadow", told="It is computed from now on, and nothing of it is sent.")
        applied = await call.mappings.apply_plan(call.path_key("plan"), request)
    except MappingError as error:
        raise FormError({"": " ".join(error.problems)}) from None
    return Done(where=f"/mappings/versions/{applied.version.number}", told=say_applied(applied))


async def _start_shadow(call: RequestContext, request: Request) -> None:
    plan = await call.mappings.get_plan(call.path_key("plan"))
    async with call.store.reader() as connection:
        texts = await mapping_versions.get_texts(connection, plan.digest)
    await call.mappings.start_shadow(texts or {}, actor=request.actor, note=request.note)


def read_request(call: RequestContext, form: Form) -> Request:
    """Who asks, and why. Raises FormError without a reason."""
    note = form.get("note", "").strip()
    if not note:
        raise FormError({"note": "Say in a few words why: others read it in the list of versions."})
    return Request(actor=call.token.name, note=note, resync=form.get("resync") == "yes")


def say_applied(applied: Applied) -> str:
    """What a version that was made live has come to."""
    live = f"Version {applied.version.number} is live for every process."
    if not applied.resyncs:
        return live
    return f"{live} What it changes is being sent."


PAGE = ConsolePage(
    path="/mappings/plans/{plan}", title="Plan", template="mapping_plan.html.j2", load=load_plan, follows=False
)
ACTIONS = (ConsoleAction(path="/mappings/plans/{plan}", act=use_plan, role=Role.ADMIN, page=PAGE),)
