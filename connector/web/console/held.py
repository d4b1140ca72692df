"""Held values: fields in which the org keeps another value than ours since an undo, and their release."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from connector.jobs.held_values import list_held, parse_place, release
from connector.jobs.schedule import job_of
from connector.model.change import EntityKind
from connector.model.role import Role
from connector.settings.salesforce import DEFAULT_ORG
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.job_note import note_job
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

PAGE_SIZE = 50
_PAGES = {EntityKind.ORDER.value: "/orders", EntityKind.CUSTOMER.value: "/customers"}
TABS = (("/conflicts", "Both sides changed"), ("/conflicts/held", "Held values"))


async def load_held(call: RequestContext) -> Mapping[str, object]:
    """The records with held values, by org, kind and key."""
    text = call.query_value("after")
    after = None if text is None or "\0" in text else parse_place(text)
    page = await list_held(call.store, after=after, limit=PAGE_SIZE)
    return {
        "records": page.records,
        "orgs": {org_id: name or DEFAULT_ORG for org_id, name in page.orgs.items()},
        "following": None if page.after is None else urlencode({"after": page.after}),
        "is_later_page": after is not None,
        "is_hidden": not call.token.role.covers(Role.OPS),
        "tabs": TABS,
    }


async def release_held(call: RequestContext, form: Form) -> Done:
    """Send our values of an entity again: all that is held of it, or one field. `back`: its page follows."""
    entity, key, field = form.get("entity", ""), form.get("key", "").strip(), form.get("field", "")
    org = form.get("org", DEFAULT_ORG)
    name = "" if org == DEFAULT_ORG else org
    if entity not in set(EntityKind) or not key or "\0" in key:
        raise ProblemError(
            422, "input", "This form names nothing that is held.", hint="Reload the page, and repeat it."
        )
    number = await release(
        call.store,
        EntityKind(entity),
        [key],
        fields=[field] if field else [],
        org=name,
        actor=call.token.name,
    )
    page = _PAGES.get(entity) if form.get("back") == "yes" else None
    where = "/conflicts/held" if page is None else f"{page}/{quote(key, safe='')}"
    told = f"Our value of {plural(number, 'field')} of {entity} {key} is sent again."
    return Done(where=where, told=told + await note_job(call, job_of("push", name), number))


PAGE = ConsolePage(path="/conflicts/held", title="Held values", template="held.html.j2", load=load_held)
ACTIONS = (ConsoleAction(path="/conflicts/held/release", act=release_held, page=PAGE),)
