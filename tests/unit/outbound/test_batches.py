"""Batches: calls are as full as the platform allows, hold every item once and in order, and split no entity."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from connector.outbound.batches import chunks, graph_calls, update_calls
from connector.outbound.plan_types import OrderGraph, RecordUpdate, RecordUpsert
from connector.salesforce.limits import GRAPHS_PER_CALL, NODES_PER_CALL, ROWS_PER_COLLECTION
from tests.unit.outbound.conftest import an_order, pending

RECORD = RecordUpsert(entity="line", key="", sobject="OrderItem", external_id="", fields={})


def graph(lines: int) -> OrderGraph:
    return OrderGraph(
        pending=pending(an_order(number="A-1")), customer="", account=None, order=RECORD, lines=(RECORD,) * lines,
        status=None, partial=False,
    )  # fmt: skip


@given(st.lists(st.integers(0, 499), max_size=200))
def test_graph_calls_are_full_and_within_the_limits(sizes: list[int]) -> None:
    orders = [graph(size) for size in sizes]
    calls = list(graph_calls(orders))
    assert list(chain.from_iterable(calls)) == orders
    weights = [sum(order.node_count for order in call) for call in calls]
    assert all(len(call) <= GRAPHS_PER_CALL for call in calls)
    assert all(weight <= NODES_PER_CALL for weight in weights)
    for weight, call, following in zip(weights, calls, calls[1:], strict=False):
        assert len(call) == GRAPHS_PER_CALL or weight + following[0].node_count > NODES_PER_CALL


@given(st.lists(st.integers(1, 450), max_size=30))
def test_updates_of_an_entity_share_a_call_if_they_fit(counts: list[int]) -> None:
    rows = [
        RecordUpdate(pending=owner, entity="line", key=str(index), sobject="OrderItem", id="", fields={})
        for number, count in enumerate(counts)
        for owner in [pending(an_order(number=f"A-{number}"))]
        for index in range(count)
    ]
    calls = list(update_calls(rows))
    assert list(chain.from_iterable(calls)) == rows
    assert all(0 < len(call) <= ROWS_PER_COLLECTION for call in calls)
    holding = Counter(key for call in calls for key in {row.pending.change.key for row in call})
    for number, count in enumerate(counts):
        assert 0 < holding[f"A-{number}"] <= max(1, -(-count // ROWS_PER_COLLECTION))


@given(st.lists(st.integers()), st.integers(1, 7))
def test_chunks_contain_every_item_in_order(items: list[int], size: int) -> None:
    assert list(chain.from_iterable(chunks(items, size))) == items
    assert all(0 < len(chunk) <= size for chunk in chunks(items, size))
