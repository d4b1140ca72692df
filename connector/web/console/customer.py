"""One customer: who it is, its account on both sides, its orders, what waits for a person, and its journey."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from connector.api.journey import build_journey
from connector.errors import ConnectorError
from connector.jobs.job_obstacles import note_missing_role
from connector.jobs.resync_request import preview_resync, request_resync
from connector.mapping.receiver import RecordReceiver
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.reconciliation import FINDINGS, OPEN
from connector.model.record import IS_PERSON, Link
from connector.model.resync import Priority, ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.outbound.org_discovery import load_stored_profile
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import conflicts, customers, links, modification_times, orgs, outbox, reconcile_runs
from connector.store.engine import Connection
from connector.store.queries import held_links
from connector.store.queries.customer_orders import count_orders
from connector.store.queries.entity_orgs import find_orgs
from connector.store.queries.journey import load_journey
from connector.store.queries.order_list import OrderFilter, list_latest_orders
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.orders import load_rows
from connector.web.console.side_records import Known, SideRecord, build_record
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MOST_ORDERS = 10
MOST_STEPS = 100
MOST_FINDINGS = 1_000
_KIND = EntityKind.CUSTOMER


async def load_customer(call: RequestContext) -> Mapping[str, object]:
    number = call.path_key("number")
    with_personal = call.token.role.covers(Role.OPS)
    async with call.store.reader() as connection:
        found = await customers.load(connection, [number])
        if not found:
            raise _unknown(number)
        [customer] = found
        name = (await find_orgs(connection, _KIND, [number])).get(number, "")
        unsent = (await outbox.find(connection, _KIND, [number])).get(number)
        latest = await list_latest_orders(connection, OrderFilter(customer=number), before=None, limit=MOST_ORDERS)
        rows = await load_rows(connection, [order for order, _ in latest], await orgs.list_active_ids(connection))
        count = await count_orders(connection, number)
        sources = await load_journey(connection, _KIND, number)
    async with call.store.for_org(name).reader() as connection:
        org = await orgs.get_active(connection)
        org_id = "" if org is None else org.org_id
        link = (await links.get(connection, org_id, _KIND.value, [number])).get(number)
        opened = (await conflicts.open_fields(connection, org_id, _KIND.value, [number])).get(number, {})
        run = None if org is None else await reconcile_runs.latest_of(connection, org_id, _KIND.value, number)
        held = await held_links.list_of(connection, org_id, _KIND.value, [number])
        record = None
        if org is not None and with_personal:
            record = await _load_record(call, connection, org_id, customer, link)
    journey = build_journey(_KIND.value, number, sources, with_personal=with_personal)
    return {
        "title": f"Customer {number}",
        "customer": customer,
        "org": org,
        "org_name": name,
        "link": link,
        "unsent": unsent,
        "conflicts": len(opened),
        "held": held,
        "release_org": name or DEFAULT_ORG,
        "rows": rows,
        "order_count": count,
        "record": record,
        "run": run,
        "steps": list(reversed(journey.steps[-MOST_STEPS:])),
    }


async def _load_record(
    call: RequestContext, connection: Connection, org_id: str, customer: Customer, link: Link | None
) -> SideRecord | None:
    """The account, field by field; None if the mappings cannot be read: other pages say why."""
    try:
        mappings = await call.conflict_resolver().mappings()
    except ConnectorError:
        return None
    mapping = mappings.customer
    if mappings.person is not None and link is not None and link.snapshot.get(IS_PERSON) is True:
        mapping = mappings.person
    number = customer.number
    run = await reconcile_runs.latest_of(connection, org_id, _KIND.value, number)
    states = FINDINGS | OPEN
    findings = (
        [] if run is None else await reconcile_runs.list_records(connection, run.id, states=states, limit=MOST_FINDINGS)
    )
    profile = await load_stored_profile(connection, org_id)
    times = (await modification_times.get(connection, _KIND, [number])).get(number)
    opened = await conflicts.open_fields(connection, org_id, _KIND.value, [number])
    known = Known(
        describes={} if profile is None else profile[0].describes,
        findings={(item.entity, item.key): item for item in findings if item.key is not None},
        run=run,
        conflicts={(_KIND.value, key): fields for key, fields in opened.items()},
        times={} if times is None else RecordReceiver(mapping.spec.record).by_field(times.by_attribute),
    )
    return build_record(mapping.spec.record, customer, "Account", link, known)


async def send_again(call: RequestContext, form: Form) -> Done:
    """Make the customer due; as `connector resync customer NUMBER`."""
    return await _ask(call, ResyncMode.PUSH, "sent again, compared with what Salesforce has now")


async def read_again(call: RequestContext, form: Form) -> Done:
    """Read the account, and apply what differs by the owner of each field."""
    return await _ask(call, ResyncMode.PULL, "read from Salesforce again")


async def compare(call: RequestContext, form: Form) -> Done:
    """Let a worker compare the customer with its account, within the API budget."""
    return await _ask(call, ResyncMode.COMPARE, "compared with Salesforce")


async def _ask(call: RequestContext, mode: ResyncMode, what: str) -> Done:
    number = call.path_key("number")
    preview = await preview_resync(call.store, _KIND, ResyncFilter(keys=(number,)), mode, partitions=call.partitions)
    if not preview.count:
        raise _unknown(number)
    asked = await request_resync(call.store, preview, priority=Priority.HIGH, actor=call.token.name)
    told = f"Customer {number} is {what} (resync {asked.id}).{await note_missing_role(call.store, 'worker')}"
    return Done(where=f"/customers/{quote(number, safe='')}", told=told)


def _unknown(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no customer {number}.", hint="Find it by name, email or phone.")


PAGE = ConsolePage(path="/customers/{number}", title="Customer", template="customer.html.j2", load=load_customer)
ACTIONS = (
    ConsoleAction(path="/customers/{number}/push", act=send_again),
    ConsoleAction(path="/customers/{number}/pull", act=read_again),
    ConsoleAction(path="/customers/{number}/compare", act=compare),
)
