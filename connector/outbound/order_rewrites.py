"""Rewrites of orders that the org has frozen: reopen, change, activate again, in one composite call. PURE."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from connector.model.record import Link
from connector.outbound.plan_types import Fields, OrderRewrite, PendingEntity, RecordUpdate, RecordUpsert
from connector.outbound.preflight import reference_like_values
from connector.salesforce.limits import QUERIES_PER_COMPOSITE, ROWS_PER_COLLECTION


@dataclass(kw_only=True, slots=True)
class LineChanges:
    """Lines to add, lines to remove as (key, ID), and updates of lines."""

    add: list[RecordUpsert] = field(default_factory=list)
    remove: list[tuple[str, str]] = field(default_factory=list)
    update: list[RecordUpdate] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusChange:
    """`reopen` is the status that unfreezes the order, None if nothing is frozen; `target` the status it is to have
    then. `left_to_org`: the mapping does not map the status, so only the rewrite can restore what it was."""

    reopen: str | None
    target: object
    left_to_org: bool


def build_rewrite(
    pending: PendingEntity, link: Link, header: Fields, lines: LineChanges, change: StatusChange
) -> OrderRewrite:
    """Build one composite call with as much of the change as fits; `partial` if a later call must send the rest."""
    remove, add, update = lines.remove, lines.add, lines.update
    room = QUERIES_PER_COMPOSITE
    limits: list[tuple[int, int]] = []
    for items in (remove, add, update):
        calls = min(room, -(-len(items) // ROWS_PER_COLLECTION))
        room -= calls
        limits.append((calls * ROWS_PER_COLLECTION, len(items)))
    deferred = reference_like_values(header)
    added = [without_reference_like_values(line) for line in add[: limits[1][0]]]
    changed = [(row, reference_like_values(row.fields)) for row in update[: limits[2][0]]]
    partial = any(limit < count for limit, count in limits) or any(
        (deferred, *(deferred_fields for _, deferred_fields in (*added, *changed)))
    )
    reopen, target = change.reopen, change.target
    status = target if isinstance(target, str) and target != (reopen or link.snapshot.get("Status")) else None
    return OrderRewrite(
        pending=pending,
        order_id=link.salesforce_id,
        reopen=reopen,
        header={name: value for name, value in header.items() if name not in deferred},
        delete=tuple(remove[: limits[0][0]]),
        add=tuple(line for line, _ in added),
        update=tuple(
            replace(row, fields={name: value for name, value in row.fields.items() if name not in late})
            for row, late in changed
            if row.fields.keys() - late.keys()
        ),
        status=None if partial and not change.left_to_org else status,
        partial=partial,
    )


def without_reference_like_values(record: RecordUpsert) -> tuple[RecordUpsert, bool]:
    """The record as a graph can carry it, and whether values are left to send afterwards."""
    deferred = reference_like_values(record.fields)
    if not deferred:
        return record, False
    return replace(record, fields={name: value for name, value in record.fields.items() if name not in deferred}), True
