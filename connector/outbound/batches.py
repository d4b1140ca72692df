"""How much goes into one call: as much as the platform allows, without tearing an order apart. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from connector.outbound.work import NewOrder, Row
from connector.salesforce.limits import GRAPHS_PER_CALL, NODES_PER_CALL, ROWS_PER_COLLECTION

T = TypeVar("T")


def graph_calls(orders: Iterable[NewOrder], *, graphs: int = GRAPHS_PER_CALL) -> Iterator[list[NewOrder]]:
    """Orders in calls of at most `graphs` graphs and 500 nodes, in the order given."""
    call: list[NewOrder] = []
    nodes = 0
    for order in orders:
        if call and (len(call) >= graphs or nodes + order.nodes > NODES_PER_CALL):
            yield call
            call, nodes = [], 0
        call.append(order)
        nodes += order.nodes
    if call:
        yield call


def row_calls(rows: Sequence[Row], *, size: int = ROWS_PER_COLLECTION) -> Iterator[list[Row]]:
    """Rows in calls of at most `size`; the rows of one entity share a call where they fit into one."""
    call: list[Row] = []
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
