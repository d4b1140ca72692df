"""Field-level security: a custom field is visible only to users whose permission sets grant it.

This includes the administrator (Metadata API developer guide, "PermissionSet": a field that is deployed without
permissions is invisible). Standard fields, required fields and fields of events are visible to all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from connector.localorg.metadata.deployed import PermissionSet
from connector.localorg.schema import Field, Schema, SObject


def apply_field_security(schema: Schema, grants: Iterable[PermissionSet]) -> None:
    """Restrict every object to the fields that these permission sets together let the user read and edit."""
    permission_sets = list(grants)
    for sobject in schema:
        if not sobject.event:
            sobject.restrict_fields(lambda item, owner=sobject: _visible_field(owner, item, permission_sets))  # type: ignore[misc]


def _visible_field(sobject: SObject, item: Field, grants: list[PermissionSet]) -> Field | None:
    if not item.custom or (not item.nillable and item.type != "boolean"):
        return item
    permissions = [grant.fields.get(f"{sobject.name}.{item.name}".lower(), (False, False)) for grant in grants]
    if not any(readable for readable, _ in permissions):
        return None
    if any(editable for _, editable in permissions):
        return item
    return _read_only(item)


@lru_cache(maxsize=1024)
def _read_only(item: Field) -> Field:
    return replace(item, createable=False, updateable=False)
