"""Turns planned work into calls and the org's answers into pieces. Stores nothing, retries nothing across calls."""

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
    GONE,
    WriteResult,
    already_there,
    cause,
    failure,
    gone,
    key_taken,
    link_of,
    moved_link,
    written_by,
    wrong_kind,
)
from connector.salesforce.collections import records_body, update_body, upsert_path
from connector.salesforce.composite import SubOutcome, SubRequest
from connector.salesforce.graph import Graph, GraphOutcome, Node, is_follower, row_path
from connector.salesforce.limits import ROWS_PER_COLLECTION

ACCOUNT, ORDER, ADD, CHANGE = "account", "order", "add", "change"
"""Reference names: the parents of a graph (its lines are `line1`, ...), added and changed lines in a sequence."""


class Org(Protocol):
    """The writes that outbound asks of the org; a rehearsal answers them too."""

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
    """One call per method; every record of the call is answered by a Piece."""

    def __init__(self, org: Org, source: Source) -> None:
        self._org = org
        self._source = source
        self._links: dict[tuple[str, str], Link] = {}

    def start(self, links: Iterable[Link]) -> None:
        """Begin a claim with its links as stored; each write moves them on, so that two writes to a record add up."""
        self._links.clear()
        self.know(links)

    def know(self, links: Iterable[Link]) -> None:
        for link in links:
            self._known(link)

    def _known(self, link: Link) -> Link:
        self._links[link.entity, link.key] = link
        return link

    async def upserts(self, call: Sequence[Upsert]) -> list[WriteResult]:
        """Customers or products (of one object), up to 200."""
        first = call[0].record
        outcomes = await self._org.collections_upsert(
            first.sobject, first.external_id, [upsert.record.fields for upsert in call]
        )
        return [self._upserted(upsert, outcome) for upsert, outcome in zip(call, outcomes, strict=True)]

    def _upserted(self, upsert: Upsert, outcome: Outcome) -> WriteResult:
        if not outcome.success:
            return failure(upsert.candidate, outcome.errors, upsert.record, self._source)
        link = self._known(link_of(upsert.record, outcome))
        count, fields = {upsert.record.sobject: 1}, written_by(upsert)
        if outcome.created is False:
            found = (link.salesforce_id,)
            return WriteResult(candidate=upsert.candidate, links=(link,), updated=count, found=found, written=fields)
        return WriteResult(candidate=upsert.candidate, links=(link,), created=count, written=fields)

    async def rows(self, call: Sequence[RecordUpdate]) -> list[WriteResult]:
        """Changes to known records, up to 200, only the fields that differ; status changes travel this way too."""
        ordered = sorted(call, key=lambda row: row.sobject)
        outcomes = await self._org.collections_update([_sent(row) for row in ordered])
        return [self._changed(row, outcome) for row, outcome in zip(ordered, outcomes, strict=True)]

    def _changed(self, row: RecordUpdate, outcome: Outcome) -> WriteResult:
        if outcome.success:
            link = self._known(moved_link(row, self._links[row.entity, row.key]))
            count = {row.sobject: 1}
            return WriteResult(candidate=row.candidate, links=(link,), updated=count, written=written_by(row))
        if wrong_kind(cause(outcome.errors), row):  # converted in the org since: forget what we knew, and write anew
            otherwise = failure(row.candidate, outcome.errors, row, self._source).refusal
            return WriteResult(candidate=row.candidate, gone=((row.entity, row.key),), otherwise=otherwise)
        if key_taken(cause(outcome.errors), row):
            otherwise = failure(row.candidate, outcome.errors, row, self._source).refusal
            return WriteResult(candidate=row.candidate, gone=(_own(row),), otherwise=otherwise)
        if cause(outcome.errors).code in GONE:
            lost = [(row.entity, row.key)]
            change = row.candidate.change
            if row.entity in {"line", "return_line"}:
                lost = [(change.entity.value, change.key)]
            if "AccountId" in row.fields:  # or what it was to move to
                lost += _of_customer(row.candidate)
            return gone(row.candidate, lost, outcome.errors, row.sobject)
        return failure(row.candidate, outcome.errors, row, self._source)

    async def graphs(self, call: Sequence[OrderGraph]) -> list[WriteResult]:
        """New orders, one graph each: account if new, the order as Draft, its lines; all of an order or nothing."""
        outcomes = await self._org.graph([_graph(str(index), order) for index, order in enumerate(call)])
        by_id = {outcome.graph_id: outcome for outcome in outcomes}
        return [self._ordered(order, by_id[str(index)]) for index, order in enumerate(call)]

    def _ordered(self, order: OrderGraph, outcome: GraphOutcome) -> WriteResult:
        candidate = order.candidate
        if outcome.halted:
            return WriteResult(candidate=candidate, exists=True)  # not run: look, then send again
        named = _nodes(order)
        if outcome.success:
            links = tuple(self._known(_sent_link(record, reference, outcome)) for reference, record in named)
            found = tuple(str(item.id) for item in outcome.nodes.values() if item.created is False)
            made = Counter(link.sobject for link in links if link.salesforce_id not in found)
            kept = Counter(link.sobject for link in links if link.salesforce_id in found)
            fields = written_by(order)
            return WriteResult(
                candidate=candidate, links=links, created=made, updated=kept, found=found, written=fields
            )
        reference, record = next((name, record) for name, record in named if name in outcome.causes)
        errors = outcome.nodes[reference].errors
        error = cause(errors)
        if already_there(error):
            otherwise = failure(candidate, errors, record, self._source).refusal
            return WriteResult(candidate=candidate, exists=True, otherwise=otherwise)
        if reference == ORDER and order.account is None and error.code in GONE:
            # What an order refers to and can vanish unnoticed: its account, and of a return its order.
            lost = [("customer", order.customer), *_originals_of(candidate)]
            return gone(candidate, lost, errors, record.sobject)
        if reference not in {ORDER, ACCOUNT} and error.code in GONE:
            return gone(candidate, _prices_of(candidate, [record.key]), errors, record.sobject)
        return failure(candidate, errors, record, self._source)

    async def sequences(self, items: Sequence[plan_types.OrderRewrite]) -> list[WriteResult]:
        """Orders whose change must run step by step: a call each, all of it or nothing."""
        return [await self._sequence(item) for item in items]

    async def _sequence(self, item: plan_types.OrderRewrite) -> WriteResult:
        steps = list(_steps(item))
        outcomes = await self._org.composite(steps, all_or_none=True, collate=False)
        failed = _first_cause(item, outcomes)
        if failed is None:
            return self._sequenced(item, outcomes)
        # An org that saved a part of it would have kept its word on none of it: we look before we write again.
        return self._unsequenced(item, *failed).doubted()

    def _unsequenced(
        self, item: plan_types.OrderRewrite, errors: Sequence[RowError], about: RecordUpsert | RecordUpdate
    ) -> WriteResult:
        code = cause(errors).code
        if code in GONE:
            change = item.candidate.change
            lost = [(change.entity.value, change.key), *_prices_of(item.candidate, [line.key for line in item.add])]
            if "AccountId" in item.header:
                lost += _of_customer(item.candidate)
            return gone(item.candidate, lost, errors, about.sobject)
        if already_there(cause(errors)):
            otherwise = failure(item.candidate, errors, about, self._source).refusal
            return WriteResult(candidate=item.candidate, exists=True, otherwise=otherwise)
        return failure(item.candidate, errors, about, self._source)

    def _sequenced(self, item: plan_types.OrderRewrite, outcomes: Sequence[SubOutcome]) -> WriteResult:
        status = item.status or item.reopen
        moved: Fields = {**item.header, **({} if status is None else {"Status": status})}
        added = [row for step in outcomes if step.reference.startswith(ADD) for row in step.rows]
        change = item.candidate.change
        header = self._links[change.entity.value, change.key]
        links = [replace(header, snapshot={**header.snapshot, **moved})]
        links += [link_of(record, row) for record, row in zip(item.add, added, strict=True)]
        links += [moved_link(row, self._links[row.entity, row.key]) for row in item.update]
        replaced = {record.key for record in item.add}
        return WriteResult(
            candidate=item.candidate,
            links=tuple(self._known(link) for link in links),
            dropped=tuple(("line", key) for key, _ in item.delete if key not in replaced),
            created=Counter(record.sobject for record in item.add),
            updated=Counter(row.sobject for row in item.update) + Counter({header.sobject: int(bool(moved))}),
            written=written_by(item),
        )


def _of_customer(candidate: PendingEntity) -> list[tuple[str, str]]:
    """The link of the order's customer."""
    record = candidate.record
    lookups = record.lookups.values() if record is not None else ()
    return [("customer", lookup.key) for lookup in lookups if lookup.entity == "customer"]


def _originals_of(candidate: PendingEntity) -> list[tuple[str, str]]:
    """The order that a return belongs to."""
    record = candidate.record
    lookups = record.lookups.values() if record is not None else ()
    return [("order", lookup.key) for lookup in lookups if lookup.entity == "order"]


def _own(row: RecordUpdate) -> tuple[str, str]:
    """The entity that a row belongs to: a line to its order."""
    change = row.candidate.change
    return (change.entity.value, change.key) if row.entity in {"line", "return_line"} else (row.entity, row.key)


def _sent(row: RecordUpdate) -> tuple[str, str, Fields]:
    return row.sobject, row.id, {**row.fields, **row.identity}


def _prices_of(candidate: PendingEntity, keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The links of the price book entries that these lines refer to."""
    lines = candidate.record.children if candidate.record is not None else ()
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


def _nodes(order: OrderGraph) -> list[tuple[str, RecordUpsert]]:
    named = [(ACCOUNT, order.account)] if order.account is not None else []
    return [*named, (ORDER, order.order), *((f"line{i}", line) for i, line in enumerate(order.lines, start=1))]


def _sent_link(record: RecordUpsert, reference: str, outcome: GraphOutcome) -> Link:
    extra: Fields = {}
    if reference == ORDER and ACCOUNT in outcome.nodes:
        extra["AccountId"] = outcome.nodes[ACCOUNT].id
    return link_of(record, outcome.nodes[reference], extra)


def _steps(item: plan_types.OrderRewrite) -> Iterator[SubRequest]:
    """The subrequests in the order in which they must run."""

    def header(reference: str, fields: Fields) -> SubRequest:
        return SubRequest(reference=reference, method="PATCH", path=row_path("Order", id=item.order_id), body=fields)

    if item.reopen is not None:
        yield header("reopen", {"Status": item.reopen})
    for index, lines in enumerate(chunks(item.delete)):
        ids = ",".join(record_id for _, record_id in lines)
        path = f"composite/sobjects?ids={ids}&allOrNone=true"
        yield SubRequest(reference=f"delete{index}", method="DELETE", path=path)
    if item.header:  # after the deletions: with lines an order keeps its currency
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
        body = update_body([_sent(row) for row in rows])
        yield SubRequest(reference=f"{CHANGE}{index}", method="PATCH", path="composite/sobjects", body=body)
    if item.status is not None:
        yield header("status", {"Status": item.status})


def _first_cause(
    item: plan_types.OrderRewrite, outcomes: Sequence[SubOutcome]
) -> tuple[tuple[RowError, ...], RecordUpsert | RecordUpdate] | None:
    """The errors of the step or row that made the call fail, and what was to be written; None if all was saved."""
    failed = [
        (row, step.reference, place)
        for step in outcomes
        for place, row in enumerate(step.rows or (step.outcome,))
        if not row.success
    ]
    if not failed:
        return None
    row, reference, place = next((found for found in failed if not is_follower(found[0])), failed[0])
    return row.errors, _written_by(item, reference, place)


def _written_by(item: plan_types.OrderRewrite, reference: str, place: int) -> RecordUpsert | RecordUpdate:
    """The record behind a row of a step: a line, or the order itself."""
    steps: tuple[tuple[str, Sequence[RecordUpsert | RecordUpdate]], ...] = ((ADD, item.add), (CHANGE, item.update))
    for name, records in steps:
        number = reference.removeprefix(name)
        if number != reference and number.isdigit():
            start = int(number) * ROWS_PER_COLLECTION
            return records[min(start + place, len(records) - 1)]
    return RecordUpdate(
        candidate=item.candidate,
        entity="order",
        key=item.candidate.change.key,
        sobject="Order",
        id=item.order_id,
        fields=item.header,
    )
