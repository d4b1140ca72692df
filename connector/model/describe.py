"""The describe of an object in the org: the part of it that mapping and planning need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldDescribe:
    """One field. `type` is the describe type (`string`, `currency`, `picklist`, `reference`, …); `length` is in
    characters; `scale` is the number of decimals."""

    name: str
    label: str
    type: str
    length: int
    precision: int
    scale: int
    nillable: bool
    createable: bool
    updateable: bool
    defaulted_on_create: bool
    external_id: bool
    unique: bool
    restricted_picklist: bool
    picklist: tuple[str, ...]  # active values
    reference_to: tuple[str, ...]
    relationship_name: str | None
    case_sensitive: bool = False
    inactive: tuple[str, ...] = ()  # values of the picklist that nobody can choose any more

    @property
    def required_on_create(self) -> bool:
        """Whether describe reports it as required. The org requires others too, such as Order.AccountId."""
        return self.createable and not self.nillable and not self.defaulted_on_create


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordTypeDescribe:
    """`available`: the user of the connection may set it; `default`: a record that this user creates without a record
    type gets it."""

    id: str
    name: str  # the developer name
    active: bool
    available: bool
    default: bool
    master: bool

    @property
    def usable(self) -> bool:
        return self.active and self.available


@dataclass(frozen=True, kw_only=True, slots=True)
class SObjectDescribe:
    name: str
    label: str
    createable: bool
    updateable: bool
    fields: Mapping[str, FieldDescribe]  # by API name
    record_types: tuple[RecordTypeDescribe, ...] = ()
