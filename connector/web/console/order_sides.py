"""One order on both sides, field by field: what would be sent now, what is noted of the org, what the org had when
it was compared."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from connector.errors import ConnectorError
from connector.jobs.job_obstacles import is_role_missing, note_missing_role
from connector.jobs.resync_request import preview_resync, request_resync
from connector.mapping.mapper import MappingSet
from connector.mapping.receiver import RecordReceiver
from connector.model.change import EntityKind
from connector.model.order import Order
from connector.model.reconciliation import FINDINGS, OPEN, ReconcileRun
from connector.model.resync import Priority, Resync, ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.outbound.org_discovery import load_stored_profile
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import conflicts, links, modification_times, orders, orgs, reconcile_runs, resyncs
from connector.store.engine import Connection
from connector.store.queries import held_links
from connector.store.queries.entity_orgs import find_orgs
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.side_records import Known, SideRecord, build_record
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MOST_FINDINGS = 1_000
LINE = "line"


async def load_sides(call: RequestContext) -> Mapping[str, object]:
    number = call.path_key("number")
    async with call.store.reader() as connection:
        loaded = await orders.load(connection, [number])
        name = (await find_orgs(connection, EntityKind.ORDER, [number])).get(number, "")
        active = await resyncs.list_active(connection)
        lacks_worker = await is_role_missing(connection, "worker", call.store.clock.now())
    if not loaded:
        raise _unknown(number)
    [order] = loaded
    shown: dict[str, object] = {
        "title": f"Both sides of order {number}", "order": order, "records": [], "run": None, "problem": "",
        "lacks_worker": lacks_worker, "waiting": next((item for item in active if _is_comparison(item, number)), None),
        "has_link": False, "is_hidden": True, "org": None, "equal_lines": 0, "held": [],
        "org_name": name or DEFAULT_ORG,
    }  # fmt: skip
    if not call.token.role.covers(Role.OPS):
        return shown
    shown["is_hidden"] = False
    try:
        mappings = await call.conflict_resolver().mappings()
    except ConnectorError as error:
        return {**shown, "problem": f"{error.message} {error.hint}"}
    async with call.store.for_org(name).reader() as connection:
        org = await orgs.get_active(connection)
        if org is None:
            return shown
        run = await reconcile_runs.latest_of(connection, org.org_id, EntityKind.ORDER.value, number)
        held = await held_links.list_of(connection, org.org_id, EntityKind.ORDER.value, [number])
        records = await _load_records(connection, org.org_id, order, mappings, run)
    lines = records[1:]
    return {
        **shown,
        "org": org,
        "run": run,
        "held": held,
        "has_link": bool(records) and records[0].link is not None,
        "records": [*records[:1], *(record for record in lines if record.differing)],
        "equal_lines": sum(record.link is not None and not record.differing for record in lines),
    }


def _is_comparison(resync: Resync, number: str) -> bool:
    return resync.mode is ResyncMode.COMPARE and resync.filter.keys == (number,)


async def _load_records(
    connection: Connection, org_id: str, order: Order, mappings: MappingSet, run: ReconcileRun | None
) -> list[SideRecord]:
    kind, number = EntityKind.ORDER, order.number
    mapping = mappings.of(kind)
    if mapping is None:
        return []
    link = (await links.get(connection, org_id, kind.value, [number])).get(number)
    line_links = (await links.children(connection, org_id, LINE, [number])).get(number, {})
    profile = await load_stored_profile(connection, org_id)
    opened = {
        (entity, key): of_key
        for entity, keys in ((kind.value, [number]), (LINE, [line.key for line in order.lines]))
        for key, of_key in (await conflicts.open_fields(connection, org_id, entity, keys)).items()
    }
    times = (await modification_times.get(connection, kind, [number])).get(number)
    states = FINDINGS | OPEN
    findings = (
        [] if run is None else await reconcile_runs.list_records(connection, run.id, states=states, limit=MOST_FINDINGS)
    )
    known = Known(
        describes={} if profile is None else profile[0].describes,
        findings={(item.entity, item.key): item for item in findings if item.key is not None},
        run=run,
        conflicts=opened,
        times={} if times is None else RecordReceiver(mapping.spec.record).by_field(times.by_attribute),
    )
    records = [build_record(mapping.spec.record, order, "Order", link, known)]
    for attribute, part in mapping.spec.children.items():
        for child in getattr(order, attribute):
            title = f"Line {child.number}: {child.product.name}"
            records.append(build_record(part, child, title, line_links.get(child.key), known))
    return records


async def compare(call: RequestContext, form: Form) -> Done:
    """Let a worker compare the order with the org, within the API budget; as a resync of mode `compare`."""
    number = call.path_key("number")
    chosen = ResyncFilter(keys=(number,))
    preview = await preview_resync(call.store, EntityKind.ORDER, chosen, ResyncMode.COMPARE, partitions=call.partitions)
    if not preview.count:
        raise _unknown(number)
    asked = await request_resync(call.store, preview, priority=Priority.HIGH, actor=call.token.name)
    where = f"/orders/{quote(number, safe='')}/sides"
    told = f"Order {number} is compared with Salesforce (resync {asked.id})."
    return Done(where=where, told=told + await note_missing_role(call.store, "worker"))


def _unknown(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no order {number}.", hint="Look for it in the list of orders.")


PAGE = ConsolePage(path="/orders/{number}/sides", title="Both sides", template="order_sides.html.j2", load=load_sides)
ACTIONS = (ConsoleAction(path="/orders/{number}/compare", act=compare),)
