"""How much goes into one call: as much as the platform allows, without tearing an order apart. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from connector.model.change import REPEATED
from connector.outbound.plan_types import OrderGraph, PendingEntity, RecordUpdate
from connector.salesforce.limits import GRAPHS_PER_CALL, NODES_PER_CALL, ROWS_PER_COLLECTION

T = TypeVar("T")


def graph_calls(orders: Iterable[OrderGraph], *, graphs: int = GRAPHS_PER_CALL) -> Iterator[list[OrderGraph]]:
    """Orders in calls of at most `graphs` graphs and 500 nodes, in the order given."""
    call: list[OrderGraph] = []
    nodes = 0
    for order in orders:
        if call and (len(call) >= graphs or nodes + order.nodes > NODES_PER_CALL):
            yield call
            call, nodes = [], 0
        call.append(order)
        nodes += order.nodes
    if call:
        yield call


def row_calls(rows: Sequence[RecordUpdate], *, size: int = ROWS_PER_COLLECTION) -> Iterator[list[RecordUpdate]]:
    """Rows in calls of at most `size`; the rows of one entity share a call where they fit into one."""
    call: list[RecordUpdate] = []
    for _, group in groupby(rows, key=lambda row: row.candidate.change.key):
        together = list(group)
        if call and len(call) + len(together) > size:
            yield call
            call = []
        call.extend(together)
        while len(call) > size:
            yield call[:size]
            call = call[size:]
    if call:
        yield call


def chunks(items: Sequence[T], size: int = ROWS_PER_COLLECTION) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def apart(claim: Sequence[PendingEntity], limit: int, *, repeated: bool, settled: int = 0) -> list[PendingEntity]:
    """The part of `claim` that goes out next: changes that were sent `REPEATED` times without a recorded answer never
    travel with others, and in parts a quarter as large after each time, down to one alone.

    `repeated`: it is their turn, if there are any; those that were sent least often come first. `settled` such parts
    were answered by now, for each of which the next one is four times as large.
    """
    others = [item for item in claim if item.change.begun < REPEATED]
    suspects = [item for item in claim if item.change.begun >= REPEATED]
    if not suspects or (others and not repeated):
        return others
    times = min(item.change.begun for item in suspects)
    size = max(1, limit >> 2 * (times - REPEATED + 1)) << 2 * min(settled, times)
    return [item for item in suspects if item.change.begun == times][:size]
