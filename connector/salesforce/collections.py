"""sObject Collections: up to 200 records in one call, with one outcome each in the same order; partial success.

A refused record leaves the others saved (`allOrNone: false`). What must succeed or fail together is sent as a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from connector.model.outcome import Outcome
from connector.salesforce.errors import UnreadableResponseError, read_errors
from connector.salesforce.fault import NoResponse
from connector.salesforce.limits import CHUNKS_PER_COLLECTION, ROWS_PER_COLLECTION
from connector.salesforce.transport import HttpResponse

Fields: TypeAlias = Mapping[str, object]
"""Field values by API name: a FieldValue, or a mapping for a lookup by the parent's external ID."""

Row: TypeAlias = tuple[str, str, Fields]
"""sObject, Salesforce ID, fields."""


def upsert_path(sobject: str, external_id: str) -> str:
    return f"composite/sobjects/{sobject}/{external_id}"


def records_body(sobject: str, records: Sequence[Fields]) -> dict[str, Any]:
    """The body of a create or upsert; an upsert's records hold their external ID field."""
    _check_size(len(records))
    attributes = {"type": sobject}
    return {"allOrNone": False, "records": [{"attributes": attributes, **record} for record in records]}


def update_order(rows: Sequence[Row]) -> list[int]:
    """Indexes of `rows` with equal types together: each change of type starts a chunk, and a call may have ten
    chunks."""
    first_seen = {sobject: index for index, sobject in reversed(list(enumerate(row[0] for row in rows)))}
    if len(first_seen) > CHUNKS_PER_COLLECTION:
        raise ValueError(f"{len(first_seen)} types in one collections call; {CHUNKS_PER_COLLECTION} is the most")
    return sorted(range(len(rows)), key=lambda index: first_seen[rows[index][0]])


def update_body(rows: Sequence[Row]) -> dict[str, Any]:
    """The body of an update by ID, rows in the order given (see `update_order`)."""
    _check_size(len(rows))
    return {
        "allOrNone": False,
        "records": [{"attributes": {"type": sobject}, **fields, "id": id_} for sobject, id_, fields in rows],
    }


def read_outcomes(body: Any, *, expected: int) -> list[Outcome]:
    """One outcome per record, in order. Raises UnreadableResponseError if the response has another number of them."""
    if not isinstance(body, list) or len(body) != expected:
        raise UnreadableResponseError(NoResponse.UNREADABLE)
    return [read_outcome(item) for item in body]


def outcome_reader(expected: int) -> Callable[[HttpResponse], list[Outcome]]:
    return lambda answer: read_outcomes(answer.json(), expected=expected)


def read_outcome(item: Any) -> Outcome:
    """An outcome from `{id, success, errors, created?}`, as in collections and in the response to a single create or
    upsert."""
    if not isinstance(item, Mapping):
        raise UnreadableResponseError(NoResponse.UNREADABLE)
    created = item.get("created")
    return Outcome(
        success=item.get("success") is True,
        id=item.get("id") or None,
        created=created if isinstance(created, bool) else None,
        errors=read_errors(item.get("errors") or []),
    )


def _check_size(rows: int) -> None:
    if rows > ROWS_PER_COLLECTION:
        raise ValueError(f"{rows} records in one collections call; {ROWS_PER_COLLECTION} is the most")
