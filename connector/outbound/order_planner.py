"""Plans one order: create as Draft, add lines, set the status that activates it; afterwards, work around frozen fields.

The org accepts a new order only with a Draft status, and lines only with an entry of the order's price book. Once an
order is activated, the org refuses to add or remove lines and to change the fields in FROZEN. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from connector.model.change import Refusal
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.record import Link, Lookup, MappedRecord, changed_fields
from connector.outbound.customer_records import account_type_conflict, build_record
from connector.outbound.frozen_fields import CREATE_ONLY, FROZEN, FROZEN_LINE, SET_ONCE
from connector.outbound.lost_records import rejection_for_deleted_line
from connector.outbound.order_rewrites import (
    LineChanges,
    StatusChange,
    build_rewrite,
    without_reference_like_values,
)
from connector.outbound.org_profile import ACTIVATED, DRAFT, OrgProfile
from connector.outbound.plan_types import (
    Fields,
    OrderGraph,
    PendingEntity,
    Plan,
    RecordUpdate,
    RecordUpsert,
    Rejection,
)
from connector.outbound.preflight import Source, first_violation, normalize
from connector.outbound.rejections import (
    rejection_for_excess_decimals,
    rejection_for_missing_original,
    rejection_for_no_currency,
    rejection_for_no_lines,
    rejection_for_no_record_type,
    rejection_for_other_price_book,
    rejection_for_reference_like_key,
)
from connector.salesforce.limits import NODES_PER_CALL


@dataclass(frozen=True, kw_only=True)
class OrderContext:
    """What the orders of one claim are planned with.

    `customers` are the links of accounts; `accounts` the records of customers without one; `refusals` say why a
    customer (by key) or a product (by price key, `SKU|USD`) was refused; `prices` are price book entry IDs by price
    key; `inactive_prices` are the keys of entries that we deactivated because the price no longer exists here.
    """

    profile: OrgProfile
    customers: Mapping[str, Link]
    accounts: Mapping[str, MappedRecord]
    refusals: Mapping[str, Refusal]
    prices: Mapping[str, str]
    inactive_prices: Set[str]
    source: Source
    originals: Mapping[tuple[str, str], Link] = field(default_factory=dict)
    """Orders and lines that returns refer to, by (entity, key)."""
    lost_accounts: Mapping[str, Link] = field(default_factory=dict)
    """Links of accounts that are refused, by customer."""


class _RefuseError(Exception):
    """Stops the planning of one order. `certain`: a retry needs no read-back of the org first."""

    def __init__(self, reason: Refusal, *, certain: bool = True, deleted_lines: tuple[Link, ...] = ()) -> None:
        super().__init__(reason.message)
        self.reason = reason
        self.certain = certain
        self.deleted_lines = deleted_lines


def plan_order(pending: PendingEntity, context: OrderContext, plan: Plan) -> None:
    """Add the writes of one order to `plan`, or its rejection if the org would refuse it."""
    record = pending.record
    if pending.problem is not None:
        plan.refused.append(Rejection(pending=pending, refusal=pending.problem))
        return
    if record is None:
        plan.unchanged.append(pending)
        return
    try:
        _refuse_reference_like_keys(record)
        if pending.link is None:
            plan.graphs.append(_plan_new_order(pending, record, context))
        else:
            _plan_changed_order(pending, record, pending.link, context, plan)
    except _RefuseError as refused:
        plan.refused.append(
            Rejection(
                pending=pending,
                refusal=refused.reason,
                certain=refused.certain,
                deleted_lines=tuple(link for link in refused.deleted_lines if link.entity == "line"),
            )
        )


def _plan_new_order(pending: PendingEntity, record: MappedRecord, context: OrderContext) -> OrderGraph:
    header, status = _build_header(pending, record, context, creating=True)
    if record.sobject == "Order":
        draft_status = status if context.profile.category(status) == DRAFT else None
        header["Status"] = draft_status or context.profile.draft_status
    account = None
    customer = _customer_key(record)
    if customer is not None and customer not in context.customers:
        account = _build_account(customer, record, context)
    room = NODES_PER_CALL - 1 - (account is not None)
    lines = [_build_line(line, context, creating=True) for line in record.children]
    status = None if context.profile.category(status) == DRAFT else status
    if status is not None and not lines:
        raise _RefuseError(rejection_for_no_lines(record))
    order, header_deferred = without_reference_like_values(_build_upsert(record, header))
    graph_lines = [without_reference_like_values(line) for line in lines[:room]]
    return OrderGraph(
        pending=pending.without_entity(),
        customer=customer or "",
        account=account,
        order=order,
        lines=tuple(line for line, _ in graph_lines),
        status=status,
        partial=header_deferred or any(line_deferred for _, line_deferred in graph_lines) or len(lines) > room,
    )


def _plan_changed_order(
    pending: PendingEntity, record: MappedRecord, link: Link, context: OrderContext, plan: Plan
) -> None:
    header, status = _build_header(pending, record, context, creating=False)
    current = link.snapshot.get("Status") if record.sobject == "Order" else None
    active = context.profile.category(current) == ACTIVATED
    differing = {name: value for name, value in changed_fields(header, link.snapshot).items() if name not in SET_ONCE}
    differing.pop("Pricebook2Id", None)  # the org freezes it once lines exist, and ours is always the standard one
    if active and context.profile.category(status) == DRAFT:
        status = None  # whoever activated it in the org did so before the order was confirmed here
    lines = _line_changes(pending, record, context)
    target_status = status if status is not None else current
    if target_status is not None and context.profile.category(target_status) == ACTIVATED and not record.children:
        raise _RefuseError(rejection_for_no_lines(record))

    frozen = bool(FROZEN & differing.keys()) or any(FROZEN_LINE & row.fields.keys() for row in lines.update)
    if lines.add or lines.remove or (active and frozen):
        plan.rewrites.append(
            build_rewrite(
                pending,
                link,
                differing,
                lines,
                StatusChange(
                    reopen=context.profile.draft_status if active else None,
                    target=target_status,
                    left_to_org=status is None,
                ),
            )
        )
        return
    if differing:
        plan.updates.append(_build_update(pending, record, link, differing))
    plan.updates.extend(lines.update)
    if status is not None and status != current:
        plan.status_updates.append(_build_update(pending, record, link, {"Status": status}))
    elif not differing and not lines.update:
        plan.unchanged.append(pending)


def _line_changes(pending: PendingEntity, record: MappedRecord, context: OrderContext) -> LineChanges:
    """A changed product is a removal and an addition."""
    changes, deleted = LineChanges(), list[tuple[MappedRecord, Link]]()
    add, remove, update = changes.add, changes.remove, changes.update
    in_other_book = _is_in_other_price_book(pending, context.profile)
    line_keys = {line.key for line in record.children}
    remove += [(key, link.salesforce_id) for key, link in pending.line_links.items() if key not in line_keys]
    for line in record.children:
        link = pending.line_links.get(line.key)
        upsert = _build_line(line, context, creating=link is None)
        if link is None:
            if (lost_link := _deleted_link(pending, line, upsert)) is not None:
                deleted.append((line, lost_link))
                continue
            if in_other_book:
                raise _RefuseError(rejection_for_other_price_book(line))
            add.append(upsert)
            continue
        differing = {
            name: value for name, value in changed_fields(upsert.fields, link.snapshot).items() if name not in SET_ONCE
        }
        if in_other_book:
            differing.pop("PricebookEntryId", None)  # a rep chose the entry; the product of the line is the same
        if CREATE_ONLY & differing.keys():
            remove.append((line.key, link.salesforce_id))
            add.append(_build_line(line, context, creating=True))
        elif differing:
            update.append(_build_update(pending, line, link, differing))
    if deleted:
        refusal = rejection_for_deleted_line(pending.change, *deleted[0])
        raise _RefuseError(refusal, certain=False, deleted_lines=tuple(lost_link for _, lost_link in deleted))
    return changes


def _is_in_other_price_book(pending: PendingEntity, profile: OrgProfile) -> bool:
    """Whether a rep created the order with another price book than the standard one."""
    book = None if pending.link is None else pending.link.snapshot.get("Pricebook2Id")
    return book is not None and book != profile.price_book


def _deleted_link(pending: PendingEntity, line: MappedRecord, upsert: RecordUpsert) -> Link | None:
    """The link of a line that somebody deleted in the org. A line with another product may have been deleted by us, to
    replace it."""
    lost_link = pending.missing_lines.get(line.key)
    if lost_link is not None and CREATE_ONLY & changed_fields(upsert.fields, lost_link.snapshot).keys():
        return None
    return lost_link


def _build_header(
    pending: PendingEntity, record: MappedRecord, context: OrderContext, *, creating: bool
) -> tuple[Fields, str | None]:
    """The order's own fields with references resolved, and, apart from them, the Status that it should reach."""
    profile = context.profile
    order = pending.entity
    assert isinstance(order, Order | OrderReturn)
    if order.currency not in profile.currencies:
        raise _RefuseError(rejection_for_no_currency(order, profile))
    describe = profile.describes[record.sobject]
    header = normalize(record.fields)
    if "CurrencyIsoCode" in describe.fields:
        header["CurrencyIsoCode"] = order.currency
    filled_later = {"Status"}  # a new order gets its status from this module
    for name, lookup in record.lookups.items():
        if lookup.entity == "price_book":
            header[name] = profile.price_book
        elif (lookup.entity, lookup.key) in context.originals:
            header[name] = context.originals[lookup.entity, lookup.key].salesforce_id
        elif lookup.entity == "record_type":
            header[name] = profile.record_type(record.sobject, lookup.key)
            if header[name] is None:
                raise _RefuseError(rejection_for_no_record_type(record, lookup, context.source))
        elif lookup.key in context.customers:
            link = context.customers[lookup.key]
            new_order_of_customer = creating and isinstance(order, Order) and lookup.key == order.customer.key
            refusal = account_type_conflict(order.customer, link) if new_order_of_customer else None
            if refusal is not None:
                raise _RefuseError(refusal)
            header[name] = link.salesforce_id
        elif lookup.key in context.refusals and not creating:
            _refuse_account_change(pending, name, lookup.key, context)
            filled_later.add(name)
        else:
            filled_later.add(name)
    refusal = first_violation(
        header,
        describe,
        record=f"{record.entity} {record.key}",
        source=context.source,
        creating=creating,
        filled_later=filled_later,
    )
    if refusal is not None:
        raise _RefuseError(refusal)
    if record.sobject != "Order":
        return header, None
    status = header.pop("Status", None)
    return header, status if isinstance(status, str) else None


def _refuse_account_change(pending: PendingEntity, field: str, customer: str, context: OrderContext) -> None:
    """Refuse an order whose account is refused, unless the org's order already refers to that account."""
    lost_link, link = context.lost_accounts.get(customer), pending.link
    if lost_link is None or link is None or link.snapshot.get(field) != lost_link.salesforce_id:
        raise _RefuseError(context.refusals[customer])


def _build_account(customer: str, record: MappedRecord, context: OrderContext) -> RecordUpsert:
    """The new account that travels with this order. If it cannot be written, the order is refused with it."""
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
    upsert = build_record(account, context.profile, context.source)
    if isinstance(upsert, Refusal):
        raise _RefuseError(upsert)
    return upsert


def _build_line(line: MappedRecord, context: OrderContext, *, creating: bool) -> RecordUpsert:
    describe = context.profile.describes[line.sobject]
    fields = normalize(line.fields)
    label = f"line {line.key}"
    for name, lookup in line.lookups.items():
        if lookup.entity != "price":
            fields |= _resolve_original(name, line, lookup, context)
            continue
        entry = context.prices.get(lookup.key)
        if creating and lookup.key in context.inactive_prices:
            entry = None  # the org accepts no new line for it; existing lines may stay
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
    is_held = not creating and "UnitPrice" not in line.fields
    if line.sobject == "OrderItem" and fields.get("UnitPrice") is None and not is_held:
        raise _RefuseError(
            Refusal(
                code="REQUIRED_FIELD_MISSING",
                message=f"Order Products must have a Unit Price: {label} has none.",
                field=f"{line.sobject}.UnitPrice",
                source=context.source(line.sobject, "UnitPrice"),
                fix="Give the line a unit price, or its product a list price, then replay.",
                record=label,
            )
        )
    if (refusal := rejection_for_excess_decimals(line, fields, context.profile, context.source)) is not None:
        raise _RefuseError(refusal)
    filled_later = {"OrderId", "ReturnOrderId"}
    refusal = first_violation(
        fields, describe, record=label, source=context.source, creating=creating, filled_later=filled_later
    )
    if refusal is not None:
        raise _RefuseError(refusal)
    return _build_upsert(line, fields)


def _resolve_original(name: str, line: MappedRecord, lookup: Lookup, context: OrderContext) -> Fields:
    """The reference to a line of the original order."""
    link = context.originals.get((lookup.entity, lookup.key))
    if link is None:
        raise _RefuseError(rejection_for_missing_original(name, line, lookup, context.source))
    return {name: link.salesforce_id}


def _build_upsert(record: MappedRecord, fields: Fields) -> RecordUpsert:
    return RecordUpsert(
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        external_id=record.external_id,
        fields=fields,
    )


def _build_update(pending: PendingEntity, record: MappedRecord, link: Link, fields: Fields) -> RecordUpdate:
    return RecordUpdate(
        pending=pending,
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        id=link.salesforce_id,
        fields=fields,
    )


def _refuse_reference_like_keys(record: MappedRecord) -> None:
    """Refuse a key that a graph would take for a reference. Other texts can be sent after the graph, but a
    key cannot."""
    keys_by_label = {
        f"{record.entity} {record.key}": record.key,
        **{f"line {line.key}": line.key for line in record.children},
    }
    for label, key in keys_by_label.items():
        if "@{" in key:
            raise _RefuseError(rejection_for_reference_like_key(record, label))


def _customer_key(record: MappedRecord) -> str | None:
    return next((lookup.key for lookup in record.lookups.values() if lookup.entity == "customer"), None)
