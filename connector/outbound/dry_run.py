"""An org for `--dry-run` that accepts every write, stores nothing and counts the calls a push would make.

Reads go to the real org, and IDs are made up. The store of a dry run rolls its transactions back, so the whole push
runs as it would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from connector.model.outcome import Outcome
from connector.salesforce.composite import SubOutcome, SubRequest
from connector.salesforce.graph import Graph, GraphOutcome


class DryRunOrg:
    """Counts the write calls by API resource."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._numbers = count(1)

    async def collections_upsert(
        self, sobject: str, external_id: str, records: Sequence[Mapping[str, Any]]
    ) -> list[Outcome]:
        self.calls["collections"] += 1
        return [self._created() for _ in records]

    async def collections_create(self, sobject: str, records: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        self.calls["collections"] += 1
        return [self._created() for _ in records]

    async def collections_update(self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Outcome]:
        self.calls["collections"] += 1
        return [Outcome(success=True, id=record_id) for _, record_id, _ in rows]

    async def graph(self, graphs: Sequence[Graph]) -> list[GraphOutcome]:
        self.calls["graph"] += 1
        return [
            GraphOutcome(
                graph_id=graph.graph_id, success=True, nodes={node.reference: self._created() for node in graph.nodes}
            )
            for graph in graphs
        ]

    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]:
        self.calls["composite"] += 1
        return [
            SubOutcome(
                reference=request.reference,
                status=200,
                body=None,
                outcome=Outcome(success=True),
                rows=tuple(self._created() for _ in (request.body or {}).get("records", ())),
            )
            for request in subrequests
        ]

    def _created(self) -> Outcome:
        return Outcome(success=True, id=f"dryrun{next(self._numbers):012d}", created=True)
