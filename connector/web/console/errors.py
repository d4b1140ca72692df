"""What Salesforce refused, by cause: what it means, what to do, and sending it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from urllib.parse import quote

from connector.jobs.triage import CauseWork, work_on_cause
from connector.model.change import EntityKind
from connector.model.keys import normalize_key
from connector.store import console_sessions, dead_letters, tokens
from connector.store.unit_of_work import UnitOfWork
from connector.web.api.causes import list_closed
from connector.web.api.dead_letters import (
    DeadLetterPage,
    GroupList,
    list_dead_letters,
    list_groups,
)
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.console.job_note import note_pushes
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

_SNOOZES = {"1": "one hour", "4": "four hours", "24": "a day", "168": "a week", "720": "thirty days"}
_VERBS = {"replay": "is sent again", "discard": "is discarded"}


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
    is_snoozed = group is not None and group.is_snoozed
    snoozes = [("keep", "as it is")] + ([("wake", "wake it up")] if is_snoozed else []) + list(_SNOOZES.items())
    return {"group": group, "page": page, "people": await _people(call), "snoozes": snoozes}


async def load_closed(call: RequestContext) -> Mapping[str, object]:
    """Causes of which nothing is left: who, how, when."""
    return {"page": (await list_closed(call)).value}


async def _people(call: RequestContext) -> Sequence[str]:
    """Whom a cause can be assigned to: who has a token, or is signed in."""
    async with call.store.reader() as connection:
        named = await tokens.list_unrevoked(connection)
        signed_in = await console_sessions.list_people(connection, call.store.clock.now())
    others = sorted({*named.values(), *(item.name for item in signed_in)} - {call.token.name})
    return [call.token.name, *others]


async def work_on(call: RequestContext, form: Form) -> Done:
    """Keep what the form says of a cause."""
    name, snooze, now = call.query_value("group") or "", form.get("snooze", "keep"), call.store.clock.now()
    if snooze not in {"keep", "wake", *_SNOOZES}:
        raise FormError({"snooze": "Snooze it for one of these times."})
    try:
        assignee = normalize_key(form["assignee"]) if form.get("assignee", "").strip() else None
    except ValueError as error:
        raise FormError({"assignee": f"Whose it is: {error}."}) from None
    work = CauseWork(
        names=frozenset({"assignee", "note"} | ({"snoozed_until"} if snooze != "keep" else set())),
        assignee=assignee,
        note=form.get("note", "").strip() or None,
        snoozed_until=now + timedelta(hours=int(snooze)) if snooze in _SNOOZES else None,
    )
    await work_on_cause(call.store, name, work, actor=call.token.name)
    until = {"keep": "", "wake": " It is awake."}.get(snooze, f" It is snoozed for {_SNOOZES.get(snooze)}.")
    return Done(where=f"/errors/cause?group={quote(name)}", told=f"Kept.{until}")


async def change_cause(call: RequestContext, form: Form, *, action: str) -> Done:
    """Send all of a cause again, or give them up."""
    name, actor = form.get("group", ""), call.token.name
    count = await call.store.transact(lambda uow: dead_letters.change_group_by_person(uow, action, name, actor=actor))
    return Done(where="/errors", told=_sentence(count, action) + await _note(call, action, count))


async def change_one(call: RequestContext, form: Form, *, action: str) -> Done:
    """Send one change again, or give it up."""
    kind, key, actor = form.get("entity", ""), form.get("key", ""), call.token.name
    if kind not in set(EntityKind):
        raise ProblemError(422, "input", "This form names no entity.", hint="Reload the page, and repeat it.")

    async def work(uow: UnitOfWork) -> int:
        return await dead_letters.change_by_person(uow, action, EntityKind(kind), [key], actor=actor)

    count = await call.store.transact(work)
    told = _sentence(count, action) + await _note(call, action, count)
    return Done(where=f"/errors/cause?group={quote(form.get('group', ''))}", told=told)


async def _note(call: RequestContext, action: str, count: int) -> str:
    return await note_pushes(call, count) if action == "replay" else ""


def _sentence(count: int, action: str) -> str:
    if not count:
        return "Nothing was left of it: somebody was faster, or a later write has succeeded."
    verb = _VERBS[action] if count == 1 else _VERBS[action].replace("is", "are", 1)
    return f"{plural(count, 'change')} {verb}."


CAUSE = ConsolePage(path="/errors/cause", title="Refused changes", template="cause.html.j2", load=load_cause)
PAGES = (
    ConsolePage(path="/errors", title="Refused changes", template="errors.html.j2", load=load_causes),
    CAUSE,
    ConsolePage(path="/errors/closed", title="Closed causes", template="closed.html.j2", load=load_closed),
)
ACTIONS = (
    ConsoleAction(path="/errors/work", act=work_on, page=CAUSE),
    ConsoleAction(path="/errors/replay", act=partial(change_cause, action="replay")),
    ConsoleAction(path="/errors/discard", act=partial(change_cause, action="discard")),
    ConsoleAction(path="/errors/one/replay", act=partial(change_one, action="replay")),
    ConsoleAction(path="/errors/one/discard", act=partial(change_one, action="discard")),
)
