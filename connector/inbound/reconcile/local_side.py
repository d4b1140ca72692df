"""Our side of a comparison: the entities of a page of links, what is unsent of them, and what their lookups mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.inbound.reconcile.comparison import resolve_fixed
from connector.mapping.mapper import MappingSet
from connector.model.change import ChangeState, EntityKind, Unsent
from connector.model.conflict import ConflictState
from connector.model.customer import Customer
from connector.model.inbound_change import InboxState
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.reconciliation import RecordState
from connector.model.record import Link, Lookup
from connector.store import (
    conflict_rules,
    conflicts,
    customers,
    dead_letters,
    deleted_records,
    inbox,
    links,
    modification_times,
    orders,
    outbox,
    products,
    returns,
)
from connector.store.engine import Connection

_STORES: Mapping[str, Any] = {"customer": customers, "product": products, "order": orders, "return": returns}

Name = tuple[str, str]
"""An entity: its kind and its key."""


@dataclass(kw_only=True)
class Details:
    """What is read only of records that differ: open conflicts by field, what waits in the inbox, discarded changes,
    deletions that are known, when entities changed, answers that are kept as rules, and orders that a rep created with
    another price book than the standard one."""

    conflicts: dict[Name, set[str]] = field(default_factory=dict)
    inbox: dict[str, InboxState] = field(default_factory=dict)
    discarded: set[Name] = field(default_factory=set)
    merged: set[Name] = field(default_factory=set)
    changed_at: dict[Name, datetime] = field(default_factory=dict)
    field_times: dict[Name, Mapping[str, datetime]] = field(default_factory=dict)
    in_other_book: set[Name] = field(default_factory=set)
    answers: Mapping[tuple[str, str], ConflictState] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalContext:
    """How our side is read. `record_types` are IDs by object and developer name."""

    org_id: str
    mappings: MappingSet
    record_types: Mapping[tuple[str, str], str]
    price_book: str


class LocalSide:
    """What is here of some links. `load` reads it, in one snapshot of the database."""

    def __init__(self, context: LocalContext) -> None:
        self._org_id, self._mappings = context.org_id, context.mappings
        self._record_types, self._price_book = context.record_types, context.price_book
        self._depends_on = {EntityKind.ORDER: context.mappings.order.depends_on}
        self.owners: dict[Name, Any] = {}
        self._parts: dict[Name, Any] = {}
        self.unsent: dict[Name, Unsent] = {}
        self._record_ids: dict[Name, str] = {}
        self.details = Details()

    async def load(self, connection: Connection, names: Iterable[Name]) -> None:
        """Read these entities, what is unsent of them, and the links of what they refer to."""
        wanted: dict[str, set[str]] = {}
        for kind, key in names:
            wanted.setdefault(kind, set()).add(key)
        for kind, keys in wanted.items():
            for entity in await _STORES[kind].load(connection, sorted(keys)):
                self.owners[kind, entity.key] = entity
                self._index_parts(kind, entity)
            unsent = await outbox.find(connection, EntityKind(kind), sorted(keys))
            self.unsent |= {(kind, key): row for key, row in unsent.items()}
        await self._load_lookups(connection)

    def _index_parts(self, kind: str, entity: Any) -> None:
        mapping = self._mappings.of(EntityKind(kind))
        for attribute, part in () if mapping is None else mapping.spec.children.items():
            self._parts |= {(part.entity, child.key): child for child in getattr(entity, attribute)}

    async def _load_lookups(self, connection: Connection) -> None:
        sales = [item for item in self.owners.values() if isinstance(item, Order | OrderReturn)]
        accounts = {item.customer.key for item in sales}
        if accounts:
            found = await links.record_ids(connection, self._org_id, "customer", sorted(accounts))
            merged = await deleted_records.get(connection, self._org_id, "customer", sorted(accounts))
            found |= {
                key: item.merged_into
                for key, item in merged.items()
                if item.merged_into is not None and found.get(key) == item.record_id
            }
            self._record_ids |= {("customer", key): record for key, record in found.items()}
        prices = {
            line.price_key for item in sales for line in (item.lines if isinstance(item, Order) else item.order.lines)
        }
        if prices:
            found = await links.record_ids(connection, self._org_id, "price", sorted(prices))
            self._record_ids |= {("price", key): record for key, record in found.items()}
        originals = [item.order for item in sales if isinstance(item, OrderReturn)]
        for kind, keys in (
            ("order", [order.key for order in originals]),
            ("line", [line.key for order in originals for line in order.lines]),
        ):
            found = await links.record_ids(connection, self._org_id, kind, sorted(set(keys)))
            self._record_ids |= {(kind, key): record for key, record in found.items()}

    async def load_details(self, connection: Connection, names: Sequence[Name], record_ids: Sequence[str]) -> None:
        """Read what explains the differences of these records; `names` are those of links, parts among them."""
        details, org_id = Details(), self._org_id
        for entity in sorted({entity for entity, _ in names}):
            keys = sorted(key for kind, key in names if kind == entity)
            opened = await conflicts.open_fields(connection, org_id, entity, keys)
            details.conflicts |= {(entity, key): set(fields) for key, fields in opened.items()}
            deleted = await deleted_records.get(connection, org_id, entity, keys)
            details.merged |= {(entity, key) for key, item in deleted.items() if item.merged_into is not None}
        for kind in EntityKind:
            keys = sorted(key for entity, key in self.owners if entity == kind)
            if keys:
                discarded = await dead_letters.list_discarded(connection, kind, keys)
                details.discarded |= {(entity.value, key) for entity, key in discarded}
                for key, times in (await modification_times.get(connection, kind, keys)).items():
                    details.changed_at[kind.value, key] = times.latest
                    details.field_times[kind.value, key] = times.by_attribute
        numbers = sorted(key for kind, key in self.owners if kind == EntityKind.ORDER)
        for key, link in (await links.get(connection, org_id, "order", numbers)).items():
            if link.snapshot.get("Pricebook2Id") not in {None, self._price_book}:
                details.in_other_book.add((EntityKind.ORDER.value, key))
        details.inbox = await inbox.states(connection, org_id, record_ids)
        details.answers = await conflict_rules.answers(connection, org_id)
        await self._load_dependencies(connection)
        self.details = details

    async def _load_dependencies(self, connection: Connection) -> None:
        """Changes of customers and products whose values orders use: the orders become due when those are sent."""
        sales = [item for item in self.owners.values() if isinstance(item, Order)]
        depends_on = self._depends_on[EntityKind.ORDER]
        if "customer" in depends_on:
            keys = sorted({order.customer.key for order in sales})
            found = await outbox.find(connection, EntityKind.CUSTOMER, keys)
            self.unsent |= {("customer", key): row for key, row in found.items()}
        if "product" in depends_on:
            keys = sorted({line.product.key for order in sales for line in order.lines})
            found = await outbox.find(connection, EntityKind.PRODUCT, keys)
            self.unsent |= {("product", key): row for key, row in found.items()}

    def entity(self, link: Link) -> Any:
        """The entity of a link: the owner itself, or a part of it; None if it is no longer here."""
        return self._parts.get((link.entity, link.key)) if link.is_part else self.owners.get(link.owner)

    def has(self, name: Name) -> bool:
        """Whether this entity, or part of one, is here."""
        return name in self.owners or name in self._parts

    def is_due(self, name: Name) -> bool:
        """Whether the entity, or one that it uses values of, waits to be sent."""
        owner = self.owners.get(name)
        names = [name]
        if isinstance(owner, Order):
            depends_on = self._depends_on[EntityKind.ORDER]
            names += [("customer", owner.customer.key)] if "customer" in depends_on else []
            names += [("product", line.product.key) for line in owner.lines] if "product" in depends_on else []
        return any(row.state is ChangeState.DUE for row in map(self.unsent.get, names) if row is not None)

    def is_refused(self, name: Name) -> bool:
        """Whether a change of the entity waits for a person."""
        row = self.unsent.get(name)
        return (row is not None and row.state is not ChangeState.DUE) or name in self.details.discarded

    def why_open(self, name: Name, state: RecordState) -> str:
        """Why an entity, or a part of it, is neither equal nor a difference."""
        row = self.unsent.get(name)
        match state:
            case RecordState.PENDING if self.is_due(name):
                return "a change waits to be sent"
            case RecordState.PENDING:
                return "it has just changed, or a change in Salesforce waits to be applied"
            case RecordState.REFUSED if row is not None and row.state is ChangeState.BLOCKED:
                return "it waits for another entity that was refused"
            case RecordState.REFUSED if row is not None and row.refusal is not None:
                return f"the change was refused: {row.refusal.code}"
            case RecordState.REFUSED if name in self.details.discarded:
                return "the refused change was discarded"
            case RecordState.REFUSED:
                return "it cannot be mapped, or a change in Salesforce is parked: see the inbox"
            case RecordState.IN_CONFLICT:
                return "both sides changed a field, and a person decides"
            case RecordState.NOT_SYNCED:
                is_merged = name in self.details.merged
                return "its record was merged into another one" if is_merged else "the mapping leaves it out (`when`)"
        return ""

    def is_synced(self, name: Name) -> bool:
        """Whether the mapping includes the entity. Raises MappingError if that cannot be computed."""
        owner = self.owners[name]
        mapping = self._mappings.of(EntityKind(name[0]))
        if mapping is None:
            return False
        if isinstance(owner, Customer) and owner.person and self._mappings.persons_enabled and self._mappings.person:
            mapping = self._mappings.person
        return mapping.includes(owner)

    def resolve(self, sobject: str, lookup: Lookup) -> str | None:
        if lookup.entity == "record_type":
            return resolve_fixed(lookup, lambda name: self._record_types.get((sobject, name)))
        return self._record_ids.get((lookup.entity, lookup.key))

    def parts_of(self, name: Name) -> list[Name]:
        """The parts of an entity that the mapping sends."""
        owner = self.owners.get(name)
        mapping = None if owner is None else self._mappings.of(EntityKind(name[0]))
        if mapping is None:
            return []
        return [
            (part.entity, child.key)
            for attribute, part in mapping.spec.children.items()
            for child in getattr(owner, attribute)
        ]
