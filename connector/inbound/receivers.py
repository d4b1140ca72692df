"""Which part of the mapping receives the record of a link. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from connector.mapping.mapper import MappingSet
from connector.mapping.receiver import RecordReceiver
from connector.mapping.spec import Owner
from connector.model.change import EntityKind
from connector.model.record import IS_PERSON, Link


class Receivers:
    """The receivers of a set of mappings: customers, persons, products, orders and their lines."""

    def __init__(self, mappings: MappingSet) -> None:
        received = (mappings.customer, mappings.product, mappings.order)
        self._by_entity = {
            record.entity: RecordReceiver(record) for mapping in received for record in mapping.spec.records
        }
        self._person = None if mappings.person is None else RecordReceiver(mappings.person.spec.record)

    @property
    def ask(self) -> bool:
        """Whether a person decides about some field."""
        return any(spec.owner is Owner.ASK for receiver in self for spec in receiver.fields.values())

    def __iter__(self) -> Iterator[RecordReceiver]:
        yield from self._by_entity.values()
        if self._person is not None:
            yield self._person

    def named(self, entity: str) -> RecordReceiver:
        """The receiver of an entity; of a customer, that of companies."""
        return self._by_entity[entity]

    def of_account(self, *, person: bool) -> RecordReceiver:
        """The receiver of an account: that of persons, if they are mapped by themselves."""
        return self._person if person and self._person is not None else self._by_entity[EntityKind.CUSTOMER]

    def of(self, link: Link) -> RecordReceiver | None:
        """The receiver of a link's record; None for what no mapping receives (prices, returns)."""
        if link.entity == EntityKind.CUSTOMER and link.snapshot.get(IS_PERSON) is True and self._person is not None:
            return self._person
        return self._by_entity.get(link.entity)

    def field_of(self, sobject: str, attribute: str) -> str | None:
        """The field of an object that sets `attribute` here; None if none does."""
        return next(
            (
                name
                for receiver in self
                if receiver.sobject == sobject
                for name, received in receiver.received.items()
                if received.attribute == attribute
            ),
            None,
        )
