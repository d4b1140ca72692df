"""Several queries in one API call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from connector.salesforce.composite import SubOutcome, SubRequest
from connector.salesforce.limits import QUERIES_PER_COMPOSITE
from connector.salesforce.query import query_path, read_page


class QueryClient(Protocol):
    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]: ...

    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]: ...


async def query_together(
    client: QueryClient,
    queries: Sequence[str],
    *,
    include_deleted: bool = False,
    besides: Sequence[SubRequest] = (),
) -> tuple[list[list[dict[str, Any]]], list[SubOutcome]]:
    """Return the rows of each query, in one call for up to five queries whose rows fit into one page (2,000), and the
    outcomes of the requests in `besides`, which are no queries and travel with the first five.

    A query that the org refuses within the call, or that has more rows, is sent by itself. Raises RefusedError or
    TransportError as `client.query` does.
    """
    results: list[list[dict[str, Any]]] = []
    others: list[SubOutcome] = []
    for start in range(0, len(queries), QUERIES_PER_COMPOSITE):
        batch = queries[start : start + QUERIES_PER_COMPOSITE]
        requests = [
            SubRequest(reference=f"q{place}", method="GET", path=query_path(text, include_deleted=include_deleted))
            for place, text in enumerate(batch)
        ]
        requests += besides if start == 0 else ()
        outcomes = await client.composite(requests, all_or_none=False, collate=True)
        others += outcomes[len(batch) :]
        for text, outcome in zip(batch, outcomes, strict=False):
            rows, following = read_page(outcome.body) if outcome.success else ([], text)
            results.append(rows if following is None else await client.query(text, include_deleted=include_deleted))
    return results, others
