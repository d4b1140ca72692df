"""`query?q=…&columns=true`: what a query would select, without its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.parser import parse
from connector.localorg.soql.syntax_tree import Aggregate, AllFields, Named, Select

if TYPE_CHECKING:
    from connector.localorg.org import Org

_NUMBERS = {"double", "currency", "percent", "int", "long"}
_TEXT = {"string", "textarea", "phone", "email", "url", "picklist", "combobox", "multipicklist", "id", "reference"}
_APEX = {
    "id": "Id", "reference": "Id", "boolean": "Boolean", "date": "Date", "datetime": "Datetime", "time": "Time",
    "double": "Double", "currency": "Decimal", "percent": "Double", "int": "Integer", "long": "Long",
}  # fmt: skip


def columns(org: Org, text: str, *, tooling: bool) -> dict[str, Any]:
    """Of a query that was found to be right."""
    select = parse(text)
    schema = org.tooling.schema if org.tooling.schema.get(select.source) and tooling else org.schema
    sobject = schema.get(select.source) or org.tooling.schema.get(select.source)
    assert sobject is not None
    listed = _columns(schema, sobject, select)
    return {
        "columnMetadata": listed,
        "entityName": sobject.name,
        "groupBy": bool(select.group_by),
        "idSelected": any(item["columnName"] == "Id" for item in listed),
        "keyPrefix": sobject.key_prefix or None,
    }


def _columns(schema: Schema, sobject: SObject, select: Select) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    unnamed = 0
    for item in select.items:
        match item:
            case Aggregate():
                found = _field(schema, sobject, item.path.parts) if item.path else None
                kind = Field(name=item.alias or f"expr{unnamed}", label="", type=found.type if found else "int")
                unnamed += item.alias is None
                told.append(_column(kind, item.alias or kind.name, aggregate=True))
            case AllFields():
                told += [_column(field, field.name) for field in sobject.fields.values()]
            case Named():
                field = _field(schema, sobject, item.path.parts)
                if field is not None:
                    _join(told, item.path.parts, field, item.alias)
            case Select():
                told.append(_children(schema, sobject, item))
    return told


def _join(told: list[dict[str, Any]], parts: tuple[str, ...], field: Field, alias: str | None) -> None:
    """A column, inside one for each relationship on the way to it."""
    for name in parts[:-1]:
        way = next((item for item in told if item["columnName"].lower() == name.lower()), None)
        if way is None:
            way = _column(Field(name=name, label=name, type="complexvalue"), name)
            told.append(way)
        told = way["joinColumns"]
    told.append(_column(field, alias or parts[-1]))


def _children(schema: Schema, sobject: SObject, select: Select) -> dict[str, Any]:
    link = next(link for link in schema.children_of(sobject.name) if (link.name or "").lower() == select.source.lower())
    child = schema.get(link.child)
    assert child is not None
    own = Field(name=link.name or "", label=child.label_plural, type="complexvalue")
    return _column(own, own.name, aggregate=True) | {"joinColumns": _columns(schema, child, select)}


def _field(schema: Schema, sobject: SObject, parts: tuple[str, ...]) -> Field | None:
    """The field at the end of a path, named as the schema has it."""
    owner: SObject | None = sobject
    for name in parts[:-1]:
        link = owner.parent_field(name) if owner else None
        if link is not None:
            owner = schema.get(link.reference_to[0])
    return owner.get(parts[-1]) if owner else None


def _column(field: Field, name: str, *, aggregate: bool = False) -> dict[str, Any]:
    return {
        "aggregate": aggregate,
        "apexType": _APEX.get(field.type, "String"),
        "booleanType": field.type == "boolean",
        "columnName": name if aggregate else field.name,
        "custom": field.custom,
        "displayName": name,
        "foreignKeyName": field.relationship_name,
        "insertable": field.createable and not aggregate,
        "joinColumns": [],
        "numberType": field.type in _NUMBERS,
        "textType": field.type in _TEXT,
        "updatable": field.updateable and not aggregate,
    }
