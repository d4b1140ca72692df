"""The type of a field as FieldDefinition shows it: `Text(80) (External ID)`, `Currency(16, 2)`, `Lookup(Account)`."""

from __future__ import annotations

from connector.localorg.schema import Field

_TYPE_NAMES = {
    "picklist": "Picklist", "multipicklist": "Picklist (Multi-Select)", "boolean": "Checkbox", "date": "Date",
    "datetime": "Date/Time", "time": "Time", "phone": "Phone", "email": "Email", "url": "URL", "address": "Address",
    "location": "Geolocation", "combobox": "Picklist", "base64": "Base64", "id": "Lookup()",
}  # fmt: skip
_NUMBERS = {"double": "Number", "currency": "Currency", "percent": "Percent"}
_LONG = 255


def data_type(field: Field) -> str:
    return _base_type(field) + _marks(field)


def _base_type(field: Field) -> str:
    if field.auto_number:
        return "Auto Number"
    if field.name_field and not field.custom:
        return "Name"
    if field.type in _NUMBERS:
        return f"{_NUMBERS[field.type]}({field.precision - field.scale}, {field.scale})"
    if field.type in {"int", "long"}:
        return f"Number({field.digits or 9}, 0)"
    if field.type == "reference":
        return (
            f"{'Master-Detail' if field.cascade_delete and field.custom else 'Lookup'}({','.join(field.reference_to)})"
        )
    if field.type == "textarea":
        return f"Long Text Area({field.length})" if field.length > _LONG else f"Text Area({field.length})"
    return _TYPE_NAMES.get(field.type, f"Text({field.length})")


def _marks(field: Field) -> str:
    marks = " (External ID)" if field.external_id else ""
    if field.unique:
        marks += f" (Unique Case {'Sensitive' if field.case_sensitive else 'Insensitive'})"
    return marks
