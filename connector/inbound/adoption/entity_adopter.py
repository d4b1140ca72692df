"""Makes customers and products of accounts and products that were created in the org, without an order.

A record without a link and without a key becomes an entity here, linked to it, in the transaction that ends its row of
the inbox; the next push writes its key. A product gets the prices of its active entries in the standard price book.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from connector.inbound.adoption.explanation import explain_adoption, explain_obstacle
from connector.inbound.adoption.obstacle import ObstacleError
from connector.inbound.adoption.references import (
    AdoptionContext,
    customer_from,
    customer_numbers,
    make_link,
    new_skus,
    price_link,
    product_from,
)
from connector.inbound.adoption.rule import ACCOUNT
from connector.inbound.context import ApplyReport
from connector.inbound.notices import make_notice
from connector.inbound.record_reader import OrgReader, SoqlBuilder
from connector.model.change import EntityKind
from connector.model.change_notice import NewNotice
from connector.model.inbound_change import InboxItem, RemoteRecord, Source
from connector.model.product import Price
from connector.model.record import IS_PERSON, Link
from connector.store import change_notices, customers, inbox, journal, links, products
from connector.store.engine import Store
from connector.store.journal import JournalEntry
from connector.store.partitions import slot_of_key
from connector.store.unit_of_work import UnitOfWork

_ENTRIES = (
    "SELECT {columns:literal} FROM PricebookEntry WHERE Pricebook2Id = {book} AND IsActive = true"
    " AND Product2Id IN {ids}"
)


class EntityAdopter:
    """Adopts accounts and products of one org. `calls` counts the calls."""

    def __init__(
        self, store: Store, client: OrgReader, soql: SoqlBuilder, context: AdoptionContext, *, org_id: str
    ) -> None:
        self._store = store
        self._client = client
        self._soql = soql
        self._context = context
        self._org_id = org_id
        self.calls = 0

    async def adopt(self, records: Sequence[RemoteRecord], items: Sequence[InboxItem]) -> ApplyReport:
        """Adopt these records, all of one object, and end their rows of the inbox. Raises RefusedError or
        TransportError if the org does not answer."""
        is_account = records[0].sobject == ACCOUNT
        prices = {} if is_account else await self._prices([record.id for record in records])

        async def work(uow: UnitOfWork) -> ApplyReport:
            adoption = _Transaction(self._context, uow, self._org_id)
            locked = await inbox.lock(uow, self._org_id, [(item.sobject, item.record_id) for item in items])
            free = [record for record in records if (record.sobject, record.id) in locked]
            await (adoption.adopt_accounts(free) if is_account else adoption.adopt_products(free, prices))
            await inbox.settle(uow, self._org_id, [item for item in items if item.record_id not in adoption.obstacles])
            return await adoption.store()

        return await self._store.transact(work)

    async def _prices(self, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The active entries of these products in the standard price book, by product."""
        currency = ", CurrencyIsoCode" if self._context.multi_currency else ""
        columns = f"Id, Product2Id, UnitPrice{currency}"
        query = self._soql(_ENTRIES, columns=columns, book=self._context.price_book, ids=list(ids))
        self.calls += 1
        entries: dict[str, list[dict[str, Any]]] = {}
        for row in await self._client.query(query):
            entries.setdefault(str(row["Product2Id"]), []).append(row)
        return entries


class _Transaction:
    """One transaction: what it is going to write."""

    def __init__(self, context: AdoptionContext, uow: UnitOfWork, org_id: str) -> None:
        self._context = context
        self._uow = uow
        self._org_id = org_id
        self.obstacles: dict[str, tuple[RemoteRecord, ObstacleError]] = {}
        self._links: list[Link] = []
        self._adopted: list[tuple[RemoteRecord, Link]] = []

    async def adopt_accounts(self, records: Sequence[RemoteRecord]) -> None:
        context, connection = self._context, self._uow.connection
        names = {record.id: customer_numbers(context, record.id, record.fields) for record in records}
        wanted = sorted({name for some in names.values() for name in some})
        taken = {*await customers.versions(connection, wanted, lock=True)}
        new = []
        for record in await self._unlinked(records):
            receiver = context.receivers.of_account(person=record.fields.get(IS_PERSON) is True)
            number = next(name for name in names[record.id] if name not in taken)
            try:
                new.append(customer_from(receiver, number, record.fields))
            except ObstacleError as obstacle:
                self.obstacles[record.id] = record, obstacle
                continue
            taken.add(number)
            more = {IS_PERSON: record.fields[IS_PERSON]} if IS_PERSON in record.fields else {}
            self._note(record, make_link(receiver, number, {**record.fields, "Id": record.id}, more))
        await customers.save(self._uow, new)

    async def adopt_products(self, records: Sequence[RemoteRecord], entries: dict[str, list[dict[str, Any]]]) -> None:
        context, connection = self._context, self._uow.connection
        names = {record.id: new_skus(context, record.id, record.fields) for record in records}
        wanted = sorted({name for some in names.values() for name in some})
        taken = {*await products.versions(connection, wanted, lock=True)}
        receiver, new = context.receivers.named("product"), []
        for record in await self._unlinked(records):
            sku = next(name for name in names[record.id] if name not in taken)
            rows = entries.get(record.id, [])
            amounts = {str(row.get("CurrencyIsoCode") or context.currency): row for row in rows}
            listed = {name: Decimal(str(row["UnitPrice"])) for name, row in amounts.items()}
            prices = tuple(Price(currency=name, unit_price=amount) for name, amount in sorted(listed.items()))
            try:
                new.append(product_from(receiver, sku, record.fields, prices))
            except ObstacleError as obstacle:
                self.obstacles[record.id] = record, obstacle
                continue
            taken.add(sku)
            self._note(record, make_link(receiver, sku, {**record.fields, "Id": record.id}))
            self._links += [price_link(f"{sku}|{name}", str(amounts[name]["Id"]), listed[name]) for name in listed]
        await products.save(self._uow, new)

    async def _unlinked(self, records: Sequence[RemoteRecord]) -> list[RemoteRecord]:
        ids = [record.id for record in records]
        linked = await links.find(self._uow.connection, self._org_id, ids, lock=True)
        return [record for record in records if record.id not in linked]

    def _note(self, record: RemoteRecord, link: Link) -> None:
        self._links.append(link)
        self._adopted.append((record, link))

    async def store(self) -> ApplyReport:
        """Write the links, the journal, what is due, and what is parked."""
        uow, entries, notices = self._uow, list[JournalEntry](), list[NewNotice]()
        await links.put(uow, self._org_id, self._links)
        for record, link in self._adopted:
            uow.changed(EntityKind(link.entity), link.key, slot_of_key(link.key))
            detail = {"sobject": link.sobject, "id": link.salesforce_id, "by": record.modified_by}
            entries.append(
                JournalEntry(entity=link.entity, key=link.key, action="adopted", detail=detail, org_id=self._org_id)
            )
            notices.append(make_notice("adopted", record, link, {}))
        await journal.write(uow, entries)
        if self._context.webhooks.enabled:
            await change_notices.capture(uow, notices)
        for record, obstacle in self.obstacles.values():
            error = f"{record.sobject} {record.id} was not adopted: {obstacle.reason}"
            ref, read_at = (record.sobject, record.id), record.read_at
            await inbox.park(uow, self._org_id, ref, Source.POLL, error=error, fix=obstacle.fix, read_at=read_at)
        report = ApplyReport(
            records=len(self._adopted) + len(self.obstacles), adopted=len(self._adopted), parked=len(self.obstacles)
        )
        if self._context.explain:
            report.changes += [explain_adoption(record, link) for record, link in self._adopted]
            report.changes += [explain_obstacle(record, obstacle) for record, obstacle in self.obstacles.values()]
        return report
