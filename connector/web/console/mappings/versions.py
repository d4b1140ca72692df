"""Versions of the mappings: who made which live, what it changed, and going back to one."""

from __future__ import annotations

from collections.abc import Mapping

from connector.errors import MappingError
from connector.jobs.mappings.views import FileDiff, diff_texts
from connector.jobs.resync_request import view_resync
from connector.model.role import Role
from connector.store import resyncs
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.path_number import path_number, query_number
from connector.web.routing import RequestContext

PAGE_SIZE = 50


async def load_versions(call: RequestContext) -> Mapping[str, object]:
    before = query_number(call, "before")
    found = await call.mappings.list_versions(before=before, limit=PAGE_SIZE + 1)
    return {
        "versions": found[:PAGE_SIZE],
        "following": found[PAGE_SIZE - 1].number if len(found) > PAGE_SIZE else None,
        "is_later_page": before is not None,
    }


async def load_version(call: RequestContext) -> Mapping[str, object]:
    """A version with what it changed, and how it differs from the live one."""
    number = path_number(call, "number", "version of the mappings")
    version = await call.mappings.get_version(number)
    active = await call.mappings.get_active()
    changed: list[FileDiff] = []
    former = None
    if version.has_content and version.base is not None:
        former = await call.mappings.get_version(version.base)
        changed = diff_texts(former.texts, version.texts) if former.has_content else []
    async with call.store.reader() as connection:
        made = await resyncs.list_made_at(connection, version.activated_at, actor=version.author or "")
    since: list[FileDiff] = []
    if active is not None and not version.active and active.has_content and version.has_content:
        since = diff_texts(active.texts, version.texts)
    return {
        "title": f"Version {number} of the mappings",
        "version": version,
        "active": active,
        "changed": changed,
        "since": since,
        "back_to": former.number if version.active and former is not None and former.has_content else None,
        "resyncs": [view_resync(item, call.store.clock.now()) for item in made],
        "may_edit": call.token.role.covers(Role.ADMIN),
    }


async def plan_return(call: RequestContext, form: Form) -> Done:
    """Compute what going back to the version would change, and lead to that."""
    number = path_number(call, "number", "version of the mappings")
    try:
        plan = await call.mappings.plan_rollback(number, actor=call.token.name)
    except MappingError as error:
        raise FormError({"": " ".join(error.problems)}) from None
    return Done(where=f"/mappings/plans/{plan.id}", told="")


LIST = ConsolePage(path="/mappings/versions", title="Versions", template="mapping_versions.html.j2", load=load_versions)
VERSION = ConsolePage(
    path="/mappings/versions/{number}", title="Version", template="mapping_version.html.j2", load=load_version
)
PAGES = (LIST, VERSION)
ACTIONS = (ConsoleAction(path="/mappings/versions/{number}", act=plan_return, role=Role.ADMIN, page=VERSION),)
