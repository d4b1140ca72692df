"""Adds the time of the write to every row of an account or order that is written, if the org has a field for it.

It costs no row and no call of its own: a row that goes out carries one field more. The row that activates an order
carries nothing but its Status (Object Reference, "Order").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connector.clock import Clock
from connector.model.outcome import Outcome
from connector.model.record import LAST_SYNCED
from connector.outbound.org_profile import OrgProfile
from connector.outbound.writer import Org
from connector.salesforce.composite import SubOutcome, SubRequest
from connector.salesforce.graph import Graph, GraphOutcome, Node

Fields = Mapping[str, Any]


class LastSyncedStamp:
    """The same calls as `org`, with the time in each row of an object that has the field."""

    def __init__(self, org: Org, profile: OrgProfile, clock: Clock) -> None:
        self._org = org
        self._clock = clock
        self._sobjects = frozenset(
            name for name in ("Account", "Order") if LAST_SYNCED in profile.describes[name].fields
        )

    async def collections_upsert(
        self, sobject: str, external_id: str, records: Sequence[Mapping[str, Any]]
    ) -> list[Outcome]:
        return await self._org.collections_upsert(
            sobject, external_id, [self._stamped(sobject, record) for record in records]
        )

    async def collections_create(self, sobject: str, records: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        return await self._org.collections_create(sobject, [self._stamped(sobject, record) for record in records])

    async def collections_update(self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Outcome]:
        return await self._org.collections_update(
            [(sobject, record, self._stamped(sobject, fields)) for sobject, record, fields in rows]
        )

    async def graph(self, graphs: Sequence[Graph]) -> list[GraphOutcome]:
        return await self._org.graph(
            [replace(graph, nodes=[self._stamped_node(node) for node in graph.nodes]) for graph in graphs]
        )

    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]:
        stamped = [self._stamped_request(item) for item in subrequests]
        return await self._org.composite(stamped, all_or_none=all_or_none, collate=collate)

    def _stamped(self, sobject: str, fields: Fields) -> Fields:
        if sobject not in self._sobjects or fields.keys() == {"Status"}:
            return fields
        return {**fields, LAST_SYNCED: self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _stamped_node(self, node: Node) -> Node:
        return replace(node, body=self._stamped(node.sobject, node.body))

    def _stamped_request(self, request: SubRequest) -> SubRequest:
        is_order = request.path.startswith("sobjects/Order/") and request.body is not None
        return replace(request, body=self._stamped("Order", request.body or {})) if is_order else request
