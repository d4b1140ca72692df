"""`query?q=…&columns=true`: describe the columns of a query instead of running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.parser import parse
from connector.localorg.soql.syntax_tree import Aggregate, AllFields, Select, SelectedField

if TYPE_CHECKING:
    from connector.localorg.org import Org

_NUMBER_TYPES = {"double", "currency", "percent", "int", "long"}
_TEXT_TYPES = {
    "string",
    "textarea",
    "phone",
    "email",
    "url",
    "picklist",
    "combobox",
    "multipicklist",
    "id",
    "reference",
}
_APEX_TYPES = {
    "id": "Id", "reference": "Id", "boolean": "Boolean", "date": "Date", "datetime": "Datetime", "time": "Time",
    "double": "Double", "currency": "Decimal", "percent": "Double", "int": "Integer", "long": "Long",
}  # fmt: skip


def describe_columns(org: Org, text: str, *, tooling: bool) -> dict[str, Any]:
    """Describe the columns of a query that was found to be valid."""
    select = parse(text)
    schema = org.tooling.schema if org.tooling.schema.get(select.source) and tooling else org.schema
    sobject = schema.get(select.source) or org.tooling.schema.get(select.source)
    assert sobject is not None
    listed = _select_columns(schema, sobject, select)
    return {
        "columnMetadata": listed,
        "entityName": sobject.name,
        "groupBy": bool(select.group_by),
        "idSelected": any(item["columnName"] == "Id" for item in listed),
        "keyPrefix": sobject.key_prefix or None,
    }


def _select_columns(schema: Schema, sobject: SObject, select: Select) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = []
    unnamed = 0
    for item in select.items:
        match item:
            case Aggregate():
                source_field = _find_field(schema, sobject, item.path.parts) if item.path else None
                kind = Field(
                    name=item.alias or f"expr{unnamed}", label="", type=source_field.type if source_field else "int"
                )
                unnamed += item.alias is None
                columns.append(_render_column(kind, item.alias or kind.name, aggregate=True))
            case AllFields():
                columns += [_render_column(field, field.name) for field in sobject.fields.values()]
            case SelectedField():
                field = _find_field(schema, sobject, item.path.parts)
                if field is not None:
                    _add_joined_column(columns, item.path.parts, field, item.alias)
            case Select():
                columns.append(_child_column(schema, sobject, item))
    return columns


def _add_joined_column(columns: list[dict[str, Any]], parts: tuple[str, ...], field: Field, alias: str | None) -> None:
    """Add a column inside one for each relationship on its path."""
    for name in parts[:-1]:
        parent = next((item for item in columns if item["columnName"].lower() == name.lower()), None)
        if parent is None:
            parent = _render_column(Field(name=name, label=name, type="complexvalue"), name)
            columns.append(parent)
        columns = parent["joinColumns"]
    columns.append(_render_column(field, alias or parts[-1]))


def _child_column(schema: Schema, sobject: SObject, select: Select) -> dict[str, Any]:
    link = next(link for link in schema.children_of(sobject.name) if (link.name or "").lower() == select.source.lower())
    child = schema.get(link.child)
    assert child is not None
    own = Field(name=link.name or "", label=child.label_plural, type="complexvalue")
    return _render_column(own, own.name, aggregate=True) | {"joinColumns": _select_columns(schema, child, select)}


def _find_field(schema: Schema, sobject: SObject, parts: tuple[str, ...]) -> Field | None:
    """Return the field at the end of a path, or None."""
    owner: SObject | None = sobject
    for name in parts[:-1]:
        link = owner.parent_field(name) if owner else None
        if link is not None:
            owner = schema.get(link.reference_to[0])
    return owner.get(parts[-1]) if owner else None


def _render_column(field: Field, name: str, *, aggregate: bool = False) -> dict[str, Any]:
    return {
        "aggregate": aggregate,
        "apexType": _APEX_TYPES.get(field.type, "String"),
        "booleanType": field.type == "boolean",
        "columnName": name if aggregate else field.name,
        "custom": field.custom,
        "displayName": name,
        "foreignKeyName": field.relationship_name,
        "insertable": field.createable and not aggregate,
        "joinColumns": [],
        "numberType": field.type in _NUMBER_TYPES,
        "textType": field.type in _TEXT_TYPES,
        "updatable": field.updateable and not aggregate,
    }
