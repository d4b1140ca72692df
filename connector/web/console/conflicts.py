"""Fields that both sides changed: both values side by side, decided at once, and what became of the decided ones."""

from __future__ import annotations

from collections.abc import Mapping

from connector.model.change import ChangeState
from connector.model.conflict import Conflict, ConflictState
from connector.model.record import FieldValue
from connector.model.role import Role
from connector.store import conflict_rules, conflicts, orgs
from connector.store.queries.conflict_context import list_decided, load_context
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.held import TABS
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

MOST = 50
DECIDED = 10
_LONGEST = 80
_SENT = {
    None: "Salesforce has it",
    ChangeState.DUE: "it is on its way to Salesforce",
    ChangeState.DEAD: "Salesforce refused it",
    ChangeState.BLOCKED: "it waits for its order, which Salesforce refused",
}


async def load_conflicts(call: RequestContext) -> Mapping[str, object]:
    async with call.store.reader() as connection:
        page = await conflicts.list_page(connection, limit=MOST)
        total = await conflicts.count_open(connection)
        decided = await list_decided(connection, limit=DECIDED)
        context = await load_context(connection, [*page, *decided])
        active = {org.org_id: org for org in await orgs.list_orgs(connection) if org.active}
        rules = [rule for org_id in active for rule in await conflict_rules.list_all(connection, org_id)]
    return {
        "conflicts": page,
        "total": total,
        "decided": decided,
        "context": context,
        "sent": {
            item.id: _sentence_of(item, context.unsent.get((item.org_id, item.entity, item.key))) for item in decided
        },
        "instances": {org_id: org.instance_url for org_id, org in active.items()},
        "rules": rules,
        "is_hidden": not call.token.role.covers(Role.OPS),
        "tabs": TABS,
    }


def _sentence_of(item: Conflict, unsent: ChangeState | None) -> str:
    """What became of the value that stands."""
    if item.state is ConflictState.SALESFORCE:
        return "taken over here"
    return _SENT[unsent]


def quoted(value: FieldValue) -> str:
    """A value in a sentence, shortened."""
    if value is None or value == "":
        return "nothing"
    text = str(value)
    return f"“{text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}”"


async def resolve(call: RequestContext, form: Form) -> Done:
    """Let one side's value stand, if the values are still those that were shown."""
    number, version, take = form.get("id", ""), form.get("version", ""), form.get("take", "")
    choices = {ConflictState.LOCAL, ConflictState.SALESFORCE}
    if not (number.isdecimal() and version.isdecimal() and take in choices and len(number) < 19):
        raise ProblemError(422, "input", "This form names no conflict.", hint="Reload the page, and repeat it.")
    choice = ConflictState(take)
    resolved = await call.conflict_resolver().resolve(
        int(number), choice, actor=call.token.name, always=form.get("always") == "yes", version=int(version)
    )
    item, also = resolved.conflict, len(resolved.also_resolved)
    if choice is ConflictState.LOCAL:
        what = f"{quoted(item.local)}, our value, stands and is sent to Salesforce in place of {quoted(item.remote)}."
    else:
        what = f"{quoted(item.remote)}, the value of Salesforce, stands here too, in place of {quoted(item.local)}."
    more = f" So are {plural(also, 'other')} by the same rule." if also else ""
    return Done(where="/conflicts#decided", told=f"{item.field} of {item.entity} {item.key}: {what}{more}")


async def ask_again(call: RequestContext, form: Form) -> Done:
    """Remove a rule, so that people are asked about its field."""
    sobject, field, org_id = form.get("sobject", ""), form.get("field", ""), form.get("org", "")
    if any("\0" in text for text in (sobject, field, org_id)):
        raise ProblemError(422, "input", "This form names no rule.", hint="Reload the page, and repeat it.")
    async with call.store.transaction() as uow:
        if org_id not in await orgs.list_active_ids(uow.connection):
            raise ProblemError(404, "unknown", f"There is no org {org_id[:40]!r}.", hint="Reload the page.")
        removed = await conflict_rules.remove(uow, org_id, sobject, field, actor=call.token.name)
    told = "You are asked again" if removed else "There was no rule any more: you are asked"
    return Done(where="/conflicts", told=f"{told} when both sides change {sobject}.{field}.")


PAGE = ConsolePage(path="/conflicts", title="Conflicts", template="conflicts.html.j2", load=load_conflicts)
ACTIONS = (
    ConsoleAction(path="/conflicts/resolve", act=resolve, page=PAGE),
    ConsoleAction(path="/conflicts/ask-again", act=ask_again),
)
