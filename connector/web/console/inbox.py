"""Records of the org that could not be applied here: what, why, what to do; applied again, or dismissed."""

from __future__ import annotations

from collections.abc import Mapping

from connector.model.action_request import ActionState
from connector.model.inbound_change import InboxState
from connector.store import inbox, order_actions, orgs
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MOST = 100
MOST_ACTIONS = 20


async def load_inbox(call: RequestContext) -> Mapping[str, object]:
    async with call.store.for_org(None).reader() as connection:
        items = await inbox.list_parked(connection, limit=MOST)
        counts = await inbox.counts(connection)
        active = await orgs.list_active_ids(connection)
    async with call.store.reader() as connection:
        org = await orgs.get_active(connection)
        actions = await order_actions.list_latest(connection, state=ActionState.PARKED, limit=MOST_ACTIONS)
    return {
        "items": items,
        "total": counts[InboxState.PARKED],
        "due": counts[InboxState.DUE],
        "instance_url": org.instance_url if org is not None and len(active) == 1 else "",
        "actions": actions,
    }


async def replay(call: RequestContext, form: Form) -> Done:
    """Let a record be read and applied again, or all."""
    record, actor = form.get("record", ""), call.token.name
    if not record and form.get("all") != "yes":
        raise ProblemError(422, "input", "This form names no record.", hint="Reload the page, and repeat it.")
    chosen = [record] if record else None
    store = call.store.for_org(None)
    count = await store.transact(lambda uow: inbox.replay(uow, chosen, actor=actor))
    if not count:
        return Done(where="/inbox", told="Nothing was left of it: it was applied, or somebody was faster.")
    what = "1 record is" if count == 1 else f"{count:,} records are"
    return Done(where="/inbox", told=f"{what} read and applied again, by the listener or the next poll.")


async def dismiss(call: RequestContext, form: Form) -> Done:
    sobject, record, actor = form.get("sobject", ""), form.get("record", ""), call.token.name
    store = call.store.for_org(None)
    if not await store.transact(lambda uow: inbox.dismiss(uow, sobject, record, actor=actor)):
        return Done(where="/inbox", told="Nothing was left of it: it was applied, or somebody was faster.")
    return Done(where="/inbox", told=f"{sobject} {record} is left as it is, until it changes again.")


PAGE = ConsolePage(path="/inbox", title="Inbox", template="inbox.html.j2", load=load_inbox)
ACTIONS = (
    ConsoleAction(path="/inbox/replay", act=replay),
    ConsoleAction(path="/inbox/dismiss", act=dismiss),
)
