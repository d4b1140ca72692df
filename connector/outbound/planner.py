"""Decides what to write for each due entity: the order rules of the org, and nothing that does not differ.

PURE: values in, a Plan out. It knows the org by its OrgFacts and by the links of earlier writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType

from connector.model.change import Refusal
from connector.model.record import Link, MappedRecord, changed_fields
from connector.outbound import order_planner
from connector.outbound.customer_records import build_record
from connector.outbound.order_planner import OrderContext
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import PendingEntity, Plan, RecordUpdate, Rejection, Upsert
from connector.outbound.preflight import Source, reference_like_values


def plan_records(candidates: Iterable[PendingEntity], facts: OrgProfile, source: Source) -> Plan:
    """Customers and products: upsert what is new, update what differs, refuse what cannot fit."""
    plan = Plan()
    for candidate in candidates:
        record = candidate.record
        if candidate.problem is not None:
            plan.refused.append(Rejection(candidate=candidate, refusal=candidate.problem))
            continue
        if record is None:
            plan.unchanged.append(candidate)
            continue
        new = build_record(record, facts, source, link=candidate.link, unsure=candidate.unsure)
        if isinstance(new, Refusal):
            plan.refused.append(Rejection(candidate=candidate, refusal=new))
        elif candidate.link is None or candidate.unsure:
            # What the org holds is not known: all of it, which is as good as a difference.
            plan.upserts.append(Upsert(candidate=candidate, record=new))
        elif differing := changed_fields(new.fields, candidate.link.snapshot):
            plan.rows.append(
                RecordUpdate(
                    candidate=candidate,
                    entity=record.entity,
                    key=record.key,
                    sobject=record.sobject,
                    id=candidate.link.salesforce_id,
                    fields=differing,
                    identity={new.external_id: new.fields[new.external_id]},
                )
            )
        else:
            plan.unchanged.append(candidate)
    return plan


def accounts_ahead(
    orders: Sequence[PendingEntity], linked: Mapping[str, Link], unknown: Mapping[str, PendingEntity]
) -> set[str]:
    """Customers without an account whose account goes ahead of the graphs, in one call.

    A customer with a single new order rides in that order's graph at no cost. A second graph that needed the same new
    account could run before the first; an order that the org has can only refer to one that is there; and text that
    looks like a reference must not travel in a graph at all.
    """
    wanting: Counter[str] = Counter()
    ahead: set[str] = set()
    for candidate in orders:
        lookups = candidate.record.lookups.values() if candidate.record is not None else ()
        wanted = [item.key for item in lookups if item.entity == "customer" and item.key not in linked]
        if candidate.link is None:
            wanting.update(wanted)
        else:
            ahead.update(wanted)
    return ahead | {
        customer
        for customer, orders_of in wanting.items()
        if orders_of > 1
        or ((known := unknown.get(customer)) and known.record and reference_like_values(known.record.fields))
    }


def plan_orders(
    candidates: Iterable[PendingEntity],
    *,
    facts: OrgProfile,
    customers: Mapping[str, Link],
    accounts: Mapping[str, MappedRecord],
    refusals: Mapping[str, Refusal],
    prices: Mapping[str, str],
    withdrawn: Set[str],
    source: Source,
    originals: Mapping[tuple[str, str], Link] = MappingProxyType({}),
    lost: Mapping[str, Link] = MappingProxyType({}),
) -> Plan:
    """Orders: a graph for each new one, rows for what differs, a sequence where the org has frozen what must change.

    `customers` are the accounts already linked; `accounts` the records of those that are not; `refusals` say why a
    customer (by key) or a product (by price key, `SKU|USD`) was refused; `prices` are entry IDs by price key,
    and `withdrawn` those that we have switched off because there is no such price here any more; `originals` the orders
    and lines that returns refer to, by (entity, key); `lost` the links of accounts that are in `refusals`.
    """
    plan = Plan()
    context = OrderContext(
        facts=facts,
        customers=customers,
        accounts=accounts,
        refusals=refusals,
        prices=prices,
        withdrawn=withdrawn,
        source=source,
        originals=originals,
        lost=lost,
    )
    for candidate in candidates:
        order_planner.plan_one(candidate, context, plan)
    return plan
