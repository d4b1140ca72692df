"""What Salesforce refused, by cause: what it means, what to do, and sending it again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from connector.model.change import EntityKind
from connector.store import dead_letters
from connector.store.unit_of_work import UnitOfWork
from connector.web.api.dead_letters import (
    DeadLetterPage,
    GroupList,
    list_dead_letters,
    list_groups,
)
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

_VERBS = {"replay": "is sent again", "discard": "is given up"}


async def load_causes(call: RequestContext) -> Mapping[str, object]:
    listed = (await list_groups(call)).value
    assert isinstance(listed, GroupList)
    return {"groups": listed.groups, "total": listed.total}


async def load_cause(call: RequestContext) -> Mapping[str, object]:
    """One cause with its dead letters, page by page."""
    listed, page = (await list_groups(call)).value, (await list_dead_letters(call)).value
    assert isinstance(listed, GroupList)
    assert isinstance(page, DeadLetterPage)
    name = call.query_value("group")
    group = next((item for item in listed.groups if item.fingerprint == name), None)
    return {"group": group, "page": page}


async def change_cause(call: RequestContext, form: Form, *, action: str) -> Done:
    """Send all of a cause again, or give them up."""
    name, actor = form.get("group", ""), call.token.name
    count = await call.store.transact(lambda uow: dead_letters.change_group_by_person(uow, action, name, actor=actor))
    return Done(where="/errors", told=_sentence(count, action))


async def change_one(call: RequestContext, form: Form, *, action: str) -> Done:
    """Send one change again, or give it up."""
    kind, key, actor = form.get("entity", ""), form.get("key", ""), call.token.name
    if kind not in set(EntityKind):
        raise ProblemError(422, "input", "This form names no entity.", hint="Reload the page, and repeat it.")

    async def work(uow: UnitOfWork) -> int:
        return await dead_letters.change_by_person(uow, action, EntityKind(kind), [key], actor=actor)

    count = await call.store.transact(work)
    return Done(where=f"/errors/cause?group={quote(form.get('group', ''))}", told=_sentence(count, action))


def _sentence(count: int, action: str) -> str:
    if not count:
        return "Nothing was left of it: somebody was faster, or a later write has succeeded."
    verb = _VERBS[action] if count == 1 else _VERBS[action].replace("is", "are", 1)
    return f"{count:,} change{'' if count == 1 else 's'} {verb}."


PAGES = (
    ConsolePage(path="/errors", title="Errors", template="errors.html.j2", load=load_causes),
    ConsolePage(path="/errors/cause", title="Errors", template="cause.html.j2", load=load_cause),
)
ACTIONS = (
    ConsoleAction(path="/errors/replay", act=partial(change_cause, action="replay")),
    ConsoleAction(path="/errors/discard", act=partial(change_cause, action="discard")),
    ConsoleAction(path="/errors/one/replay", act=partial(change_one, action="replay")),
    ConsoleAction(path="/errors/one/discard", act=partial(change_one, action="discard")),
)
