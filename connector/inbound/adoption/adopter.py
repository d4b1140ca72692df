"""Adopts orders of the org: places each here and links it to its record, in one transaction.

The rows of the inbox are locked first, so that of two processes that adopt one record the second finds the link of the
first. If one order of several is rejected, they are adopted one by one, and the rejected one is parked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.errors import CommandError, RetryClass, StoreError
from connector.inbound.adoption.entity_adopter import EntityAdopter
from connector.inbound.adoption.explanation import explain_adoption, explain_obstacle
from connector.inbound.adoption.obstacle import ObstacleError
from connector.inbound.adoption.planner import Adoption, AdoptionPlanner
from connector.inbound.adoption.reader import AdoptionReader
from connector.inbound.adoption.references import KnownEntities, keys_of, with_found
from connector.inbound.adoption.remote_order import RemoteOrder
from connector.inbound.adoption.rep_notifier import RepNotifier
from connector.inbound.adoption.rule import ORDER
from connector.inbound.batch_writes import actor_of
from connector.inbound.context import ApplyReport
from connector.inbound.notices import make_notice
from connector.model.change import EntityKind
from connector.model.change_notice import NewNotice
from connector.model.inbound_change import InboxItem, RemoteRecord, Source
from connector.model.record import SYNC_MESSAGE, Link
from connector.orders.placement import Placement
from connector.orders.service import Executed, OrderService
from connector.store import change_notices, customers, inbox, journal, links, orders, products
from connector.store.engine import Store
from connector.store.journal import JournalEntry
from connector.store.partitions import slot_of_key
from connector.store.unit_of_work import UnitOfWork


class Adopter:
    """Adopts orders of one org."""

    def __init__(
        self,
        store: Store,
        orders_service: OrderService,
        reader: AdoptionReader,
        notifier: RepNotifier,
        planner: AdoptionPlanner,
        *,
        entities: EntityAdopter,
    ) -> None:
        self._store = store
        self._orders = orders_service
        self._reader = reader
        self._notifier = notifier
        self._planner = planner
        self._rule = planner.rule
        self._org_id = notifier.org_id
        self._entities = entities

    @property
    def calls(self) -> int:
        return self._reader.calls + self._notifier.calls + self._entities.calls

    async def select(self, records: Sequence[RemoteRecord]) -> list[RemoteRecord]:
        """Those of these records that are to be adopted: candidates without a link."""
        candidates = [record for record in records if self._rule.is_candidate(record)]
        if not candidates:
            return []
        async with self._store.reader() as connection:
            linked = await links.find(connection, self._org_id, [record.id for record in candidates])
        return [record for record in candidates if record.id not in linked]

    async def adopt(self, records: Sequence[RemoteRecord], items: Sequence[InboxItem]) -> ApplyReport:
        """Adopt these records, all of one object, park those that cannot be adopted, and end the other rows of the
        inbox.

        Raises SettingsError if the org refuses the filter, RefusedError or TransportError if it does not answer.
        """
        if records[0].sobject != ORDER:
            return await self._adopt_entities(records, items)
        found = await self._reader.read([item.record_id for item in items])
        try:
            adopted, obstacles = await self._adopt(items, found)
        except (CommandError, StoreError) as error:
            _raise_unless_data(error)
            adopted, obstacles = list[Adoption](), dict[str, ObstacleError]()
            by_id = {remote.id: remote for remote in found}
            for item in items:
                one = [by_id[item.record_id]] if item.record_id in by_id else []
                try:
                    some, more = await self._adopt([item], one)
                    adopted, obstacles = adopted + some, obstacles | more
                except (CommandError, StoreError) as error:
                    _raise_unless_data(error)
                    obstacles[item.record_id] = ObstacleError(error.message, error.hint)
        await self._park(items, found, obstacles)
        report = ApplyReport(records=len(items), adopted=len(adopted), parked=len(obstacles))
        if self._planner.context.explain:
            report.changes += [explain_adoption(adoption.remote.record, adoption.links[0]) for adoption in adopted]
            records_by_id = {remote.id: remote.record for remote in found}
            known = [(records_by_id[name], why) for name, why in obstacles.items() if name in records_by_id]
            report.changes += [explain_obstacle(record, why) for record, why in known]
        return report

    async def _adopt_entities(self, records: Sequence[RemoteRecord], items: Sequence[InboxItem]) -> ApplyReport:
        """Adopt accounts or products; one by one if the database refuses a value, and then that record is parked."""
        try:
            return await self._entities.adopt(records, items)
        except StoreError as error:
            _raise_unless_data(error)
            refused = error
        if len(records) == 1:
            [record], attempts = records, items[0].attempts + 1
            text = f"{record.sobject} {record.id} was not adopted: {refused.message}"
            async with self._store.transaction() as uow:
                await inbox.park(
                    uow, self._org_id, (record.sobject, record.id), Source.POLL,
                    error=text, fix=refused.hint, attempts=attempts, read_at=record.read_at,
                )  # fmt: skip
            report = ApplyReport(records=1, parked=1)
            if self._planner.context.explain:
                report.changes.append(explain_obstacle(record, ObstacleError(refused.message, refused.hint)))
            return report
        report = ApplyReport()
        for record in records:
            report.add(await self._adopt_entities([record], [item for item in items if item.record_id == record.id]))
        return report

    async def _park(
        self, items: Sequence[InboxItem], found: Sequence[RemoteOrder], obstacles: Mapping[str, ObstacleError]
    ) -> None:
        """Tell the reps first, then park: after a crash in between, the record is still due."""
        texts = {record: f"This order was not taken over: {item.reason}" for record, item in obstacles.items()}
        await self._notifier.tell({remote.id: remote.row for remote in found if remote.id in texts}, texts)
        attempts = {item.record_id: item.attempts + 1 for item in items}
        read_at = {remote.id: remote.read_at for remote in found}
        async with self._store.transaction() as uow:
            for record, obstacle in obstacles.items():
                error = f"Order {record} was not adopted: {obstacle.reason}"
                await inbox.park(
                    uow,
                    self._org_id,
                    (ORDER, record),
                    Source.POLL,
                    error=error,
                    fix=obstacle.fix,
                    attempts=attempts[record],
                    read_at=read_at.get(record),
                )

    async def withdraw(self, records: Sequence[RemoteRecord]) -> None:
        """Clear what reps were told on orders that are no longer to be adopted."""
        orders_there = [record for record in records if record.sobject == ORDER and not record.deleted]
        keyless = [record for record in orders_there if not self._rule.has_key(record)]
        told = {record.id: record.fields for record in keyless if record.fields.get(SYNC_MESSAGE)}
        if not told:
            return
        async with self._store.reader() as connection:
            linked = await links.find(connection, self._org_id, sorted(told))
        await self._notifier.tell({record: fields for record, fields in told.items() if record not in linked}, {})

    async def _adopt(
        self, items: Sequence[InboxItem], found: Sequence[RemoteOrder]
    ) -> tuple[list[Adoption], dict[str, ObstacleError]]:
        """What was adopted, and why the others were not, by record ID: their rows of the inbox stay."""
        attempts: list[_Attempt] = []  # the transaction may be repeated: only the last one counts

        async def prepare(uow: UnitOfWork) -> Sequence[Placement]:
            attempt = await self._plan(uow, items, found)
            attempts.append(attempt)
            found_here = [adoption.found for adoption in attempt.adoptions]
            await customers.save(uow, [item for one in found_here for item in one.customers.values()])
            await products.save(uow, [item for one in found_here for item in {**one.products, **one.priced}.values()])
            return [Placement(order=adoption.order) for adoption in attempt.adoptions]

        async def finish(uow: UnitOfWork, placed: Sequence[Executed]) -> None:
            await self._store_links(uow, attempts[-1].adoptions)
            await inbox.settle(uow, self._org_id, [i for i in items if i.record_id not in attempts[-1].obstacles])

        await self._orders.place_prepared(prepare, finish, actor=actor_of(remote.author for remote in found))
        return attempts[-1].adoptions, attempts[-1].obstacles

    async def _plan(self, uow: UnitOfWork, items: Sequence[InboxItem], found: Sequence[RemoteOrder]) -> _Attempt:
        """Lock everything that these orders refer to, and plan each of them that nobody has adopted meanwhile."""
        locked = await inbox.lock(uow, self._org_id, [(ORDER, item.record_id) for item in items])
        known = await self._load(uow, found)
        attempt = _Attempt()
        for remote in found:
            if (ORDER, remote.id) not in locked or remote.id in known.links:
                continue
            try:
                adoption = self._planner.plan(remote, known)
            except ObstacleError as obstacle:
                attempt.obstacles[remote.id] = obstacle
                continue
            attempt.adoptions.append(adoption)
            known = with_found(known, adoption.order.number, adoption.found)
        return attempt

    async def _load(self, uow: UnitOfWork, found: Sequence[RemoteOrder]) -> KnownEntities:
        connection, org_id = uow.connection, self._org_id
        ids = {remote.id for remote in found} | {remote.account_id for remote in found}
        ids |= {str(line["Product2Id"]) for remote in found for line in remote.lines if line.get("Product2Id")}
        before = await links.find(connection, org_id, sorted(ids))
        keys = {(EntityKind(link.entity), link.key) for link in before.values() if not link.is_part}
        keys |= {name for remote in found for name in keys_of(self._planner.context, remote)}
        numbers = sorted(key for kind, key in keys if kind is EntityKind.CUSTOMER)
        skus = sorted(key for kind, key in keys if kind is EntityKind.PRODUCT)
        await customers.versions(connection, numbers, lock=True)
        await products.versions(connection, skus, lock=True)
        own: dict[tuple[str, str], Link] = {}
        for kind, some in ((EntityKind.CUSTOMER, numbers), (EntityKind.PRODUCT, skus)):
            linked = await links.get(connection, org_id, kind.value, some)
            own |= {(kind.value, key): link for key, link in linked.items()}
        wanted = [number for remote in found for number in self._planner.numbers_of(remote)]
        return KnownEntities(
            links=await links.find(connection, org_id, sorted(ids), lock=True),
            customers={item.number: item for item in await customers.load(connection, numbers)},
            products=await products.find(connection, skus),
            own_links=own,
            numbers=frozenset(order.number for order in await orders.load(connection, wanted)),
        )

    async def _store_links(self, uow: UnitOfWork, adoptions: Sequence[Adoption]) -> None:
        entries: list[JournalEntry] = []
        notices: list[NewNotice] = []
        for adoption in adoptions:
            for link in adoption.new_entities:
                record = replace(adoption.remote.record, sobject=link.sobject, id=link.salesforce_id)
                notices.append(make_notice("adopted", record, link, {}))
            row, number = adoption.remote.row, adoption.order.number
            detail = {"record": adoption.remote.id, "order_number": row["OrderNumber"], "by": adoption.remote.author}
            entries.append(self._entry(EntityKind.ORDER, number, "adopted", detail))
            for link in adoption.new_references:
                kind = EntityKind(link.entity)
                is_new = link.key in adoption.found.customers or link.key in adoption.found.products
                uow.changed(kind, link.key, slot_of_key(link.key))
                detail = {"sobject": link.sobject, "id": link.salesforce_id, "by": f"order {number}"}
                entries.append(self._entry(kind, link.key, "adopted" if is_new else "linked", detail))
        new = [link for adoption in adoptions for link in (*adoption.found.links, *adoption.links)]
        await links.put(uow, self._org_id, new)
        await journal.write(uow, entries)
        if self._planner.context.webhooks.enabled:
            await change_notices.capture(uow, notices)

    def _entry(self, kind: EntityKind, key: str, action: str, detail: Mapping[str, object]) -> JournalEntry:
        return JournalEntry(entity=kind.value, key=key, action=action, detail=detail, org_id=self._org_id)


@dataclass(kw_only=True)
class _Attempt:
    adoptions: list[Adoption] = field(default_factory=list)
    obstacles: dict[str, ObstacleError] = field(default_factory=dict)
    """By record ID."""


def _raise_unless_data(error: CommandError | StoreError) -> None:
    """Raise `error` again, unless it is about what one record holds."""
    if error.retry_class is not RetryClass.DATA:
        raise error
