"""The parsed form of a mapping file. It is complete and valid in itself; only a comparison with an org can
find errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connector.mapping.expression import Expression
from connector.mapping.paths import Path
from connector.mapping.problems import Position
from connector.mapping.transforms import Transform
from connector.mapping.types import Kind
from connector.model.change import EntityKind
from connector.model.record import FieldValue

ANY_OTHER_VALUE = "*"
"""The row of a value table for every value without a row of its own."""


class Owner(StrEnum):
    """Which side owns a field. `salesforce` fields are never sent; `newest` and `ask` are sent and received."""

    LOCAL = "local"
    SALESFORCE = "salesforce"
    NEWEST = "newest"
    ASK = "ask"


SHARED_OWNERS = frozenset({Owner.NEWEST, Owner.ASK})
"""Of fields that both sides may change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The result for one value; None keeps the org's value."""

    value: FieldValue
    position: Position


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueTable:
    """`rows` by our value as text (`true`, `12`); `kind` is the kind of their results."""

    name: str
    position: Position
    rows: Mapping[str, Row]
    kind: Kind

    @property
    def other_values(self) -> Row | None:
        return self.rows.get(ANY_OTHER_VALUE)


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldSpec:
    """One field: from a path, an expression or, if both are None, a constant.

    `kind` is what reaches the org. `default` is sent if there is no value; it is not transformed.
    """

    name: str
    position: Position
    kind: Kind
    path: Path | None = None
    expression: Expression | None = None
    const: FieldValue = None
    transforms: tuple[Transform, ...] = ()
    values: ValueTable | None = None
    default: FieldValue = None
    owner: Owner = Owner.LOCAL


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupSpec:
    """A reference by our key. `relationship` is as written (`Account`), `name` is the reference field (`AccountId`)."""

    relationship: str
    name: str
    position: Position
    entity: str
    path: Path | None = None
    const: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordSpec:
    """One object: `entity` is `customer`, `product`, `order` or `line`. Positions are those of the values."""

    entity: str
    sobject: str
    external_id: str
    position: Position
    sobject_position: Position
    external_id_position: Position
    fields: tuple[FieldSpec, ...]
    lookups: tuple[LookupSpec, ...] = ()

    @property
    def entries(self) -> tuple[FieldSpec | LookupSpec, ...]:
        """Fields and lookups in the order of the file."""
        together: list[FieldSpec | LookupSpec] = [*self.fields, *self.lookups]
        return tuple(sorted(together, key=lambda entry: (entry.position.line, entry.position.column)))


@dataclass(frozen=True, kw_only=True, slots=True)
class EntitySpec:
    """One file. `children` are keyed by the attribute that holds them (`lines`)."""

    kind: EntityKind
    record: RecordSpec
    when: Expression | None = None
    when_position: Position | None = None
    children: Mapping[str, RecordSpec] = field(default_factory=dict)

    @property
    def records(self) -> tuple[RecordSpec, ...]:
        """The record itself first, then its children."""
        return (self.record, *self.children.values())
