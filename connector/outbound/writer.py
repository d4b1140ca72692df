"""Executes planned writes: builds the calls and converts the org's answers into results. It stores and
retries nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from connector.model.outcome import Outcome, RowError
from connector.model.record import Link
from connector.outbound import plan_types
from connector.outbound.batches import chunks
from connector.outbound.plan_types import Fields, OrderGraph, PendingEntity, RecordUpdate, RecordUpsert, Upsert
from connector.outbound.preflight import Source
from connector.outbound.results import (
    GONE_CODES,
    WriteResult,
    build_link,
    failed_result,
    fields_written_by,
    gone_result,
    means_already_written,
    means_key_taken,
    means_wrong_account_type,
    root_error,
    updated_link,
)
from connector.salesforce.collections import records_body, update_body, upsert_path
from connector.salesforce.composite import SubOutcome, SubRequest
from connector.salesforce.graph import Graph, GraphOutcome, Node, is_follower, row_path
from connector.salesforce.limits import ROWS_PER_COLLECTION

ACCOUNT, ORDER, ADD, CHANGE = "account", "order", "add", "change"
"""Reference names: the parents of a graph (its lines are `line1`, ...), added and changed lines of a rewrite."""


class Org(Protocol):
    """The write calls that outbound needs; a dry run implements them too."""

    async def collections_upsert(
        self, sobject: str, external_id: str, records: Sequence[Mapping[str, Any]]
    ) -> list[Outcome]: ...

    async def collections_create(self, sobject: str, records: Sequence[Mapping[str, Any]]) -> list[Outcome]: ...

    async def collections_update(self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Outcome]: ...

    async def graph(self, graphs: Sequence[Graph]) -> list[GraphOutcome]: ...

    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]: ...


class Writer:
    """One call per method, with one WriteResult per item."""

    def __init__(self, org: Org, source: Source) -> None:
        self._org = org
        self._source = source
        self._links: dict[tuple[str, str], Link] = {}

    def start_claim(self, links: Iterable[Link]) -> None:
        """Begin a claim with its stored links. Each write updates them, so that two writes to one record add up."""
        self._links.clear()
        self.add_links(links)

    def add_links(self, links: Iterable[Link]) -> None:
        for link in links:
            self._remember(link)

    def _remember(self, link: Link) -> Link:
        self._links[link.entity, link.key] = link
        return link

    async def write_upserts(self, call: Sequence[Upsert]) -> list[WriteResult]:
        """Upsert up to 200 customers or products of one object."""
        first = call[0].record
        outcomes = await self._org.collections_upsert(
            first.sobject, first.external_id, [upsert.record.fields for upsert in call]
        )
        return [self._upsert_result(upsert, outcome) for upsert, outcome in zip(call, outcomes, strict=True)]

    def _upsert_result(self, upsert: Upsert, outcome: Outcome) -> WriteResult:
        if not outcome.success:
            return failed_result(upsert.pending, outcome.errors, upsert.record, self._source)
        link = self._remember(build_link(upsert.record, outcome))
        count, fields = {upsert.record.sobject: 1}, fields_written_by(upsert)
        if outcome.created is False:
            existing_ids = (link.salesforce_id,)
            return WriteResult(
                pending=upsert.pending, links=(link,), updated=count, existing_ids=existing_ids, written_fields=fields
            )
        return WriteResult(pending=upsert.pending, links=(link,), created=count, written_fields=fields)

    async def write_updates(self, call: Sequence[RecordUpdate]) -> list[WriteResult]:
        """Update up to 200 known records with the fields that differ; also sets the statuses."""
        ordered = sorted(call, key=lambda row: row.sobject)
        outcomes = await self._org.collections_update([_update_row(row) for row in ordered])
        return [self._update_result(row, outcome) for row, outcome in zip(ordered, outcomes, strict=True)]

    def _update_result(self, row: RecordUpdate, outcome: Outcome) -> WriteResult:
        if outcome.success:
            link = self._remember(updated_link(row, self._links[row.entity, row.key]))
            count = {row.sobject: 1}
            return WriteResult(pending=row.pending, links=(link,), updated=count, written_fields=fields_written_by(row))
        if means_wrong_account_type(
            root_error(outcome.errors), row
        ):  # converted in the org since: drop the link, then write all fields
            refusal = failed_result(row.pending, outcome.errors, row, self._source).refusal
            return WriteResult(pending=row.pending, stale_links=((row.entity, row.key),), fallback_refusal=refusal)
        if means_key_taken(root_error(outcome.errors), row):
            refusal = failed_result(row.pending, outcome.errors, row, self._source).refusal
            return WriteResult(pending=row.pending, stale_links=(_owner_of(row),), fallback_refusal=refusal)
        if root_error(outcome.errors).code in GONE_CODES:
            stale_links = [(row.entity, row.key)]
            change = row.pending.change
            if row.entity in {"line", "return_line"}:
                stale_links = [(change.entity.value, change.key)]
            if "AccountId" in row.fields:  # or the account that it was to refer to
                stale_links += _customer_links(row.pending)
            return gone_result(row.pending, stale_links, outcome.errors, row.sobject)
        return failed_result(row.pending, outcome.errors, row, self._source)

    async def write_graphs(self, call: Sequence[OrderGraph]) -> list[WriteResult]:
        """Create orders, one graph each: the account if it is new, the order as Draft, its lines. The org saves all of
        a graph or nothing."""
        outcomes = await self._org.graph([_graph(str(index), order) for index, order in enumerate(call)])
        by_id = {outcome.graph_id: outcome for outcome in outcomes}
        return [self._graph_result(order, by_id[str(index)]) for index, order in enumerate(call)]

    def _graph_result(self, order: OrderGraph, outcome: GraphOutcome) -> WriteResult:
        pending = order.pending
        if outcome.halted:
            return WriteResult(pending=pending, already_exists=True)  # not run: read the org back, then send again
        records = _records_by_reference(order)
        if outcome.success:
            links = tuple(_node_link(record, reference, outcome) for reference, record in records)
            self.add_links(link for link in links if link.entity == pending.change.entity)  # its status may follow
            existing_ids = tuple(str(item.id) for item in outcome.nodes.values() if item.created is False)
            created = Counter(link.sobject for link in links if link.salesforce_id not in existing_ids)
            updated = Counter(link.sobject for link in links if link.salesforce_id in existing_ids)
            fields = fields_written_by(order)
            return WriteResult(
                pending=pending,
                links=links,
                created=created,
                updated=updated,
                existing_ids=existing_ids,
                written_fields=fields,
            )
        reference, record = next((name, record) for name, record in records if name in outcome.causes)
        errors = outcome.nodes[reference].errors
        error = root_error(errors)
        if means_already_written(error):
            refusal = failed_result(pending, errors, record, self._source).refusal
            return WriteResult(pending=pending, already_exists=True, fallback_refusal=refusal)
        if reference == ORDER and order.account is None and error.code in GONE_CODES:
            # An order's account and a return's order can be deleted in the org without our noticing.
            stale_links = [("customer", order.customer), *_original_order_links(pending)]
            return gone_result(pending, stale_links, errors, record.sobject)
        if reference not in {ORDER, ACCOUNT} and error.code in GONE_CODES:
            return gone_result(pending, _price_links(pending, [record.key]), errors, record.sobject)
        return failed_result(pending, errors, record, self._source)

    async def write_rewrites(self, items: Sequence[plan_types.OrderRewrite]) -> list[WriteResult]:
        """Rewrite orders whose change must run step by step. Each takes one composite call; the org saves all of it or
        nothing."""
        return [await self._write_rewrite(item) for item in items]

    async def _write_rewrite(self, item: plan_types.OrderRewrite) -> WriteResult:
        steps = list(_subrequests(item))
        outcomes = await self._org.composite(steps, all_or_none=True, collate=False)
        failed = _first_cause(item, outcomes)
        if failed is None:
            return self._rewrite_result(item, outcomes)
        # If the org saved a part in spite of allOrNone, we must not rely on any of it: read back before the next write.
        return self._failed_rewrite_result(item, *failed).as_unconfirmed()

    def _failed_rewrite_result(
        self, item: plan_types.OrderRewrite, errors: Sequence[RowError], about: RecordUpsert | RecordUpdate
    ) -> WriteResult:
        code = root_error(errors).code
        if code in GONE_CODES:
            change = item.pending.change
            stale_links = [
                (change.entity.value, change.key),
                *_price_links(item.pending, [line.key for line in item.add]),
            ]
            if "AccountId" in item.header:
                stale_links += _customer_links(item.pending)
            return gone_result(item.pending, stale_links, errors, about.sobject)
        if means_already_written(root_error(errors)):
            refusal = failed_result(item.pending, errors, about, self._source).refusal
            return WriteResult(pending=item.pending, already_exists=True, fallback_refusal=refusal)
        return failed_result(item.pending, errors, about, self._source)

    def _rewrite_result(self, item: plan_types.OrderRewrite, outcomes: Sequence[SubOutcome]) -> WriteResult:
        status = item.status or item.reopen
        header_fields: Fields = {**item.header, **({} if status is None else {"Status": status})}
        added = [row for step in outcomes if step.reference.startswith(ADD) for row in step.rows]
        change = item.pending.change
        header = self._links[change.entity.value, change.key]
        links = [replace(header, snapshot={**header.snapshot, **header_fields})]
        links += [build_link(record, row) for record, row in zip(item.add, added, strict=True)]
        links += [updated_link(row, self._links[row.entity, row.key]) for row in item.update]
        replaced = {record.key for record in item.add}
        return WriteResult(
            pending=item.pending,
            links=tuple(self._remember(link) for link in links),
            dropped_links=tuple(("line", key) for key, _ in item.delete if key not in replaced),
            created=Counter(record.sobject for record in item.add),
            updated=Counter(row.sobject for row in item.update) + Counter({header.sobject: int(bool(header_fields))}),
            written_fields=fields_written_by(item),
        )


def _customer_links(pending: PendingEntity) -> list[tuple[str, str]]:
    """The name (kind, key) of the order's customer."""
    record = pending.record
    lookups = record.lookups.values() if record is not None else ()
    return [("customer", lookup.key) for lookup in lookups if lookup.entity == "customer"]


def _original_order_links(pending: PendingEntity) -> list[tuple[str, str]]:
    """The name (kind, key) of the order that a return belongs to."""
    record = pending.record
    lookups = record.lookups.values() if record is not None else ()
    return [("order", lookup.key) for lookup in lookups if lookup.entity == "order"]


def _owner_of(row: RecordUpdate) -> tuple[str, str]:
    """The entity that a row belongs to: a line belongs to its order."""
    change = row.pending.change
    return (change.entity.value, change.key) if row.entity in {"line", "return_line"} else (row.entity, row.key)


def _update_row(row: RecordUpdate) -> tuple[str, str, Fields]:
    return row.sobject, row.id, {**row.fields, **row.identity}


def _price_links(pending: PendingEntity, keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The names (kind, key) of the price book entries that these lines refer to."""
    lines = pending.record.children if pending.record is not None else ()
    lookups = [lookup for line in lines if line.key in keys for lookup in line.lookups.values()]
    return tuple(dict.fromkeys(("price", lookup.key) for lookup in lookups if lookup.entity == "price"))


def _graph(graph_id: str, order: OrderGraph) -> Graph:
    nodes = []
    header = dict(order.order.fields)
    if order.account is not None:
        nodes.append(_node(ACCOUNT, order.account, order.account.fields))
        header["AccountId"] = f"@{{{ACCOUNT}.id}}"
    nodes.append(_node(ORDER, order.order, header))
    parent = f"{order.order.sobject}Id"
    for index, line in enumerate(order.lines, start=1):
        nodes.append(_node(f"line{index}", line, {**line.fields, parent: f"@{{{ORDER}.id}}"}))
    return Graph(graph_id=graph_id, nodes=nodes)


def _node(reference: str, record: RecordUpsert, fields: Fields) -> Node:
    key = str(record.fields[record.external_id])
    return Node(
        reference=reference,
        method="PATCH",
        sobject=record.sobject,
        external_id=(record.external_id, key),
        body=fields,
    )


def _records_by_reference(order: OrderGraph) -> list[tuple[str, RecordUpsert]]:
    account_records = [(ACCOUNT, order.account)] if order.account is not None else []
    return [
        *account_records,
        (ORDER, order.order),
        *((f"line{i}", line) for i, line in enumerate(order.lines, start=1)),
    ]


def _node_link(record: RecordUpsert, reference: str, outcome: GraphOutcome) -> Link:
    extra: Fields = {}
    if reference == ORDER and ACCOUNT in outcome.nodes:
        extra["AccountId"] = outcome.nodes[ACCOUNT].id
    return build_link(record, outcome.nodes[reference], extra)


def _subrequests(item: plan_types.OrderRewrite) -> Iterator[SubRequest]:
    """The subrequests in the order in which they must run."""

    def header(reference: str, fields: Fields) -> SubRequest:
        return SubRequest(reference=reference, method="PATCH", path=row_path("Order", id=item.order_id), body=fields)

    if item.reopen is not None:
        yield header("reopen", {"Status": item.reopen})
    for index, lines in enumerate(chunks(item.delete)):
        ids = ",".join(record_id for _, record_id in lines)
        path = f"composite/sobjects?ids={ids}&allOrNone=true"
        yield SubRequest(reference=f"delete{index}", method="DELETE", path=path)
    if item.header:  # after the deletions: an order with lines cannot change its currency
        yield header("header", item.header)
    for index, added in enumerate(chunks(item.add)):
        first = added[0]
        records = [{**line.fields, "OrderId": item.order_id} for line in added]
        yield SubRequest(
            reference=f"{ADD}{index}",
            method="PATCH",
            path=upsert_path(first.sobject, first.external_id),
            body=records_body(first.sobject, records),
        )
    for index, rows in enumerate(chunks(item.update)):
        body = update_body([_update_row(row) for row in rows])
        yield SubRequest(reference=f"{CHANGE}{index}", method="PATCH", path="composite/sobjects", body=body)
    if item.status is not None:
        yield header("status", {"Status": item.status})


def _first_cause(
    item: plan_types.OrderRewrite, outcomes: Sequence[SubOutcome]
) -> tuple[tuple[RowError, ...], RecordUpsert | RecordUpdate] | None:
    """The errors of the subrequest or row that made the call fail, and the record that it was to write; None if all was
    saved."""
    failed = [
        (row, step.reference, index)
        for step in outcomes
        for index, row in enumerate(step.rows or (step.outcome,))
        if not row.success
    ]
    if not failed:
        return None
    row, reference, place = next((failure for failure in failed if not is_follower(failure[0])), failed[0])
    return row.errors, _record_behind(item, reference, place)


def _record_behind(item: plan_types.OrderRewrite, reference: str, index: int) -> RecordUpsert | RecordUpdate:
    """The record behind a row of a subrequest: a line, or the order itself."""
    steps: tuple[tuple[str, Sequence[RecordUpsert | RecordUpdate]], ...] = ((ADD, item.add), (CHANGE, item.update))
    for name, records in steps:
        number = reference.removeprefix(name)
        if number != reference and number.isdigit():
            start = int(number) * ROWS_PER_COLLECTION
            return records[min(start + index, len(records) - 1)]
    return RecordUpdate(
        pending=item.pending,
        entity="order",
        key=item.pending.change.key,
        sobject="Order",
        id=item.order_id,
        fields=item.header,
    )
