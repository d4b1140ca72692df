"""Divides planned writes into calls: as full as the platform allows, without splitting an order. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from connector.model.change import MAX_UNANSWERED_SENDS
from connector.outbound.plan_types import OrderGraph, PendingEntity, RecordUpdate
from connector.salesforce.limits import GRAPHS_PER_CALL, NODES_PER_CALL, ROWS_PER_COLLECTION

T = TypeVar("T")


def graph_calls(orders: Iterable[OrderGraph], *, graphs: int = GRAPHS_PER_CALL) -> Iterator[list[OrderGraph]]:
    """Group orders into calls of at most `graphs` graphs and 500 nodes, in the order given."""
    call: list[OrderGraph] = []
    nodes = 0
    for order in orders:
        if call and (len(call) >= graphs or nodes + order.node_count > NODES_PER_CALL):
            yield call
            call, nodes = [], 0
        call.append(order)
        nodes += order.node_count
    if call:
        yield call


def update_calls(rows: Iterable[RecordUpdate], *, size: int = ROWS_PER_COLLECTION) -> Iterator[list[RecordUpdate]]:
    """Group updates into calls of at most `size`. The updates of one entity share a call if they fit into one."""
    call: list[RecordUpdate] = []
    for _, group in groupby(rows, key=lambda row: row.pending.change.key):
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


def taken(items: list[T]) -> Iterator[T]:
    """The items one by one. Each is removed from the list, so that its memory is free once it is sent."""
    items.reverse()
    while items:
        yield items.pop()


def chunks(items: Sequence[T], size: int = ROWS_PER_COLLECTION) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def isolate_suspects(
    claim: Sequence[PendingEntity], limit: int, *, suspects_turn: bool, answered: int = 0
) -> list[PendingEntity]:
    """Choose the part of `claim` to send next, so that suspects never travel with other changes.

    A suspect is a change that was sent `MAX_UNANSWERED_SENDS` times without a recorded answer: it may be what ends the
    process each time. Suspects with the fewest sends go first, in batches a quarter as large after each further send,
    down to one alone.

    `suspects_turn`: suspects go out now, if there are any. `answered` batches of suspects were answered so far; each
    makes the next batch four times as large.
    """
    others = [item for item in claim if item.change.unanswered_sends < MAX_UNANSWERED_SENDS]
    suspects = [item for item in claim if item.change.unanswered_sends >= MAX_UNANSWERED_SENDS]
    if not suspects or (others and not suspects_turn):
        return others
    times = min(item.change.unanswered_sends for item in suspects)
    size = max(1, limit >> 2 * (times - MAX_UNANSWERED_SENDS + 1)) << 2 * min(answered, times)
    return [item for item in suspects if item.change.unanswered_sends == times][:size]
