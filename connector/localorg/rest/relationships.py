"""`sobjects/X/<ID>/<relationship>`: the parent of a record, or the list of its children."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg import ids, soql
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.errors import Refusal, not_found
from connector.localorg.record_json import render_record
from connector.localorg.write_plan import WritePlan

if TYPE_CHECKING:
    from connector.localorg.org import Org


def read_related(org: Org, call: ApiCall, plan: WritePlan) -> ApiResponse | None:
    """Return the related records; None if the address names no record of this object."""
    record_id = ids.normalize(call.tail[2])
    if record_id is None or not plan.sobject.key_prefix or not record_id.startswith(plan.sobject.key_prefix):
        return None
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    row = org.dml.row(plan, record_id)
    if row is None or row.get("IsDeleted"):
        raise not_found()
    relationship = call.tail[3]
    fields = [name for name in call.params.get("fields", "").split(",") if name.strip()]
    parent = plan.sobject.parent_field(relationship)
    if parent is not None:
        parent_id = str(row.get(parent.name) or "")
        parent_object = org.schema.by_record_id(parent_id) if parent_id else None
        target = org.dml.fetch(parent_object.name, parent_id) if parent_object else None
        if parent_object is None or target is None:
            raise not_found()
        return ApiResponse(200, render_record(org.dml.plan(parent_object.name), target, call.base, fields or None))
    link = next(
        (item for item in org.schema.children_of(plan.name) if (item.name or "").lower() == relationship.lower()), None
    )
    if link is None:
        raise not_found()
    child = org.schema.get(link.child)
    names = fields or [field.name for field in child.fields.values()] if child else []
    text = f"SELECT {', '.join(names)} FROM {link.child} WHERE {link.field} = '{record_id}'"  # noqa: S608
    try:
        result = soql.open_query(
            org.storage.connection, org.schema, text, version=call.version, all_rows=False, now=org.clock()
        )
    except soql.SoqlError as error:
        raise Refusal(error.code, error.message) from error
    return ApiResponse(200, org.cursors.first_page(result, 2_000, org.clock(), call.base))
