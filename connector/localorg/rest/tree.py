"""`/composite/tree/X`: new records with their children in one call, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.errors import Refusal, json_parser_error
from connector.localorg.schema import ChildRelationship

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_RECORDS = 200
_MAX_DEPTH = 5
_MAX_TYPES = 5


class TreeRolledBack(Exception):  # noqa: N818 - leaves a savepoint, never seen outside
    pass


class RecordTree:
    def __init__(self, org: Org) -> None:
        self.org = org
        self.results: list[dict[str, str]] = []
        self.errors: list[dict[str, Any]] = []
        self.types: set[str] = set()
        self.reference_ids: set[str] = set()
        self._children: dict[str, dict[str, ChildRelationship]] = {}

    def children(self, name: str) -> dict[str, ChildRelationship]:
        by_name = self._children.get(name)
        if by_name is None:
            relationships = self.org.schema.children_of(name)
            by_name = self._children[name] = {child.name.lower(): child for child in relationships if child.name}
        return by_name

    def add(self, name: str, records: Any, link: tuple[str, str] | None, depth: int) -> None:
        """Insert a list of records, then the children of each. It collects the errors of a level."""
        plan = self.org.dml.plan(name)
        self.types.add(plan.name)
        if depth > _MAX_DEPTH or len(self.types) > _MAX_TYPES:
            raise Refusal("INVALID_INPUT", f"A tree has at most {_MAX_DEPTH} levels and {_MAX_TYPES} types.")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise json_parser_error("records: a list of objects is needed at [line:1, column:1]")
        if depth == 1 and not records:
            raise Refusal("INVALID_INPUT", "A tree has at least one record.")
        for record in records:
            reference_id = self._reference_id(record)
            below = {key: self.children(plan.name).get(key.lower()) for key in record}
            body = {key: value for key, value in record.items() if key != "attributes" and below[key] is None}
            if link is not None:
                body[link[0]] = link[1]
            (outcome,) = self.org.dml.insert(plan, [body])
            if outcome.error is not None:
                self.errors.append({"referenceId": reference_id, "errors": [outcome.error.row_error()]})
                continue
            assert outcome.id is not None
            self.results.append({"referenceId": reference_id, "id": outcome.id})
            for key, child in below.items():
                if child is not None:
                    listed = record[key].get("records") if isinstance(record[key], dict) else None
                    self.add(child.child, listed, (child.field, outcome.id), depth + 1)

    def _reference_id(self, record: dict[str, Any]) -> str:
        attributes = record.get("attributes")
        reference_id = attributes.get("referenceId") if isinstance(attributes, dict) else None
        if not isinstance(reference_id, str) or not reference_id:
            raise Refusal("INVALID_INPUT", "Include a reference ID for each record in the request.")
        if reference_id in self.reference_ids:
            raise Refusal("INVALID_INPUT", f"Duplicate ReferenceId provided in the request: {reference_id}")
        self.reference_ids.add(reference_id)
        if len(self.reference_ids) > _MAX_RECORDS:
            raise Refusal("INVALID_INPUT", f"A tree has at most {_MAX_RECORDS} records.")
        return reference_id


def handle(org: Org, call: ApiCall) -> ApiResponse:
    if call.method != "POST" or len(call.tail) != 3:
        raise method_not_allowed(call, "POST")
    tree = RecordTree(org)
    written = org.dml.rows_written
    try:
        with org.storage.savepoint(), org.dml.deferred_totals():
            tree.add(call.tail[2], call.object_body().get("records"), None, 1)
            if tree.errors:
                raise TreeRolledBack
    except TreeRolledBack:
        org.dml.rows_written = written
        return ApiResponse(400, {"hasErrors": True, "results": tree.errors})
    return ApiResponse(201, {"hasErrors": False, "results": tree.results})
