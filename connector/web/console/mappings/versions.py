"""Versions of the mappings: who made which live, what it changed, and going back to one."""

from __future__ import annotations

from collections.abc import Mapping

from connector.errors import MappingError
from connector.jobs.mappings.admin import Request
from connector.jobs.mappings.views import FileDiff, diff_texts
from connector.model.role import Role
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.console.mappings.files import say_applied
from connector.web.path_number import is_number, path_number, query_number
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
    if version.has_content and version.base is not None:
        former = await call.mappings.get_version(version.base)
        changed = diff_texts(former.texts, version.texts) if former.has_content else []
    since: list[FileDiff] = []
    if active is not None and not version.active and active.has_content and version.has_content:
        since = diff_texts(active.texts, version.texts)
    return {
        "title": f"Version {number} of the mappings",
        "version": version,
        "active": active,
        "changed": changed,
        "since": since,
        "may_edit": call.token.role.covers(Role.ADMIN),
    }


async def go_back(call: RequestContext, form: Form) -> Done:
    """Make the content of the version live again, as a new version."""
    number = path_number(call, "number", "version of the mappings")
    note, base = form.get("note", "").strip(), form.get("base", "")
    if not note:
        raise FormError({"note": "Say in a few words why: others read it in the list of versions."})
    request = Request(
        actor=call.token.name,
        note=note,
        base=int(base) if is_number(base) else None,
        resync=form.get("resync") == "yes",
    )
    try:
        applied = await call.mappings.rollback(number, request)
    except MappingError as error:
        raise FormError({"": " ".join(error.problems)}) from None
    return Done(where="/mappings", told=say_applied(applied))


LIST = ConsolePage(path="/mappings/versions", title="Versions", template="mapping_versions.html.j2", load=load_versions)
VERSION = ConsolePage(
    path="/mappings/versions/{number}", title="Version", template="mapping_version.html.j2", load=load_version
)
PAGES = (LIST, VERSION)
ACTIONS = (ConsoleAction(path="/mappings/versions/{number}", act=go_back, role=Role.ADMIN, page=VERSION),)
