"""A version of the mappings that is computed beside the live one, and what it would have sent otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from connector.errors import MappingError
from connector.model.role import Role
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.console.mappings.plans import read_request, say_applied
from connector.web.routing import RequestContext


async def load_shadow(call: RequestContext) -> Mapping[str, object]:
    return {
        "shadow": await call.mappings.get_shadow(),
        "with_personal": call.token.role.covers(Role.OPS),
        "may_edit": call.token.role.covers(Role.ADMIN),
    }


async def end_shadow(call: RequestContext, form: Form) -> Done:
    """Make it live, or forget it."""
    if form.get("do") == "discard":
        await call.mappings.discard_shadow(actor=call.token.name)
        return Done(where="/mappings", told="It is not computed any more. The live version is as it was.")
    shadow, request = await call.mappings.get_shadow(), read_request(call, form)
    try:
        applied = await call.mappings.apply_shadow(replace(request, base=None if shadow is None else shadow.base))
    except MappingError as error:
        raise FormError({"": " ".join(error.problems)}) from None
    return Done(where=f"/mappings/versions/{applied.version.number}", told=say_applied(applied))


PAGE = ConsolePage(path="/mappings/shadow", title="Shadow", template="mapping_shadow.html.j2", load=load_shadow)
ACTIONS = (ConsoleAction(path="/mappings/shadow", act=end_shadow, role=Role.ADMIN, page=PAGE),)
