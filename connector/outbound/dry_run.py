"""An org for `--dry-run` that accepts every write, stores nothing and counts the calls a push would make.

Reads go to the real org, and IDs are made up: the reader asks the org for no record that has such an ID. The store of a
dry run rolls its transactions back, so the whole push runs as it would.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from connector.model.lane import Lane
from connector.model.outcome import Outcome
from connector.outbound.org_state import Reader
from connector.salesforce.call_gate import calls_in
from connector.salesforce.composite import SubOutcome, SubRequest
from connector.salesforce.graph import Graph, GraphOutcome

_MADE_UP = r"'dryrun\d{12}'"
_ONLY_MADE_UP = re.compile(rf"(?P<other> OR )?\w+ IN \({_MADE_UP}(,{_MADE_UP})*\)")
_AMONG_OTHERS = re.compile(rf"{_MADE_UP},|,{_MADE_UP}")


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


class DryRunReader:
    """Reads from the real org. It has no record that the dry run created, so a query for such records alone is not
    made. `saved` counts these queries: a push would make them.

    The calls are in the lane of what a person asks for, because they are not those of the push."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.saved = 0

    @property
    def user_id(self) -> str:
        return self._reader.user_id

    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]:
        needed = _without_made_up_ids(soql)
        if needed is None:
            self.saved += 1
            return []
        with calls_in(Lane.STATUS):
            return await self._reader.query(needed, include_deleted=include_deleted)


def _without_made_up_ids(soql: str) -> str | None:
    """The query without IDs that the org does not know; None if it asks for nothing else."""
    for found in reversed([*_ONLY_MADE_UP.finditer(soql)]):
        if not found["other"]:
            return None
        soql = soql[: found.start()] + soql[found.end() :]
    return _AMONG_OTHERS.sub("", soql)
