"""Fields that both sides changed: both values side by side, decided at once."""

from __future__ import annotations

from collections.abc import Mapping

from connector.model.conflict import ConflictState
from connector.model.role import Role
from connector.store import conflicts
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.held import TABS
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

MOST = 50
_TAKEN = {ConflictState.LOCAL: "our value", ConflictState.SALESFORCE: "the value of Salesforce"}


async def load_conflicts(call: RequestContext) -> Mapping[str, object]:
    async with call.store.reader() as connection:
        page = await conflicts.list_page(connection, limit=MOST)
        total = await conflicts.count_open(connection)
    return {"conflicts": page, "total": total, "is_hidden": not call.token.role.covers(Role.OPS), "tabs": TABS}


async def resolve(call: RequestContext, form: Form) -> Done:
    """Let one side's value stand, if the values are still those that were shown."""
    number, version, take = form.get("id", ""), form.get("version", ""), form.get("take", "")
    if not (number.isdecimal() and version.isdecimal() and take in set(_TAKEN) and len(number) < 19):
        raise ProblemError(422, "input", "This form names no conflict.", hint="Reload the page, and repeat it.")
    choice = ConflictState(take)
    resolved = await call.conflict_resolver().resolve(
        int(number), choice, actor=call.token.name, always=form.get("always") == "yes", version=int(version)
    )
    item, also = resolved.conflict, len(resolved.also_resolved)
    more = f" So are {plural(also, 'other')} by the same rule." if also else ""
    return Done(
        where="/conflicts",
        told=f"{item.field} of {item.entity} {item.key}: {_TAKEN[choice]} stands on both sides.{more}",
    )


PAGE = ConsolePage(path="/conflicts", title="Conflicts", template="conflicts.html.j2", load=load_conflicts)
ACTIONS = (ConsoleAction(path="/conflicts/resolve", act=resolve, page=PAGE),)
