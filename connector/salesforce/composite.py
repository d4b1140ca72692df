"""`/composite`: up to 25 subrequests in one call, in strict order on request, each with its own status.

The org answers 200 whatever their outcomes are. With `all_or_none` a single refusal undoes everything, and rows of a
rolled back collections subrequest may still say `success: true` (REST API Developer Guide, "Composite");
`read_composite` corrects that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connector.model.outcome import Outcome, RowError
from connector.salesforce.collections import read_outcome
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse
from connector.salesforce.graph import is_follower, read_node
from connector.salesforce.limits import QUERIES_PER_COMPOSITE, SUBREQUESTS_PER_COMPOSITE

_QUERY_LIKE = ("query", "queryAll", "composite/sobjects")


@dataclass(frozen=True, kw_only=True, slots=True)
class SubRequest:
    """`path` is relative to `/services/data/vXX.0/` and already encoded (`graph.row_path` builds one for a row)."""

    reference: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None

    @property
    def repeatable(self) -> bool:
        """Whether executing it twice has the same effect as once."""
        return self.method in {"GET", "PATCH"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SubOutcome:
    """`body` is parsed. `outcome` is that of a single row, `rows` those of a collections subrequest. `rolled_back`: it
    was undone or not executed because of another subrequest."""

    reference: str
    status: int
    body: Any
    outcome: Outcome
    rows: tuple[Outcome, ...] = ()
    rolled_back: bool = False

    @property
    def success(self) -> bool:
        return self.outcome.success


def composite_body(
    subrequests: Sequence[SubRequest],
    *,
    version: str,
    all_or_none: bool,
    collate: bool,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of one call. Raises ValueError for more than the org accepts.

    `collate` False means strictly in order; True lets the org group subrequests. `headers` are added to every create
    and update.
    """
    query_like = sum(request.path.startswith(_QUERY_LIKE) for request in subrequests)
    if len(subrequests) > SUBREQUESTS_PER_COMPOSITE or query_like > QUERIES_PER_COMPOSITE:
        raise ValueError(
            f"{len(subrequests)} subrequests, {query_like} of them queries or collections, in one composite call; "
            f"{SUBREQUESTS_PER_COMPOSITE} and {QUERIES_PER_COMPOSITE} are the most"
        )
    base = f"/services/data/v{version}/"
    return {
        "allOrNone": all_or_none,
        "collateSubrequests": collate,
        "compositeRequest": [
            {"method": request.method, "url": base + request.path, "referenceId": request.reference}
            | ({} if request.body is None else {"body": request.body})
            | ({} if request.body is None or not headers else {"httpHeaders": headers})
            for request in subrequests
        ],
    }


def read_composite(body: Any, subrequests: Sequence[SubRequest], *, all_or_none: bool) -> list[SubOutcome]:
    """One outcome per subrequest, in the order sent. Raises UnreadableResponseError if one is missing."""
    items = body.get("compositeResponse") if isinstance(body, Mapping) else None
    answers = {item.get("referenceId"): item for item in items or () if isinstance(item, Mapping)}
    if any(request.reference not in answers for request in subrequests):
        raise UnreadableResponseError(NoResponse.UNREADABLE)
    outcomes = [_read_suboutcome(request.reference, answers[request.reference]) for request in subrequests]
    if all_or_none and not all(outcome.success for outcome in outcomes):
        return [_as_rolled_back(outcome) for outcome in outcomes]
    return outcomes


def _read_suboutcome(reference: str, answer: Mapping[str, Any]) -> SubOutcome:
    body, status = answer.get("body"), int(answer.get("httpStatusCode") or 0)
    rows: tuple[Outcome, ...] = ()
    if 200 <= status < 300 and isinstance(body, list):
        rows = tuple(read_outcome(item) for item in body)
        outcome = Outcome(success=True)
    elif 200 <= status < 300 and isinstance(body, Mapping) and "success" not in body:
        outcome = Outcome(success=True, id=body.get("Id"))
    else:
        outcome = read_node(answer)
    return SubOutcome(
        reference=reference,
        status=status,
        body=body,
        outcome=outcome,
        rows=rows,
        rolled_back=not outcome.success and is_follower(outcome),
    )


def _as_rolled_back(outcome: SubOutcome) -> SubOutcome:
    """`outcome` if nothing of its call was saved."""
    if not outcome.success:
        return outcome
    rolled_back = Outcome(
        success=False, errors=(RowError(code="PROCESSING_HALTED", message="Rolled back: another operation failed."),)
    )
    rows = tuple(rolled_back if row.success else row for row in outcome.rows)
    return replace(outcome, outcome=rolled_back, rows=rows, rolled_back=True)
