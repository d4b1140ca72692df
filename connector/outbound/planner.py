"""Plans the writes of a claim: what differs from the links, within the org's rules for orders.

PURE: entities, links and the OrgProfile go in, a Plan comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from connector.model.change import Refusal
from connector.model.record import Link, changed_fields
from connector.outbound import order_planner
from connector.outbound.customer_records import build_record
from connector.outbound.order_planner import OrderContext
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import PendingEntity, Plan, RecordUpdate, Rejection, Upsert
from connector.outbound.preflight import Source, reference_like_values


def plan_records(pending_entities: Iterable[PendingEntity], profile: OrgProfile, source: Source) -> Plan:
    """Plan customers and products: upsert new ones, update what differs, refuse what the org would refuse."""
    plan = Plan()
    for pending in pending_entities:
        record = pending.record
        if pending.problem is not None:
            plan.refused.append(Rejection(pending=pending, refusal=pending.problem))
            continue
        if record is None:
            plan.unchanged.append(pending)
            continue
        upsert = build_record(record, profile, source, link=pending.link, unconfirmed=pending.unconfirmed)
        if isinstance(upsert, Refusal):
            plan.refused.append(Rejection(pending=pending, refusal=upsert))
        elif pending.link is None or pending.unconfirmed:
            # It is not known what the org holds, so all fields are sent.
            plan.upserts.append(Upsert(pending=pending, record=upsert))
        elif differing := changed_fields(upsert.fields, pending.link.snapshot):
            plan.updates.append(
                RecordUpdate(
                    pending=pending,
                    entity=record.entity,
                    key=record.key,
                    sobject=record.sobject,
                    id=pending.link.salesforce_id,
                    fields=differing,
                    identity={upsert.external_id: upsert.fields[upsert.external_id]},
                )
            )
        else:
            plan.unchanged.append(pending)
    return plan


def accounts_ahead(
    orders: Sequence[PendingEntity], linked: Mapping[str, Link], missing: Mapping[str, PendingEntity]
) -> set[str]:
    """The keys of customers whose new account must be written before the graphs, in a call of its own.

    The account of a customer with a single new order travels in that order's graph at no cost. It goes ahead if a
    second graph needs it, because that graph could run first; if an order that the org already has refers to it; and if
    one of its texts looks like a reference, which a graph would resolve.
    """
    new_orders_by_customer: Counter[str] = Counter()
    ahead: set[str] = set()
    for pending in orders:
        lookups = pending.record.lookups.values() if pending.record is not None else ()
        customers = [item.key for item in lookups if item.entity == "customer" and item.key not in linked]
        if pending.link is None:
            new_orders_by_customer.update(customers)
        else:
            ahead.update(customers)
    return ahead | {
        customer
        for customer, new_orders in new_orders_by_customer.items()
        if new_orders > 1
        or (
            (customer_pending := missing.get(customer))
            and customer_pending.record
            and reference_like_values(customer_pending.record.fields)
        )
    }


def plan_orders(pending_entities: Iterable[PendingEntity], context: OrderContext) -> Plan:
    """Plan orders: a graph for each new one, updates for what differs, a rewrite if the org has frozen what must
    change."""
    plan = Plan()
    for pending in pending_entities:
        order_planner.plan_order(pending, context, plan)
    return plan
