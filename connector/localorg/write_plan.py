"""The write plan of an sObject: names, converters and SQL, prepared once so that writing a row is cheap."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from connector.localorg.field_values import Coercer, StoredValue, coercer
from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.storage import quote

Row = dict[str, StoredValue]
"""A stored row: values by column."""

Body = Mapping[str, Any]
"""A record as a caller sends it: JSON values by field name."""

_STAMPS = {
    "Id",
    "CreatedDate",
    "CreatedById",
    "LastModifiedDate",
    "LastModifiedById",
    "SystemModstamp",
    "IsDeleted",
}


@dataclass(frozen=True, slots=True)
class InputField:
    name: str
    field: Field
    coerce: Coercer
    createable: bool
    updateable: bool
    targets: tuple[str, ...]
    prefixes: Mapping[str, str]  # key prefix -> sObject it may point at


_Key = tuple[str, tuple[Field, ...], tuple[Field, ...], tuple[str, ...], str]


class WritePlan:
    """What the fields of an object mean to writes. Nothing changes a plan."""

    _known: ClassVar[OrderedDict[_Key, WritePlan]] = OrderedDict()
    _MAX_KNOWN = 512

    @classmethod
    def of(cls, schema: Schema, sobject: SObject, currency: str) -> WritePlan:
        """Return the plan of an object. Orgs whose objects have the same fields share the work."""
        fields = tuple(sobject.fields.values())
        targets = [schema.get(target) for field in fields for target in field.reference_to]
        prefixes = tuple(target.key_prefix if target else "" for target in targets)
        key = (sobject.name, tuple(sobject.all_fields.values()), fields, prefixes, currency)
        known = cls._known.get(key)
        if known is None:
            known = cls._known[key] = cls(schema, sobject, currency)
            if len(cls._known) > cls._MAX_KNOWN:
                cls._known.popitem(last=False)
        plan = copy.copy(known)
        plan.sobject = sobject
        return plan

    def __init__(self, schema: Schema, sobject: SObject, currency: str) -> None:
        self.sobject = sobject
        self.name = sobject.name
        self.inputs: dict[str, InputField] = {}
        self.relationships: dict[str, InputField] = {}
        self.addresses: dict[str, list[Field]] = {}
        fields = list(sobject.stored_fields())
        for field in sobject.fields.values():
            prefixes = {}
            for target in field.reference_to:
                target_object = schema.get(target)
                if target_object is not None:
                    prefixes[target_object.key_prefix] = target_object.name
            entry = InputField(
                field.name,
                field,
                coercer(field),
                field.createable and field.stored and not field.calculated and not field.auto_number,
                field.updateable and field.stored and not field.calculated and not field.auto_number,
                field.reference_to,
                prefixes,
            )
            self.inputs[field.name.lower()] = entry
            if field.relationship_name and field.type == "reference":
                self.relationships[field.relationship_name.lower()] = entry
            if field.type == "address":
                self.addresses[field.name] = []
        for field in fields:
            if field.compound_field_name in self.addresses:
                self.addresses[field.compound_field_name].append(field)
        self.columns = tuple(field.name for field in fields)
        self.booleans = frozenset(field.name for field in fields if field.type == "boolean")
        self.column_names = frozenset(self.columns)
        self.auto_numbers = tuple(f for f in fields if f.auto_number)
        self.unique = tuple(f for f in fields if f.unique and f.name != "Id" and not f.auto_number)
        self.required = tuple(
            f
            for f in fields
            if f.createable
            and f.name not in _STAMPS
            and (f.required_on_create or (not f.nillable and not f.defaulted_on_create and f.type != "boolean"))
        )
        self.defaults: Row = {}
        for field in fields:
            if field.type == "boolean":
                self.defaults[field.name] = int(field.default_value is True)
            elif field.default_value is not None and isinstance(field.default_value, str | int | float):
                self.defaults[field.name] = field.default_value
            elif field.name == "CurrencyIsoCode":
                self.defaults[field.name] = currency
            elif field.picklist:
                default = next((item.value for item in field.picklist if item.default), None)
                if default is not None:
                    self.defaults[field.name] = default
        table = quote(self.name)
        names = ", ".join(map(quote, self.columns))
        self.insert_sql = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(self.columns))})"  # noqa: S608
        self.select_sql = f"SELECT {names} FROM {table}"  # noqa: S608
        self.by_id_sql = f'{self.select_sql} WHERE "Id" = ?'
        self.is_deleted_sql = (
            f'SELECT "IsDeleted" FROM {table} WHERE "Id" = ?'  # noqa: S608
            if "IsDeleted" in self.column_names
            else f'SELECT 0 FROM {table} WHERE "Id" = ?'  # noqa: S608
        )
        self.live_condition = ' AND "IsDeleted" = 0' if "IsDeleted" in self.column_names else ""
        status = sobject.get("Status")
        self.categories = {item.value: item.category for item in status.picklist} if status else {}

    def status_category(self, status: StoredValue) -> str | None:
        """Return the StatusCode of a Status value, or None."""
        return self.categories.get(status) if isinstance(status, str) else None

    def required_on_update(self, name: str) -> bool:
        return any(field.name == name for field in self.required)

    def key_sql(self, column: str) -> str:
        return f'SELECT "Id" FROM {quote(self.name)} WHERE {quote(column)} = ?{self.live_condition}'  # noqa: S608
