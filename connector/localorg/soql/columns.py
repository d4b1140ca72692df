"""What a query would answer, without its rows: `columns=true`, which clients ask for before they print a table."""

from __future__ import annotations

from typing import Any

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.groups import is_grouped
from connector.localorg.soql.tree import Aggregate, AllFields, Named, Select, TypeOf

_APEX = {
    "id": "Id", "reference": "Id", "boolean": "Boolean", "int": "Integer", "double": "Double", "currency": "Double",
    "percent": "Double", "date": "Date", "datetime": "Datetime", "time": "Time", "address": "Address", "long": "Long",
}  # fmt: skip
_NUMBERS = {"int", "double", "currency", "percent", "long"}


def columns_of(schema: Schema, select: Select, sobject: SObject) -> dict[str, Any]:
    """Of a query whose names are known to be good."""
    plain = [item for item in select.items if isinstance(item, Named) and len(item.path.parts) == 1]
    return {
        "columnMetadata": _listed(schema, select, sobject),
        "entityName": sobject.name,
        "groupBy": bool(select.group_by),
        "idSelected": not is_grouped(select) and any(item.path.parts[0].lower() == "id" for item in plain),
        "keyPrefix": sobject.key_prefix,
    }


def _listed(schema: Schema, select: Select, sobject: SObject) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    unnamed = 0
    for item in select.items:
        if isinstance(item, Aggregate):
            told.append(_column(item.alias or f"expr{unnamed}", item.function.lower(), aggregate=True))
            unnamed += item.alias is None
        elif isinstance(item, Select):
            told.append(_children(schema, item, sobject))
        elif isinstance(item, TypeOf):
            told.append(_column(item.relationship.parts[0]))
        elif isinstance(item, AllFields):
            told += [
                _column(field.name, field=field)
                for field in sobject.fields.values()
                if item.kind == "ALL" or field.custom == (item.kind == "CUSTOM")
            ]
        else:
            names = list(item.path.parts)
            if len(names) > 1 and names[0].lower() in {sobject.name.lower(), (select.alias or "").lower()}:
                names = names if sobject.parent(names[0]) else names[1:]
            _add(schema, told, names, sobject, item.alias)
    return told


def _add(
    schema: Schema, told: list[dict[str, Any]], names: list[str], sobject: SObject | None, alias: str | None
) -> None:
    """A field, or what a parent contributes: the columns of one parent stand together."""
    if len(names) == 1:
        field = sobject.get(names[0]) if sobject else None
        told.append(_column(alias or (field.name if field else names[0]), field=field))
        return
    reference = sobject.parent(names[0]) if sobject else None
    name = reference.relationship_name or names[0] if reference else names[0]
    parent = next((item for item in told if item["columnName"] == name), None)
    if parent is None:
        parent = _column(name)
        told.append(parent)
    target = schema.get(reference.reference_to[0]) if reference and len(reference.reference_to) == 1 else None
    _add(schema, parent["joinColumns"], names[1:], target, None)


def _children(schema: Schema, select: Select, sobject: SObject) -> dict[str, Any]:
    links = (link for link in schema.children_of(sobject.name) if (link.name or "").lower() == select.source.lower())
    link = next(links, None)
    child = schema.get(link.child) if link else None
    told = _column(link.name if link and link.name else select.source, aggregate=True)
    told["joinColumns"] = _listed(schema, select, child) if child else []
    return told


def _column(name: str, shown: str = "", *, field: Field | None = None, aggregate: bool = False) -> dict[str, Any]:
    kind = field.type if field else ""
    return {
        "aggregate": aggregate,
        "apexType": _APEX.get(kind, "String") if field else None,
        "booleanType": kind == "boolean",
        "columnName": name,
        "custom": bool(field and field.custom),
        "displayName": shown or name,
        "foreignKeyName": field.relationship_name if field and field.type == "reference" else None,
        "insertable": bool(field and field.createable),
        "joinColumns": [],
        "numberType": kind in _NUMBERS,
        "textType": bool(field) and kind not in _APEX,
        "updatable": bool(field and field.updateable),
    }
