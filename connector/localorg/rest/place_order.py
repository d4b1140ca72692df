"""`/commerce/sale…`: create an order, or a contract with orders, with their lines (Place Order REST API). Frozen: see
README.md.

The records form a tree, as in `/composite/tree`, but need no reference IDs. The response is shaped like a query result.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from connector.localorg import ids
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.errors import Refusal, json_parser_error, not_found
from connector.localorg.rest.tree import RecordTree, TreeRolledBack

if TYPE_CHECKING:
    from connector.localorg.org import Org

_ROOTS = {"sale": ("contract", "Contract"), "order": ("order", "Order")}
_CHILD_LISTS = {"orders": "Orders", "orderitems": "OrderItems"}


def handle(org: Org, call: ApiCall) -> ApiResponse:
    match [part.lower() for part in call.tail[1:]]:
        case ["sale"] | ["sale", "order"]:
            if call.method != "POST":
                raise method_not_allowed(call, "POST")
            return _create_tree(org, call, *_ROOTS[call.tail[-1].lower()])
        case ["sale", "order", _]:
            if call.method != "PATCH":
                raise method_not_allowed(call, "PATCH")
            return _add_lines(org, call, call.tail[3])
    raise not_found()


def _parse_records(call: ApiCall, name: str) -> list[dict[str, Any]]:
    body = {key.lower(): value for key, value in call.object_body().items()}
    listed = body.get(name)
    if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
        raise json_parser_error(f"{name}: a list of records is needed at [line:1, column:1]")
    return listed


def _with_reference_ids(records: Any, numbers: count[int]) -> Any:
    """Return the records with generated reference IDs, which a tree needs."""
    if not isinstance(records, list):
        return records
    results = []
    for record in records:
        if not isinstance(record, dict):
            raise json_parser_error("records: a list of objects is needed at [line:1, column:1]")
        copy = {"attributes": {"referenceId": f"r{next(numbers)}"}}
        for key, value in record.items():
            name = _CHILD_LISTS.get(key.lower())
            if name and isinstance(value, dict):
                copy[name] = {"records": _with_reference_ids(value.get("records"), numbers)}
            elif key != "attributes":
                copy[key] = value
        results.append(copy)
    return results


def _create_tree(org: Org, call: ApiCall, name: str, kind: str) -> ApiResponse:
    listed = _with_reference_ids(_parse_records(call, name), count(1))
    tree = _insert_tree(org, kind, listed, None)
    return ApiResponse(201, _render_records(call, kind, listed, tree))


def _add_lines(org: Org, call: ApiCall, record_id: str) -> ApiResponse:
    """Add lines to an existing order."""
    order_id = ids.normalize(record_id)
    if order_id is None or org.dml.row(org.dml.plan("Order"), order_id) is None:
        raise not_found()
    (order,) = _with_reference_ids(_parse_records(call, "order")[:1], count(1))
    lines = order.get("OrderItems", {}).get("records")
    tree = _insert_tree(org, "OrderItem", lines, ("OrderId", order_id))
    record = {"attributes": _attributes(call, "Order", order_id), "Id": order_id}
    record["OrderItems"] = _render_records(call, "OrderItem", lines, tree)
    return ApiResponse(200, {"totalSize": 1, "done": True, "records": [record]})


def _insert_tree(org: Org, kind: str, listed: Any, link: tuple[str, str] | None) -> dict[str, str]:
    """Insert a tree, all or none; return record IDs by reference ID."""
    tree = RecordTree(org)
    written = org.dml.rows_written
    try:
        with org.storage.savepoint(), org.dml.deferred_totals():
            tree.add(kind, listed, link, 1)
            if tree.errors:
                raise TreeRolledBack
    except TreeRolledBack:
        org.dml.rows_written = written
        first = tree.errors[0]["errors"][0]
        raise Refusal(first["statusCode"], first["message"], fields=first["fields"]) from None
    return {item["referenceId"]: item["id"] for item in tree.results}


def _render_records(
    call: ApiCall, kind: str, listed: list[dict[str, Any]], record_ids: dict[str, str]
) -> dict[str, Any]:
    records = []
    for record in listed:
        record_id = record_ids[record["attributes"]["referenceId"]]
        item: dict[str, Any] = {"attributes": _attributes(call, kind, record_id), "Id": record_id}
        for name, child in (("Orders", "Order"), ("OrderItems", "OrderItem")):
            if name in record:
                item[name] = _render_records(call, child, record[name]["records"], record_ids)
        records.append(item)
    return {"totalSize": len(records), "done": True, "records": records}


def _attributes(call: ApiCall, kind: str, record_id: str) -> dict[str, str]:
    return {"type": kind, "url": f"{call.base}/sobjects/{kind}/{record_id}"}
