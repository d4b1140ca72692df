"""The org's objects and fields: the one description that storage, DML, SOQL and describe read.

It decides nothing. `standard_objects` fills it with the standard definitions, `metadata` adds what was deployed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property


@dataclass(frozen=True, kw_only=True)
class PicklistValue:
    value: str
    label: str
    active: bool = True
    default: bool = False
    category: str | None = None  # grouping of a status picklist: the StatusCode it means


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """One field as describe shows it; `type` is the describe type (`string`, `currency`, `reference`, ...).

    A field equals only itself, so that what is made of fields is found by them without comparing their values.
    """

    name: str
    label: str
    type: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    digits: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    defaulted_on_create: bool = False
    default_value: object = None
    required_on_create: bool = False  # enforced by the org even where describe says nillable
    required_message: str | None = None  # the org's own words where they are not "Required fields are missing"
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    id_lookup: bool = False
    restricted_picklist: bool = False
    picklist: tuple[PicklistValue, ...] = ()
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None  # parent path: `Account` for AccountId, `X__r` for X__c
    cascade_delete: bool = False
    restricted_delete: bool = False
    child_relationship: str | None = None  # name seen from the parent: `OrderItems`
    compound_field_name: str | None = None
    calculated: bool = False
    auto_number: bool = False
    custom: bool = False
    filterable: bool = True
    sortable: bool = True
    groupable: bool = True
    aggregatable: bool = True
    name_field: bool = False
    help_text: str | None = None
    history_tracked: bool = False

    @cached_property
    def stored(self) -> bool:
        """Whether the field has a column. Compound fields (`BillingAddress`) are composed on read."""
        return self.type not in {"address", "location"}


@dataclass(frozen=True, kw_only=True)
class ChildRelationship:
    child: str
    field: str
    name: str | None
    cascade_delete: bool
    restricted_delete: bool = False


@dataclass(kw_only=True)
class SObject:
    """One object. Fields keep the org's order and are keyed by the lower-cased name.

    `all_fields` are those it has, `fields` those that the running user may see. They are the same until
    `restrict_fields`.
    """

    name: str
    label: str
    label_plural: str
    key_prefix: str
    custom: bool = False
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    queryable: bool = True
    event: bool = False  # a platform event: publishable, not queryable
    immediate: bool = False  # an event that is published whatever becomes of the transaction
    history_enabled: bool = False  # changes of tracked fields are kept in <Object>History
    all_fields: dict[str, Field] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)

    def get(self, name: str) -> Field | None:
        return self.fields.get(name.lower())

    def add(self, item: Field) -> None:
        self.all_fields[item.name.lower()] = self.fields[item.name.lower()] = item

    def replace_field(self, item: Field) -> None:
        """Replace a field by one of the same name, visible or hidden as before."""
        name = item.name.lower()
        self.all_fields[name] = item
        if name in self.fields:
            self.fields[name] = replace(self.fields[name], history_tracked=item.history_tracked)

    def remove(self, item: Field) -> None:
        self.all_fields.pop(item.name.lower(), None)
        self.fields.pop(item.name.lower(), None)

    def restrict_fields(self, access: Callable[[Field], Field | None]) -> None:
        """Let the running user see what `access` returns for each field; None hides the field."""
        seen = {name: access(item) for name, item in self.all_fields.items()}
        self.fields = {name: item for name, item in seen.items() if item is not None}

    def stored_fields(self) -> Iterator[Field]:
        """Return the fields that have a column, visible or not."""
        return (item for item in self.all_fields.values() if item.stored)

    def parent_field(self, relationship: str) -> Field | None:
        """Return the reference field of a relationship name, case-insensitively."""
        name = relationship.lower()
        return next((f for f in self.fields.values() if (f.relationship_name or "").lower() == name), None)


class Schema:
    """All objects of the org. Names are case-insensitive, as on the platform."""

    def __init__(self, objects: Iterable[SObject] = ()) -> None:
        self._objects: dict[str, SObject] = {}
        for item in objects:
            self.add(item)

    def add(self, item: SObject) -> None:
        self._objects[item.name.lower()] = item

    def remove(self, name: str) -> None:
        self._objects.pop(name.lower(), None)

    def snapshot(self) -> dict[str, SObject]:
        """Return a copy of the objects, for `restore`."""
        return {
            name: replace(item, all_fields=dict(item.all_fields), fields=dict(item.fields))
            for name, item in self._objects.items()
        }

    def restore(self, snapshot: dict[str, SObject]) -> None:
        self._objects = snapshot

    def get(self, name: str) -> SObject | None:
        return self._objects.get(name.lower())

    def by_record_id(self, record_id: str) -> SObject | None:
        return next((o for o in self._objects.values() if o.key_prefix and record_id.startswith(o.key_prefix)), None)

    def __iter__(self) -> Iterator[SObject]:
        return iter(self._objects.values())

    def children_of(self, name: str) -> list[ChildRelationship]:
        """Return every reference to `name`. A relationship without a name cannot be queried."""
        wanted = name.lower()
        return [
            ChildRelationship(
                child=child.name,
                field=item.name,
                name=item.child_relationship,
                cascade_delete=item.cascade_delete,
                restricted_delete=item.restricted_delete,
            )
            for child in self
            for item in child.all_fields.values()
            if item.reference_to and wanted in map(str.lower, item.reference_to)
        ]
