"""One order: where it stands, its lines and money, both sides field by field, and its journey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from connector.api.journey import build_journey
from connector.jobs.resync_request import ResyncPreview, preview_resync, request_resync
from connector.model.change import EntityKind, Unsent
from connector.model.inbound_change import InboxState
from connector.model.outcome import RowError
from connector.model.record import FieldValue
from connector.model.resync import Priority, ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.model.stage import Stage
from connector.salesforce.fault import classify_row
from connector.store import conflicts, inbox, links, orders, orgs, outbox
from connector.store.queries.entity_orgs import find_orgs
from connector.store.queries.journey import load_journey
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.order_actions import action_links, next_link
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MAIN = tuple(stage for stage in Stage if stage is not Stage.CANCELED)
MOST_STEPS = 200
MOST_LINES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreedField:
    """A field of the record, as both sides last agreed on it; in a conflict, also what each side has now."""

    name: str
    agreed: FieldValue
    local: FieldValue = None
    remote: FieldValue = None
    conflict: int | None = None


async def load_order(call: RequestContext) -> Mapping[str, object]:
    number = call.path_key("number")
    async with call.store.reader() as connection:
        loaded = await orders.load(connection, [number])
        if not loaded:
            raise ProblemError(
                404, "unknown", f"There is no order {number}.", hint="Look for it in the list of orders."
            )
        name = (await find_orgs(connection, EntityKind.ORDER, [number])).get(number, "")
        unsent = (await outbox.find(connection, EntityKind.ORDER, [number])).get(number)
        customer = loaded[0].customer.number
        of_customer = customer in await outbox.find(connection, EntityKind.CUSTOMER, [customer])
        sources = await load_journey(connection, EntityKind.ORDER, number)
    async with call.store.for_org(name).reader() as connection:
        org = await orgs.get_active(connection)
        org_id = "" if org is None else org.org_id
        link = (await links.get(connection, org_id, EntityKind.ORDER.value, [number])).get(number)
        opened = (await conflicts.open_fields(connection, org_id, EntityKind.ORDER.value, [number])).get(number, {})
        found = {} if link is None else await inbox.states(connection, org_id, [link.salesforce_id])
        is_parked = InboxState.PARKED in found.values()
    with_personal = call.token.role.covers(Role.OPS)
    journey = build_journey(EntityKind.ORDER.value, number, sources, with_personal=with_personal)
    most = len(journey.steps) if call.query_value("steps") == "all" else MOST_STEPS
    [order] = loaded
    actions = action_links(order) if with_personal else {}
    snapshot = {} if link is None else link.snapshot
    both = [
        AgreedField(
            name=name,
            agreed=value,
            local=opened[name].local if name in opened else None,
            remote=opened[name].remote if name in opened else None,
            conflict=opened[name].id if name in opened else None,
        )
        for name, value in sorted(snapshot.items())
    ]
    return {
        "title": f"Order {number}",
        "order": order,
        "actions": actions,
        "next": next_link(actions),
        "path_stages": _stages(order.stage),
        "lines": order.lines[:MOST_LINES],
        "more_lines": max(0, len(order.lines) - MOST_LINES),
        "unsent": unsent,
        "why_unsent": _why_unsent(unsent, with_personal=with_personal),
        "link": link,
        "agrees": link is not None and not opened and not is_parked and not of_customer,
        "of_customer": of_customer,
        "is_parked": is_parked,
        "conflicts": len(opened),
        "org": org,
        "both": both if with_personal else [],
        "is_hidden": not with_personal and bool(snapshot),
        "journey": journey,
        "steps": list(reversed(journey.steps[-most:])),
        "earlier": max(0, len(journey.steps) - most),
    }


def _unknown(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no order {number}.", hint="Look for it in the list.")


def _why_unsent(unsent: Unsent | None, *, with_personal: bool) -> str:
    """Why a change is not in the org: the org's own words, which may quote a value; a viewer gets what they mean."""
    if unsent is None:
        return ""
    if unsent.refusal is None:
        return unsent.error or "" if with_personal else ""
    code = RowError(code=unsent.refusal.code, message="")
    said = unsent.refusal.message if with_personal else classify_row(code).sentence
    return f"{said} {unsent.refusal.fix}"


def _stages(now: Stage) -> list[tuple[str, str]]:
    """The stages of the main way, each `done`, `here` or `ahead`; of a canceled order only where it is."""
    if now is Stage.CANCELED:
        return [(Stage.CANCELED.value, "here")]
    reached = MAIN.index(now)
    return [
        (stage.value, "done" if index < reached else "here" if index == reached else "ahead")
        for index, stage in enumerate(MAIN)
    ]


async def send_again(call: RequestContext, form: Form) -> Done:
    """Make the order due, to be compared with the org's present values; as `connector resync order NUMBER`."""
    number = call.path_key("number")
    chosen = ResyncFilter(keys=(number,))
    preview = await preview_resync(call.store, EntityKind.ORDER, chosen, ResyncMode.PUSH, partitions=call.partitions)
    return await _ask(call, preview, number, "sent again, compared with what Salesforce has now")


async def read_again(call: RequestContext, form: Form) -> Done:
    """Read the order's records from the org, and apply what differs by the owner of each field."""
    number = call.path_key("number")
    chosen = ResyncFilter(keys=(number,))
    preview = await preview_resync(call.store, EntityKind.ORDER, chosen, ResyncMode.PULL, partitions=call.partitions)
    return await _ask(call, preview, number, "read from Salesforce again")


async def _ask(call: RequestContext, preview: ResyncPreview, number: str, what: str) -> Done:
    if not preview.count:
        raise _unknown(number)
    asked = await request_resync(call.store, preview, priority=Priority.HIGH, actor=call.token.name)
    return Done(where=f"/orders/{quote(number, safe='')}", told=f"Order {number} is being {what} (resync {asked.id}).")


ACTIONS = (
    ConsoleAction(path="/orders/{number}/push", act=send_again),
    ConsoleAction(path="/orders/{number}/pull", act=read_again),
)
PAGE = ConsolePage(path="/orders/{number}", title="Order", template="order.html.j2", load=load_order)
