"""Maps an entity to the record that the org is to have, exactly as the mapping file says."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from connector.errors import MappingError
from connector.mapping.compiler import ABSENT, Getter, LookupGetter, compile_field, compile_lookup
from connector.mapping.line_fields import edited_fields
from connector.mapping.personal import personal_fields
from connector.mapping.problems import FOLDER
from connector.mapping.spec import SHARED_OWNERS, EntitySpec, FieldSpec, LookupSpec, Owner, RecordSpec
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.field_notes import PersonalFields
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.record import IS_PERSON, FieldValue, Link, Lookup, MappedRecord
from connector.settings.inbound import ChangedLines

E = TypeVar("E", bound=Customer | Product | Order | OrderReturn)


_KEYS = frozenset({"customer.key", "customer.number", "product.key", "product.sku"})


class _RecordMapper:
    """The compiled mapping of one object."""

    def __init__(self, spec: RecordSpec) -> None:
        self.spec = spec
        self._fields: tuple[tuple[str, Getter], ...] = tuple(
            (field.name, compile_field(field)) for field in spec.fields if field.owner is not Owner.SALESFORCE
        )
        self._shared = frozenset(field.name for field in spec.fields if field.owner in SHARED_OWNERS)
        self._lookups: tuple[tuple[str, LookupGetter], ...] = tuple(
            (lookup.name, compile_lookup(lookup)) for lookup in spec.lookups
        )

    def with_shared(self, names: frozenset[str]) -> _RecordMapper:
        """A copy whose fields of these names may be changed on both sides as well."""
        copied = copy(self)
        copied._shared = self._shared | names
        return copied

    def map(self, entity: Any, children: tuple[MappedRecord, ...] = ()) -> MappedRecord:
        spec = self.spec
        fields: dict[str, FieldValue] = {}
        lookups: dict[str, Lookup] = {}
        name = ""
        try:
            for name, get in self._fields:
                value = get(entity)
                if value is not ABSENT:
                    fields[name] = value
            for name, find in self._lookups:
                lookup = find(entity)
                if lookup is not None:
                    lookups[name] = lookup
        except Exception as error:
            raise self._mapping_error(name, entity, error) from error
        return MappedRecord(
            entity=spec.entity,
            key=entity.key,
            sobject=spec.sobject,
            external_id=spec.external_id,
            fields=fields,
            lookups=lookups,
            children=children,
            shared=self._shared,
        )

    def _mapping_error(self, name: str, entity: Any, error: Exception) -> MappingError:
        position = next(entry.position for entry in self.spec.entries if entry.name == name)
        return MappingError([f"{position}: {name}: {_describe_error(error, self.spec.entity, entity.key)}"])


def _describe_error(error: Exception, entity: str, key: str) -> str:
    """One sentence, whatever the exception's own text looks like (decimal's is a list of signal classes)."""
    text = str(error) if isinstance(error, ValueError | TypeError) and str(error) else type(error).__name__
    return f"cannot be computed for {entity} {key}: {text}; correct the entity's value, or the mapping."


class EntityMapping(Generic[E]):
    """One mapping file, ready to use."""

    def __init__(self, spec: EntitySpec) -> None:
        self.spec = spec
        self._record = _RecordMapper(spec.record)
        self._children = tuple((name, _RecordMapper(child)) for name, child in spec.children.items())
        self._entries: dict[tuple[str, str], FieldSpec | LookupSpec] = {
            (record.sobject, entry.name): entry for record in reversed(spec.records) for entry in record.entries
        }

    @property
    def kind(self) -> EntityKind:
        return self.spec.kind

    @property
    def sobject(self) -> str:
        return self.spec.record.sobject

    @property
    def external_id(self) -> str:
        return self.spec.record.external_id

    @property
    def sobjects(self) -> tuple[str, ...]:
        """The objects that this mapping writes, parent first."""
        return tuple(record.sobject for record in self.spec.records)

    def map(self, entity: E) -> MappedRecord | None:
        """The record for `entity` with its children; None if `when` excludes it.

        Raises MappingError, which names the line and the entity, if a value does not suit its transform or expression.
        The record has no fields that Salesforce owns, and none whose value table yields null.
        """
        if not self.includes(entity):
            return None
        children = tuple(
            mapper.map(child) for attribute, mapper in self._children for child in getattr(entity, attribute)
        )
        return self._record.map(entity, children)

    def includes(self, entity: E) -> bool:
        """Whether `when` includes this entity."""
        when, position = self.spec.when, self.spec.when_position
        if when is None:
            return True
        try:
            return bool(when.evaluate(entity))
        except Exception as error:
            raise MappingError([f"{position}: when: {_describe_error(error, self.kind, entity.key)}"]) from error

    def with_edited_lines(self, policy: ChangedLines) -> EntityMapping[E]:
        """A copy in which quantity and price of a line may be changed on both sides, if the policy takes them."""
        copied = copy(self)
        copied._children = tuple(
            (attribute, mapper.with_shared(edited_fields(mapper.spec, policy))) for attribute, mapper in self._children
        )
        return copied

    @property
    def depends_on(self) -> frozenset[str]:
        """The other entities whose values it uses, apart from their keys: `customer`, `product`."""
        expressions = [self.spec.when] if self.spec.when is not None else []
        paths = []
        for record in self.spec.records:
            paths += [field.path for field in record.fields if field.path is not None]
            expressions += [field.expression for field in record.fields if field.expression is not None]
        texts = {path.text for path in [*paths, *(path for item in expressions for path in item.paths)]}
        return frozenset(text.split(".")[0] for text in texts if "." in text and text not in _KEYS)

    def source(self, sobject: str, field: str) -> str | None:
        """The line that maps `field` (an API name, such as `AccountId`), as `mappings/order.yaml:14`; None if none
        does."""
        entry = self._entries.get((sobject, field))
        return None if entry is None else entry.position.source

    def owner(self, field: str, sobject: str | None = None) -> Owner:
        """The owner of `field`, of the entity's own object unless `sobject` is given. A field that is not mapped
        belongs to Salesforce."""
        entry = self._entries.get((sobject or self.sobject, field))
        if entry is None:
            return Owner.SALESFORCE
        return entry.owner if isinstance(entry, FieldSpec) else Owner.LOCAL

    def fields_of(self, sobject: str) -> tuple[str, ...]:
        """API names of everything mapped on `sobject`, with references by their field, in the order of the file."""
        records = (record for record in self.spec.records if record.sobject == sobject)
        return tuple(entry.name for record in records for entry in record.entries)


class MappingSet:
    """The mappings of all entities, from one folder, which messages to a person call `folder`.

    At most one of the two mappings of returns is in use, and the mapping of persons only if the org has person accounts
    (`with_persons`).
    """

    def __init__(
        self,
        *,
        customer: EntityMapping[Customer],
        product: EntityMapping[Product],
        order: EntityMapping[Order],
        reduction: EntityMapping[OrderReturn] | None = None,
        return_order: EntityMapping[OrderReturn] | None = None,
        person: EntityMapping[Customer] | None = None,
    ) -> None:
        self.folder = FOLDER
        self.customer = customer
        self.product = product
        self.order = order
        self.reduction = reduction
        self.return_order = return_order
        self.returns = reduction
        self.person = person
        self.persons_enabled = False

    @cached_property
    def personal(self) -> PersonalFields:
        """The fields that are mapped from personal data, by object, in any of the files."""
        mappings = (self.customer, self.person, self.product, self.order, self.reduction, self.return_order)
        return personal_fields(mapping.spec for mapping in mappings if mapping is not None)

    def with_returns(self, returns: EntityMapping[OrderReturn] | None) -> MappingSet:
        """A copy that maps returns with `returns`; None leaves them out."""
        copied = copy(self)
        copied.returns = returns
        return copied

    def with_edited_lines(self, policy: ChangedLines) -> MappingSet:
        """A copy by the policy for lines of orders that are changed in the org."""
        copied = copy(self)
        copied.order = self.order.with_edited_lines(policy)
        return copied

    def with_persons(self, enabled: bool) -> MappingSet:
        """A copy for an org in which new accounts can be person accounts (`enabled`), or cannot."""
        copied = copy(self)
        copied.persons_enabled = enabled and self.person is not None
        return copied

    def map_customer(self, customer: Customer, link: Link | None) -> MappedRecord | None:
        """The record of a customer whose account is that of `link`, if there is one.

        An account keeps the type it was created with. One that was created before the org had person accounts is a
        company's, whoever the customer is.
        """
        was_person = link.snapshot.get(IS_PERSON) if link is not None else None
        has_account_types = self.person is not None and (
            was_person is not None or (link is None and self.persons_enabled)
        )
        mapping = self.customer
        if (
            has_account_types
            and customer.person
            and self.person is not None
            and (was_person is True or self.persons_enabled)
        ):
            mapping = self.person
        record = mapping.map(customer)
        return record if record is None or not has_account_types else replace(record, person=mapping is self.person)

    def __iter__(self) -> Iterator[EntityMapping[Any]]:
        mappings = (
            self.customer,
            self.person if self.persons_enabled else None,
            self.product,
            self.order,
            self.returns,
        )
        return (mapping for mapping in mappings if mapping is not None)

    def of(self, kind: EntityKind) -> EntityMapping[Any] | None:
        """The mapping of a kind; None for returns that are not mapped."""
        return next((mapping for mapping in self if mapping.kind is kind), None)

    def source(self, sobject: str, field: str, *, person: bool = False) -> str | None:
        """The line that maps `field` of `sobject` in any of the files, for a `person` in that of persons first; None if
        none does."""
        first = (self.person,) if person and self.person is not None else ()
        sources = (mapping.source(sobject, field) for mapping in (*first, *self))
        return next((source for source in sources if source is not None), None)
