"""One order: its way through the stages, its lines and money, its documents, and its journey."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web

from connector.api.journey import build_journey
from connector.jobs.job_obstacles import note_missing_role
from connector.jobs.resync_request import ResyncPreview, preview_resync, request_resync
from connector.model.change import EntityKind, Unsent
from connector.model.inbound_change import InboxState
from connector.model.outcome import RowError
from connector.model.resync import Priority, ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.orders.documents.invoice import load as load_invoice
from connector.orders.documents.tracking_page import invoice_page, style_source
from connector.salesforce.fault import classify_row
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import conflicts, inbox, invoices, links, orders, orgs, outbox
from connector.store.queries import held_links
from connector.store.queries.entity_orgs import find_orgs
from connector.store.queries.journey import load_journey
from connector.web.console.formats import Place
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.lifecycle_flow import TakenPath, draw_flow
from connector.web.console.order_actions import action_links, next_link
from connector.web.console.order_money import money_rows
from connector.web.console.order_status import OrderSync, load_reason
from connector.web.path_number import query_number
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MOST_STEPS = 200
MOST_LINES = 100


QUANTITIES = {
    "Ordered": "quantity",
    "Allocated": "allocated",
    "Shipped": "shipped",
    "Delivered": "delivered",
    "Returned": "returned",
    "Canceled": "canceled",
}


async def load_order(call: RequestContext) -> Mapping[str, object]:
    number = call.path_key("number")
    with_personal = call.token.role.covers(Role.OPS)
    async with call.store.reader() as connection:
        loaded = await orders.load(connection, [number])
        if not loaded:
            raise ProblemError(
                404, "unknown", f"There is no order {number}.", hint="Look for it in the list of orders."
            )
        name = (await find_orgs(connection, EntityKind.ORDER, [number])).get(number, "")
        unsent = (await outbox.find(connection, EntityKind.ORDER, [number])).get(number)
        customer = loaded[0].customer.number
        of_customer = (await outbox.find(connection, EntityKind.CUSTOMER, [customer])).get(customer)
        sources = await load_journey(connection, EntityKind.ORDER, number)
        issued = await invoices.of_order(connection, number)
    async with call.store.for_org(name).reader() as connection:
        org = await orgs.get_active(connection)
        org_id = "" if org is None else org.org_id
        link = (await links.get(connection, org_id, EntityKind.ORDER.value, [number])).get(number)
        opened = (await conflicts.open_fields(connection, org_id, EntityKind.ORDER.value, [number])).get(number, {})
        held = await held_links.list_of(connection, org_id, EntityKind.ORDER.value, [number])
        found = {} if link is None else await inbox.states(connection, org_id, [link.salesforce_id])
        is_parked = InboxState.PARKED in found.values()
        actions = action_links(loaded[0]) if with_personal else {}
        sync = OrderSync(
            org=name,
            org_id=org_id,
            link=link,
            unsent=unsent,
            customer_state=None if of_customer is None else of_customer.state,
            conflicts=opened,
            is_imported=not sources.events,
        )
        reason = None if org is None else await load_reason(call, connection, loaded[0], sync, actions)
    journey = build_journey(
        EntityKind.ORDER.value, number, sources, with_personal=with_personal, money=Place.of(call.request).write_money
    )
    most = len(journey.steps) if call.query_value("steps") == "all" else MOST_STEPS
    [order] = loaded
    first_line = query_number(call, "line") or 1
    lines = [line for line in order.lines if line.number >= first_line]
    path = TakenPath.read(order.stage, order.header.placed_at, sources.events)
    return {
        "title": f"Order {number}",
        "order": order,
        "actions": actions,
        "next": next_link(actions),
        "path_stages": path.steps(),
        "flow": draw_flow(path, Place.of(call.request)),
        "lines": lines[:MOST_LINES],
        "more_lines": lines[MOST_LINES].number if len(lines) > MOST_LINES else None,
        "is_later_lines": first_line > 1,
        "quantity_titles": QUANTITIES,
        "money": money_rows(order, call.store.clock.now(), call.orders.rules.billing),
        "invoices": issued,
        "shipments": [item for _, item in sorted(order.state.shipments.items())],
        "returns": [item for _, item in sorted(order.state.returns.items())],
        "unsent": unsent,
        "why_unsent": _why_unsent(unsent, with_personal=with_personal),
        "link": link,
        "agrees": link is not None and not opened and not held and not is_parked and of_customer is None,
        "of_customer": of_customer is not None,
        "reason": reason,
        "is_parked": is_parked,
        "conflicts": len(opened),
        "held": held,
        "org_name": name or DEFAULT_ORG,
        "org": org,
        "is_hidden": not with_personal,
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


async def show_invoice(call: RequestContext) -> web.Response:
    """An invoice of the order as it was issued."""
    number = call.path_key("number")
    async with call.store.reader() as connection:
        found = await invoices.find(connection, call.path_key("invoice"))
    if found is None or found.order_number != number:
        raise ProblemError(404, "unknown", f"Order {number} has no such invoice.", hint="Open it from its order.")
    policy = f"default-src 'none'; style-src {style_source()}; frame-ancestors 'none'"
    page = invoice_page(load_invoice(found.body))
    return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": policy})


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
    told = f"Order {number} is {what} (resync {asked.id}).{await note_missing_role(call.store, 'worker')}"
    return Done(where=f"/orders/{quote(number, safe='')}", told=told)


ACTIONS = (
    ConsoleAction(path="/orders/{number}/push", act=send_again),
    ConsoleAction(path="/orders/{number}/pull", act=read_again),
)
PAGES = (
    ConsolePage(path="/orders/{number}", title="Order", template="order.html.j2", load=load_order),
    ConsolePage(path="/orders/{number}/invoices/{invoice}", title="", template="", load=show_invoice, role=Role.OPS),
)
