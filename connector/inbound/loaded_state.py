"""What a transaction on records of the org has locked and read: links, entities, what is unsent, open conflicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from connector.model.change import EntityKind, Unsent
from connector.model.conflict import Conflict, ConflictState
from connector.model.customer import Customer
from connector.model.deleted_record import DeletedRecord
from connector.model.observed_value import ObservedValues
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.record import Link
from connector.model.sync_message import SyncMessage
from connector.orders.service import LockOrders
from connector.store import (
    conflict_rules,
    conflicts,
    customers,
    deleted_records,
    field_times,
    inbox,
    links,
    modification_times,
    outbox,
    products,
    restored_fields,
    returns,
    sync_messages,
)
from connector.store.restored_fields import Restored
from connector.store.unit_of_work import UnitOfWork


class LoadedState:
    """What is stored here of some records. `load` locks it until the transaction ends."""

    def __init__(self, uow: UnitOfWork, org_id: str) -> None:
        self._uow = uow
        self._org_id = org_id
        self.links: dict[str, Link] = {}
        """By record ID."""
        self.entities: dict[tuple[str, str], Any] = {}
        self.unsent: dict[tuple[str, str], Unsent] = {}
        self.changed_at: dict[tuple[str, str], datetime] = {}
        self.field_times: dict[tuple[str, str], Mapping[str, datetime]] = {}
        """By attribute."""
        self.observed: Mapping[str, ObservedValues] = {}
        """What was seen in records of the inbox, by record ID."""
        self.conflicts: dict[tuple[str, str], dict[str, Conflict]] = {}
        self.restored: dict[tuple[str, str, str], Restored] = {}
        """By entity, key and field."""
        self.deleted: dict[tuple[str, str], DeletedRecord] = {}
        """The linked records, and the orders of linked lines, that were seen to be deleted."""
        self.messages: Sequence[SyncMessage] = ()
        """What reps are told on these records, or because of changes of these records."""
        self._main_links: dict[tuple[str, str], Link] = {}
        """Of whole entities, by entity and key: those of `links`, and the owners of lines and other parts."""
        self.accounts: Mapping[str, str] = {}
        """Of customers whose orders were moved in the org: the account that their orders refer to, by number."""
        self.line_numbers: dict[str, list[int]] = {}
        """Of orders to which lines may have been added: the numbers of their linked lines, here or not any more."""

        self.answers: Mapping[tuple[str, str], ConflictState] = {}
        """Kept as rules, by object and field."""

    async def load(self, ids: Sequence[str], lock_orders: LockOrders, *, with_answers: bool) -> None:
        """Lock the entities of these records, their outbox rows and their links."""
        if with_answers:
            self.answers = await conflict_rules.answers(self._uow.connection, self._org_id)
        connection, org_id = self._uow.connection, self._org_id
        found = await links.find(connection, org_id, ids)
        owners = {link.owner for link in found.values()}
        by_kind = {kind: sorted(key for entity, key in owners if entity == kind) for kind in EntityKind}
        orders = await lock_orders(by_kind[EntityKind.ORDER]) if by_kind[EntityKind.ORDER] else {}
        numbers, skus = by_kind[EntityKind.CUSTOMER], by_kind[EntityKind.PRODUCT]
        sent_back = await returns.load(connection, by_kind[EntityKind.RETURN]) if by_kind[EntityKind.RETURN] else []
        loaded: list[tuple[EntityKind, Mapping[str, Customer | Product | Order | OrderReturn]]] = [
            (EntityKind.CUSTOMER, await customers.lock(connection, numbers)),
            (EntityKind.PRODUCT, await products.lock(connection, skus)),
            (EntityKind.ORDER, orders),
            (EntityKind.RETURN, {item.key: item for item in sent_back}),
        ]
        for kind, entities in loaded:
            self.entities |= {(kind.value, key): entity for key, entity in entities.items()}
            unsent = await outbox.find(connection, kind, sorted(entities), lock=True)
            self.unsent |= {(kind.value, key): row for key, row in unsent.items()}
            for key, times in (await modification_times.get(connection, kind, sorted(entities))).items():
                self.changed_at[kind.value, key] = times.latest
                self.field_times[kind.value, key] = times.by_attribute
        self.links = found if self._uow.is_alone else await links.find(connection, org_id, ids, lock=True)
        self.observed = await inbox.find_observed(connection, org_id, self.links)
        for entity in sorted({link.entity for link in self.links.values()}):
            keys = sorted(link.key for link in self.links.values() if link.entity == entity)
            opened = await conflicts.open_fields(connection, org_id, entity, keys)
            self.conflicts |= {(entity, key): fields for key, fields in opened.items()}
            before = await restored_fields.get(connection, org_id, entity, keys)
            self.restored |= {(entity, *place): item for place, item in before.items()}
        await self._load_messages(ids)
        await self._load_deleted()

    async def load_accounts(self, customers: Collection[str]) -> None:
        """Load `accounts` of these customers."""
        connection, org_id = self._uow.connection, self._org_id
        linked = await links.get(connection, org_id, EntityKind.CUSTOMER.value, sorted(customers)) if customers else {}
        effective = await deleted_records.with_merged(connection, org_id, linked) if linked else {}
        self.accounts = {key: link.salesforce_id for key, link in effective.items()}

    async def _load_messages(self, ids: Sequence[str]) -> None:
        """The links of the owners of lines and other parts, and the messages on all of these records."""
        connection, org_id = self._uow.connection, self._org_id
        self._main_links = {link.owner: link for link in self.links.values() if not link.is_part}
        missing = {link.owner for link in self.links.values()} - self._main_links.keys()
        for entity in sorted({entity for entity, _ in missing}):
            keys = sorted(key for kind, key in missing if kind == entity)
            linked = await links.get(connection, org_id, entity, keys)
            self._main_links |= {link.owner: link for link in linked.values()}
        on = {*ids, *(link.salesforce_id for link in self._main_links.values())}
        self.messages = await sync_messages.about(connection, org_id, on)

    def local_times(self, link: Link) -> tuple[datetime | None, Mapping[str, datetime]]:
        """When the entity of a link was changed here last, and its single attributes. A line that was never edited
        has no time of its own: then that of its order counts."""
        changed_at, times = self.changed_at.get(link.owner), self.field_times.get(link.owner, {})
        if not link.is_part:
            return changed_at, times
        return times.get(field_times.line_attribute(link.key.rpartition("-")[2]), changed_at), {}

    def main_link(self, link: Link) -> Link | None:
        """The link of the order of a line; of anything else its own."""
        return self._main_links.get(link.owner) if link.is_part else link

    def link_of_record(self, record_id: str) -> Link | None:
        """The link of an order or account whose message changes."""
        found = (link for link in self._main_links.values() if link.salesforce_id == record_id)
        return self.links.get(record_id) or next(found, None)

    async def load_line_numbers(self, order_ids: Collection[str]) -> None:
        """Load `line_numbers` of these records of orders."""
        numbers = sorted({link.key for record, link in self.links.items() if record in order_ids})
        lines = await links.children(self._uow.connection, self._org_id, "line", numbers) if numbers else {}
        for number, by_key in lines.items():
            suffixes = [key.removeprefix(f"{number}-") for key in by_key]
            self.line_numbers[number] = [int(suffix) for suffix in suffixes if suffix.isascii() and suffix.isdigit()]

    async def _load_deleted(self) -> None:
        connection, org_id = self._uow.connection, self._org_id
        linked = {(link.entity, link.key): link for link in (*self._main_links.values(), *self.links.values())}
        for entity in sorted({entity for entity, _ in linked}):
            keys = sorted(key for kind, key in linked if kind == entity)
            deleted = await deleted_records.get(connection, org_id, entity, keys)
            self.deleted |= {
                (entity, key): item
                for key, item in deleted.items()
                if linked[entity, key].salesforce_id == item.record_id
            }

    def owner(self, link: Link) -> Any:
        """The entity that is sent with the record of `link`; None if it is no longer here."""
        return self.entities.get(link.owner)

    def entity(self, link: Link) -> Any:
        """The entity of `link` itself: its owner, or a line of it; None if it is no longer here."""
        owner = self.owner(link)
        if not link.is_part:
            return owner
        if isinstance(owner, Order):
            return next((line for line in owner.lines if line.key == link.key), None)
        return None
