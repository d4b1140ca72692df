"""One order on both sides, field by field: what would be sent now, what both last agreed on, and what the org had when
it was compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from connector.errors import ConnectorError
from connector.jobs.resync_request import preview_resync, request_resync
from connector.mapping.compiler import ABSENT, compile_field
from connector.mapping.mapper import MappingSet
from connector.mapping.receiver import RecordReceiver
from connector.mapping.spec import Owner, RecordSpec
from connector.model.change import EntityKind
from connector.model.conflict import Conflict
from connector.model.describe import SObjectDescribe
from connector.model.field_equality import same_value
from connector.model.order import Order
from connector.model.reconciliation import Finding, ReconcileRun, RecordState
from connector.model.record import FieldValue, Link
from connector.model.resync import Priority, Resync, ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.outbound.org_discovery import load_stored_profile
from connector.policies import DEFAULT_ORG
from connector.store import conflicts, links, modification_times, orders, orgs, reconcile_runs, resyncs
from connector.store.engine import Connection
from connector.store.queries import held_links
from connector.store.queries.entity_orgs import find_orgs
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MOST_FINDINGS = 200
LINE = "line"


@dataclass(frozen=True, kw_only=True, slots=True)
class SideField:
    """A field of a record on both sides. `is_known`: the org's value is known (`remote`), from the latest comparison.
    `is_unsent`: the value here is not the one that both agreed on. `is_held`: it was undone, and is not sent until it
    is another one. `owner`: whose value counts."""

    name: str
    label: str
    owner: str
    local: FieldValue
    agreed: FieldValue
    has_local: bool = True
    has_agreed: bool = True
    remote: FieldValue = None
    is_known: bool = False
    differs_there: bool = False
    is_unsent: bool = False
    is_held: bool = False
    changed_at: datetime | None = None
    conflict: Conflict | None = None

    @property
    def differs(self) -> bool:
        return self.is_unsent or self.differs_there or self.conflict is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class SideRecord:
    """A record with its fields: that of the order, or of one of its lines."""

    title: str
    link: Link | None
    fields: Sequence[SideField]

    @property
    def differing(self) -> int:
        return sum(field.differs for field in self.fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What is known of the records of an order besides its own values."""

    describes: Mapping[str, SObjectDescribe]
    findings: Mapping[tuple[str, str], Finding]
    run: ReconcileRun | None
    conflicts: Mapping[tuple[str, str], Mapping[str, Conflict]]
    times: Mapping[str, datetime]


async def load_sides(call: RequestContext) -> Mapping[str, object]:
    number = call.path_key("number")
    async with call.store.reader() as connection:
        loaded = await orders.load(connection, [number])
        name = (await find_orgs(connection, EntityKind.ORDER, [number])).get(number, "")
        active = await resyncs.list_active(connection)
    if not loaded:
        raise _unknown(number)
    [order] = loaded
    shown: dict[str, object] = {
        "title": f"Both sides of order {number}", "order": order, "records": [], "run": None, "problem": "",
        "waiting": next((item for item in active if _is_comparison(item, number)), None),
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
    findings = [] if run is None else await reconcile_runs.list_findings(connection, run.id, limit=MOST_FINDINGS)
    known = _Known(
        describes={} if profile is None else profile[0].describes,
        findings={(item.entity, item.key): item for item in findings if item.key is not None},
        run=run,
        conflicts=opened,
        times={} if times is None else RecordReceiver(mapping.spec.record).by_field(times.by_attribute),
    )
    records = [_record(mapping.spec.record, order, "Order", link, known)]
    for attribute, part in mapping.spec.children.items():
        for child in getattr(order, attribute):
            title = f"Line {child.number}: {child.product.name}"
            records.append(_record(part, child, title, line_links.get(child.key), known))
    return records


def _record(spec: RecordSpec, entity: Any, title: str, link: Link | None, known: _Known) -> SideRecord:
    describe = known.describes.get(spec.sobject)
    name = (spec.entity, entity.key)
    finding = known.findings.get(name)
    seen = {} if finding is None else {item.field: item.remote for item in finding.fields}
    is_compared = _is_compared(spec.entity, link, finding, known)
    fields = []
    for field in spec.fields:
        about = None if describe is None else describe.fields.get(field.name)
        local, has_local = _local(compile_field(field), entity)
        has_agreed = link is not None and field.name in link.snapshot
        agreed = link.snapshot.get(field.name) if link is not None else None
        is_seen = field.name in seen
        fields.append(
            SideField(
                name=field.name,
                label=readable_name(field.name) if about is None else about.label,
                owner=_OWNERS[field.owner],
                local=local,
                agreed=agreed,
                has_local=has_local,
                has_agreed=has_agreed,
                remote=seen[field.name] if is_seen else agreed,
                is_known=is_seen or (is_compared and has_agreed),
                differs_there=is_seen and not same_value(local, seen[field.name], about),
                is_unsent=_is_sent(field.owner, has_local, has_agreed) and not same_value(local, agreed, about),
                is_held=link is not None
                and field.name in link.held
                and same_value(local, link.held[field.name], about),
                changed_at=known.times.get(field.name) if spec.entity == EntityKind.ORDER.value else None,
                conflict=known.conflicts.get(name, {}).get(field.name),
            )
        )
    return SideRecord(title=title, link=link, fields=sorted(fields, key=lambda item: not item.differs))


def _is_compared(entity: str, link: Link | None, finding: Finding | None, known: _Known) -> bool:
    """Whether the latest comparison says of each field of the record whether it is the same: not if the record has
    been written since, or what differs was on its way."""
    if known.run is None or known.run.finished_at is None or link is None:
        return False
    if finding is not None:
        return finding.state is RecordState.DRIFTED
    unclear = (RecordState.PENDING, RecordState.REFUSED, RecordState.IN_CONFLICT)
    is_older = link.synced_at is not None and link.synced_at > known.run.finished_at
    return not is_older and not any(known.run.counts.get(entity, {}).get(state) for state in unclear)


_OWNERS = {Owner.LOCAL: "here", Owner.SALESFORCE: "Salesforce", Owner.NEWEST: "the later", Owner.ASK: "a person"}


def readable_name(name: str) -> str:
    """`Shipping Street` of ShippingStreet, `Hold Reason` of Hold_Reason__c: for an org whose labels are not known."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removesuffix("__c").replace("_", " "))


def _local(get: Any, entity: Any) -> tuple[FieldValue, bool]:
    """The value that would be sent, and whether one would be; a value that cannot be computed is none."""
    try:
        value = get(entity)
    except Exception:  # whatever a transform or an expression raises on an unsuitable value
        return None, False
    return (None, False) if value is ABSENT else (value, True)


def _is_sent(owner: Owner, has_local: bool, has_agreed: bool) -> bool:
    return owner is not Owner.SALESFORCE and has_local and has_agreed


async def compare(call: RequestContext, form: Form) -> Done:
    """Let a worker compare the order with the org, within the API budget; as a resync of mode `compare`."""
    number = call.path_key("number")
    chosen = ResyncFilter(keys=(number,))
    preview = await preview_resync(call.store, EntityKind.ORDER, chosen, ResyncMode.COMPARE, partitions=call.partitions)
    if not preview.count:
        raise _unknown(number)
    asked = await request_resync(call.store, preview, priority=Priority.HIGH, actor=call.token.name)
    where = f"/orders/{quote(number, safe='')}/sides"
    return Done(where=where, told=f"Order {number} is being compared with Salesforce (resync {asked.id}).")


def _unknown(number: str) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no order {number}.", hint="Look for it in the list of orders.")


PAGE = ConsolePage(path="/orders/{number}/sides", title="Both sides", template="order_sides.html.j2", load=load_sides)
ACTIONS = (ConsoleAction(path="/orders/{number}/compare", act=compare),)
