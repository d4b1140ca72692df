"""The rules for one order: Draft, then lines, then the status that activates it; and what is frozen after that.

The org accepts a new order only with a Draft status, takes lines only with an entry of the order's price book, and from
activation on refuses to add or remove lines and to move the fields in FROZEN. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from connector.model.change import Refusal
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.record import Link, Lookup, MappedRecord, changed_fields
from connector.outbound.customer_records import account_type_conflict, build_record
from connector.outbound.frozen_fields import CREATE_ONLY, FROZEN, FROZEN_LINE, ONCE
from connector.outbound.lost_records import line_deleted
from connector.outbound.org_profile import ACTIVATED, DRAFT, OrgProfile
from connector.outbound.plan_types import (
    Fields,
    OrderGraph,
    OrderRewrite,
    PendingEntity,
    Plan,
    RecordUpdate,
    RecordUpsert,
    Rejection,
)
from connector.outbound.preflight import Source, first_violation, normalize, reference_like_values
from connector.outbound.rejections import (
    rejection_for_excess_decimals,
    rejection_for_misread_key,
    rejection_for_missing_original,
    rejection_for_no_currency,
    rejection_for_no_lines,
    rejection_for_no_record_type,
)
from connector.salesforce.limits import NODES_PER_CALL, QUERIES_PER_COMPOSITE, ROWS_PER_COLLECTION


@dataclass(frozen=True, kw_only=True)
class OrderContext:
    facts: OrgProfile
    customers: Mapping[str, Link]
    accounts: Mapping[str, MappedRecord]
    refusals: Mapping[str, Refusal]
    prices: Mapping[str, str]
    withdrawn: Set[str]
    source: Source
    originals: Mapping[tuple[str, str], Link] = field(default_factory=dict)
    """Orders and lines that returns refer to, by (entity, key)."""
    lost: Mapping[str, Link] = field(default_factory=dict)
    """Links of accounts that are refused, by customer."""


class _RefuseError(Exception):
    """`certain`: nothing of what was refused needs to be looked at in the org before it is tried again."""

    def __init__(self, reason: Refusal, *, certain: bool = True) -> None:
        super().__init__(reason.message)
        self.reason = reason
        self.certain = certain


def plan_one(candidate: PendingEntity, context: OrderContext, plan: Plan) -> None:
    """Add to `plan` what `candidate` needs; a refusal if the org would not take it."""
    record = candidate.record
    if candidate.problem is not None:
        plan.refused.append(Rejection(candidate=candidate, refusal=candidate.problem))
        return
    if record is None:
        plan.unchanged.append(candidate)
        return
    try:
        _refuse_misread_keys(record)
        if candidate.link is None:
            plan.graphs.append(_new_order(candidate, record, context))
        else:
            _changed_order(candidate, record, candidate.link, context, plan)
    except _RefuseError as refused:
        plan.refused.append(Rejection(candidate=candidate, refusal=refused.reason, certain=refused.certain))


def _new_order(candidate: PendingEntity, record: MappedRecord, context: OrderContext) -> OrderGraph:
    header, status = _header(candidate, record, context, creating=True)
    if record.sobject == "Order":
        drafted = status if context.facts.category(status) == DRAFT else None
        header["Status"] = drafted or context.facts.draft_status
    account = None
    customer = _customer_key(record)
    if customer is not None and customer not in context.customers:
        account = _account(customer, record, context)
    room = NODES_PER_CALL - 1 - (account is not None)
    lines = [_line(line, context, creating=True) for line in record.children]
    status = None if context.facts.category(status) == DRAFT else status
    if status is not None and not lines:
        raise _RefuseError(rejection_for_no_lines(record))
    order, later = _without_misread(_record(record, header))
    kept = [_without_misread(line) for line in lines[:room]]
    return OrderGraph(
        candidate=candidate,
        customer=customer or "",
        account=account,
        order=order,
        lines=tuple(line for line, _ in kept),
        status=status,
        partial=later or any(late for _, late in kept) or len(lines) > room,
    )


def _changed_order(
    candidate: PendingEntity, record: MappedRecord, link: Link, context: OrderContext, plan: Plan
) -> None:
    header, status = _header(candidate, record, context, creating=False)
    current = link.snapshot.get("Status") if record.sobject == "Order" else None
    active = context.facts.category(current) == ACTIVATED
    differing = {name: value for name, value in changed_fields(header, link.snapshot).items() if name not in ONCE}
    differing.pop("Pricebook2Id", None)  # fixed once lines exist; ours is always the standard price book
    add, remove, update = _line_changes(candidate, record, context)
    wanted = status if status is not None else current
    if wanted is not None and context.facts.category(wanted) == ACTIVATED and not record.children:
        raise _RefuseError(rejection_for_no_lines(record))

    frozen = bool(FROZEN & differing.keys()) or any(FROZEN_LINE & row.fields.keys() for row in update)
    if add or remove or (active and frozen):
        plan.sequences.append(
            _sequence(
                candidate,
                link,
                differing,
                add,
                remove,
                update,
                active=active,
                wanted=wanted,
                kept=status is None,
                context=context,
            )
        )
        return
    if differing:
        plan.rows.append(_row(candidate, record, link, differing))
    plan.rows.extend(update)
    if status is not None and status != current:
        plan.statuses.append(_row(candidate, record, link, {"Status": status}))
    elif not differing and not update:
        plan.unchanged.append(candidate)


def _line_changes(
    candidate: PendingEntity, record: MappedRecord, context: OrderContext
) -> tuple[list[RecordUpsert], list[tuple[str, str]], list[RecordUpdate]]:
    """Lines to add, lines to remove as (key, ID), rows of lines to change; another product is remove and add."""
    add: list[RecordUpsert] = []
    update: list[RecordUpdate] = []
    kept = {line.key for line in record.children}
    remove = [(key, link.salesforce_id) for key, link in candidate.links.items() if key not in kept]
    for line in record.children:
        link = candidate.links.get(line.key)
        new = _line(line, context, creating=link is None)
        if link is None:
            _refuse_deleted(candidate, line, new)
            add.append(new)
            continue
        differing = {
            name: value for name, value in changed_fields(new.fields, link.snapshot).items() if name not in ONCE
        }
        if CREATE_ONLY & differing.keys():
            remove.append((line.key, link.salesforce_id))
            add.append(_line(line, context, creating=True))
        elif differing:
            update.append(_row(candidate, line, link, differing))
    return add, remove, update


def _refuse_deleted(candidate: PendingEntity, line: MappedRecord, new: RecordUpsert) -> None:
    """A line that somebody deleted in the org is not made again unasked. One that was to be replaced may have been
    deleted by us."""
    lost = candidate.lost.get(line.key)
    if lost is not None and not CREATE_ONLY & changed_fields(new.fields, lost.snapshot).keys():
        raise _RefuseError(line_deleted(candidate.change, line, lost), certain=False)


def _sequence(
    candidate: PendingEntity,
    link: Link,
    header: Fields,
    add: list[RecordUpsert],
    remove: list[tuple[str, str]],
    update: list[RecordUpdate],
    *,
    active: bool,
    wanted: object,
    kept: bool,
    context: OrderContext,
) -> OrderRewrite:
    """As much of the change as one composite call takes; `partial` where some is left for the next.

    `kept`: the mapping leaves the status to the org, so that nothing but this call remembers what it was.
    """
    room = QUERIES_PER_COMPOSITE
    taken: list[tuple[int, int]] = []
    for items in (remove, add, update):
        calls = min(room, -(-len(items) // ROWS_PER_COLLECTION))
        room -= calls
        taken.append((calls * ROWS_PER_COLLECTION, len(items)))
    later = reference_like_values(header)
    added = [_without_misread(line) for line in add[: taken[1][0]]]
    changed = [(row, reference_like_values(row.fields)) for row in update[: taken[2][0]]]
    partial = any(limit < count for limit, count in taken) or any((later, *(late for _, late in (*added, *changed))))
    reopen = context.facts.draft_status if active else None
    status = wanted if isinstance(wanted, str) and wanted != (reopen or link.snapshot.get("Status")) else None
    return OrderRewrite(
        candidate=candidate,
        order_id=link.salesforce_id,
        reopen=reopen,
        header={name: value for name, value in header.items() if name not in later},
        delete=tuple(remove[: taken[0][0]]),
        add=tuple(line for line, _ in added),
        update=tuple(
            replace(row, fields={name: value for name, value in row.fields.items() if name not in late})
            for row, late in changed
            if row.fields.keys() - late.keys()
        ),
        status=None if partial and not kept else status,
        partial=partial,
    )


def _header(
    candidate: PendingEntity, record: MappedRecord, context: OrderContext, *, creating: bool
) -> tuple[Fields, str | None]:
    """The order's own fields with references resolved, and the Status it should come to (kept apart)."""
    facts = context.facts
    order = candidate.entity
    assert isinstance(order, Order | OrderReturn)
    if order.currency not in facts.currencies:
        raise _RefuseError(rejection_for_no_currency(order, facts))
    describe = facts.describes[record.sobject]
    header = normalize(record.fields)
    if "CurrencyIsoCode" in describe.fields:
        header["CurrencyIsoCode"] = order.currency
    later = {"Status"}  # a new order gets one from us
    for name, lookup in record.lookups.items():
        if lookup.entity == "price_book":
            header[name] = facts.price_book
        elif (lookup.entity, lookup.key) in context.originals:
            header[name] = context.originals[lookup.entity, lookup.key].salesforce_id
        elif lookup.entity == "record_type":
            header[name] = facts.record_type(record.sobject, lookup.key)
            if header[name] is None:
                raise _RefuseError(rejection_for_no_record_type(record, lookup, context.source))
        elif lookup.key in context.customers:
            link = context.customers[lookup.key]
            new = creating and isinstance(order, Order) and lookup.key == order.customer.key
            found = account_type_conflict(order.customer, link) if new else None
            if found is not None:
                raise _RefuseError(found)
            header[name] = link.salesforce_id
        elif lookup.key in context.refusals and not creating:
            _refuse_move(candidate, name, lookup.key, context)
            later.add(name)
        else:
            later.add(name)
    found = first_violation(
        header, describe, record=f"{record.entity} {record.key}", source=context.source, creating=creating, later=later
    )
    if found is not None:
        raise _RefuseError(found)
    if record.sobject != "Order":
        return header, None
    status = header.pop("Status", None)
    return header, status if isinstance(status, str) else None


def _refuse_move(candidate: PendingEntity, field: str, customer: str, context: OrderContext) -> None:
    """An order that the org has goes on without its account being named, unless that is what has changed."""
    lost, link = context.lost.get(customer), candidate.link
    if lost is None or link is None or link.snapshot.get(field) != lost.salesforce_id:
        raise _RefuseError(context.refusals[customer])


def _account(customer: str, record: MappedRecord, context: OrderContext) -> RecordUpsert:
    """The account that has to come with this order; refused with the order when it cannot be written."""
    if customer in context.refusals:
        raise _RefuseError(context.refusals[customer])
    account = context.accounts.get(customer)
    if account is None:
        raise _RefuseError(
            Refusal(
                code="REQUIRED_FIELD_MISSING",
                message=f"Customer {customer} is left out by mappings/customer.yaml, so there is no account.",
                field=f"{record.sobject}.AccountId",
                source=context.source(record.sobject, "AccountId"),
                fix=f"Let `when` in mappings/customer.yaml include customer {customer}, then replay.",
                record=f"order {record.key}",
            )
        )
    new = build_record(account, context.facts, context.source)
    if isinstance(new, Refusal):
        raise _RefuseError(new)
    return new


def _line(line: MappedRecord, context: OrderContext, *, creating: bool) -> RecordUpsert:
    describe = context.facts.describes[line.sobject]
    fields = normalize(line.fields)
    label = f"line {line.key}"
    for name, lookup in line.lookups.items():
        if lookup.entity != "price":
            fields |= _referred(name, line, lookup, context)
            continue
        entry = context.prices.get(lookup.key)
        if creating and lookup.key in context.withdrawn:
            entry = None  # the org takes no line for it; those it has may stay
        if entry is None and lookup.key in context.refusals:
            raise _RefuseError(context.refusals[lookup.key])
        if entry is None:
            sku, _, currency = lookup.key.rpartition("|")
            raise _RefuseError(
                Refusal(
                    code="REQUIRED_FIELD_MISSING",
                    message=f"Product {sku} has no price in {currency}, so {label} has no price book entry.",
                    field=f"{line.sobject}.{name}",
                    source=context.source(line.sobject, name),
                    fix=f"Give product {sku} a {currency} price and import it.",
                    record=f"product {sku}",
                )
            )
        fields[name] = entry
    if line.sobject == "OrderItem" and fields.get("UnitPrice") is None:
        raise _RefuseError(
            Refusal(
                code="REQUIRED_FIELD_MISSING",
                message=f"Order Products must have a Unit Price: {label} has none.",
                field=f"{line.sobject}.UnitPrice",
                source=context.source(line.sobject, "UnitPrice"),
                fix="Give the line a unit price, or its product a list price; import it, then replay.",
                record=label,
            )
        )
    if (found := rejection_for_excess_decimals(line, fields, context.facts, context.source)) is not None:
        raise _RefuseError(found)
    later = {"OrderId", "ReturnOrderId"}
    found = first_violation(fields, describe, record=label, source=context.source, creating=creating, later=later)
    if found is not None:
        raise _RefuseError(found)
    return _record(line, fields)


def _referred(name: str, line: MappedRecord, lookup: Lookup, context: OrderContext) -> Fields:
    """A reference to a line of the original order."""
    link = context.originals.get((lookup.entity, lookup.key))
    if link is None:
        raise _RefuseError(rejection_for_missing_original(name, line, lookup, context.source))
    return {name: link.salesforce_id}


def _record(record: MappedRecord, fields: Fields) -> RecordUpsert:
    return RecordUpsert(
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        external_id=record.external_id,
        fields=fields,
    )


def _without_misread(record: RecordUpsert) -> tuple[RecordUpsert, bool]:
    """The record as a graph may carry it, and whether something is left to be sent after it."""
    late = reference_like_values(record.fields)
    if not late:
        return record, False
    return replace(record, fields={name: value for name, value in record.fields.items() if name not in late}), True


def _row(candidate: PendingEntity, record: MappedRecord, link: Link, fields: Fields) -> RecordUpdate:
    return RecordUpdate(
        candidate=candidate,
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        id=link.salesforce_id,
        fields=fields,
    )


def _refuse_misread_keys(record: MappedRecord) -> None:
    """A key cannot be sent after the rest, as other texts can that a graph would take for a reference."""
    keys = {f"{record.entity} {record.key}": record.key, **{f"line {line.key}": line.key for line in record.children}}
    for name, key in keys.items():
        if "@{" in key:
            raise _RefuseError(rejection_for_misread_key(record, name))


def _customer_key(record: MappedRecord) -> str | None:
    return next((lookup.key for lookup in record.lookups.values() if lookup.entity == "customer"), None)
