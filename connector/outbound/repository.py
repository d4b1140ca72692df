"""What outbound reads from the store and writes back: claims, links, outcomes.

Every outcome is one transaction, and only under the terms of our leases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.clock import Clock
from connector.errors import LeaseLostError, MappingError
from connector.mapping import MappingSet
from connector.model.change import Change, ChangeState, EntityKind, Refusal, Unsent
from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.record import PARTS, Link, owner_of
from connector.outbound.backoff import counted, delay_after, given_up, reason
from connector.outbound.link_conflicts import place
from connector.outbound.mapping_version import MappingInForce
from connector.outbound.outcomes import Outcomes, entries
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.salesforce.fault import Fault
from connector.store import (
    customers,
    journal,
    leases,
    links,
    orders,
    outbox,
    products,
    retry_schedule,
    returns,
)
from connector.store.engine import Connection, Store
from connector.store.retry import retry_on_abort
from connector.store.unit_of_work import Lane, UnitOfWork, partition_hash

LOADERS: Mapping[EntityKind, Any] = {
    EntityKind.CUSTOMER: customers,
    EntityKind.PRODUCT: products,
    EntityKind.ORDER: orders,
    EntityKind.RETURN: returns,
}


CHUNK = 500


class SyncRepository:
    """The books of one push. `terms` are the leases held, by name; once one is lost nothing is written any more.

    `between` is awaited before every claim, when nothing is in flight: it may give back some of the leases. `version`
    is that of the mappings: when another one is active, nothing is claimed and nothing begun any more.
    """

    def __init__(
        self,
        store: Store,
        mappings: MappingSet,
        *,
        org_id: str,
        terms: Mapping[str, int],
        clock: Clock,
        ours: Callable[[], Awaitable[bool]] | None = None,
        between: Callable[[], Awaitable[None]] | None = None,
        only: outbox.Selection | None = None,
        version: MappingInForce | None = None,
    ) -> None:
        self._only = only
        self._store = store
        self._mappings = mappings
        self._org_id = org_id
        self._terms = terms
        self._clock = clock
        self._ours = ours
        self._between = between
        self._version = version
        self._begun: dict[tuple[EntityKind, str], int] = {}  # slots of what this claim has sent

    async def may_send(self) -> None:
        """LeaseLostError if another process has taken over by now: this one was frozen for too long."""
        if self._ours is not None and not await self._ours():
            raise _lost(", ".join(sorted(self._terms)))

    async def claim(
        self, entity: EntityKind, partitions: Set[int], of: int, limit: int, *, doubted: bool | None = None
    ) -> list[PendingEntity]:
        """Up to `limit` due entities with their records and links, most urgent first; `doubted` ones, or none of
        them."""
        self._begun.clear()
        if self._between is not None:
            await self._between()
        if not partitions:
            return []
        async with self._store.reader() as connection:
            if self._version is not None and not await self._version.holds(connection):
                return []
            changes = await outbox.due(
                connection,
                entity=entity,
                partitions=partitions,
                of=of,
                now=self._clock.now(),
                limit=limit,
                only=self._only,
                doubted=doubted,
            )
            return await self._candidates(connection, entity, changes)

    async def some(self, entity: EntityKind, keys: Sequence[str]) -> list[PendingEntity]:
        """Those of `keys` that are here, with their records and links, due or not."""
        async with self._store.reader() as connection:
            unsent = await outbox.find(connection, entity, keys)
            changes = [_change(entity, key, unsent.get(key), self._clock.now()) for key in keys]
            return await self._candidates(connection, entity, changes)

    async def again(self, claim: Sequence[PendingEntity]) -> list[PendingEntity]:
        """The claim with its links as they are stored by now."""
        found: list[PendingEntity] = []
        async with self._store.reader() as connection:
            for entity in dict.fromkeys(item.change.entity for item in claim):
                changes = [item.change for item in claim if item.change.entity is entity]
                found += await self._candidates(connection, entity, changes)
        before = {item.change.key: item for item in claim}
        return [replace(item, seen=before[item.change.key].seen, lost=before[item.change.key].lost) for item in found]

    async def customers(
        self, keys: Sequence[str]
    ) -> tuple[dict[str, Link], dict[str, PendingEntity], dict[str, PendingEntity]]:
        """The accounts known for `keys`; candidates for those that are not; of both, those we are not sure of."""
        async with self._store.reader() as connection:
            known = await links.get(connection, self._org_id, "customer", keys)
            unsent = await outbox.find(connection, EntityKind.CUSTOMER, keys)
            needed = [key for key in keys if key not in known or (key in unsent and unsent[key].unsure)]
            changes = [_change(EntityKind.CUSTOMER, key, unsent.get(key), self._clock.now()) for key in needed]
            found = await self._candidates(connection, EntityKind.CUSTOMER, changes)
        unknown = {item.change.key: item for item in found if item.change.key not in known}
        return known, unknown, {item.change.key: item for item in found if item.change.unsure}

    async def holders(self, record_ids: Sequence[str]) -> dict[str, Link]:
        """The links to these records of the org, by ID."""
        async with self._store.reader() as connection:
            return await links.find(connection, self._org_id, record_ids)

    def mapped(self, candidate: PendingEntity, link: Link | None, parts: Sequence[Link]) -> PendingEntity:
        """The candidate as it is mapped for these links, which say what the org holds."""
        lines = {part.key: part for part in parts}
        return replace(self._candidate(candidate.change, candidate.entity, link, lines), seen=True)

    async def linked(self, entity: str, keys: Sequence[str]) -> dict[str, Link]:
        """Links of orders or lines that returns refer to."""
        async with self._store.reader() as connection:
            return await links.get(connection, self._org_id, entity, keys)

    async def prices(self, keys: Sequence[str]) -> dict[str, Link]:
        """Links of price book entries by price key (`SKU|USD`)."""
        async with self._store.reader() as connection:
            return await links.get(connection, self._org_id, "price", keys)

    async def prices_of(self, skus: Sequence[str]) -> dict[str, Link]:
        """Links of every price book entry of these products, also of prices that are gone here."""
        async with self._store.reader() as connection:
            of_product = await links.children(connection, self._org_id, "price", skus)
        return {key: link for found in of_product.values() for key, link in found.items()}

    async def unsent_products(self, skus: Sequence[str]) -> dict[str, Unsent]:
        """What is still to be sent, or was refused, of these products."""
        async with self._store.reader() as connection:
            return await outbox.find(connection, EntityKind.PRODUCT, skus)

    async def begin(self, candidates: Sequence[PendingEntity]) -> set[str]:
        """Say before anything is sent that it is; the keys of those that may be sent. Candidates are of one kind, or
        customers that no outbox row stands for: those may always be."""
        if not candidates:
            return set()
        async with self._store.transaction() as uow:
            await self._fence(uow)
            if self._version is not None and not await self._version.holds(uow.connection):
                return set()
            begun = await outbox.begin(uow, [item.change for item in candidates if item.change.version])
        self._begun.update({(item.change.entity, item.change.key): _slot(item) for item in candidates})
        return {
            item.change.key
            for item in candidates
            if not item.change.version or (item.change.entity, item.change.key) in begun
        }

    async def release(self, customers: Sequence[Change]) -> None:
        """The accounts of these are there, and their links say what the org holds: what is left to be sent of them is
        due, also if it was refused because of the account."""
        if not customers:
            return
        async with self._store.transaction() as uow:
            await self._fence(uow)
            await outbox.mark_confirmed(uow, customers)
            unsent = await outbox.find(uow.connection, EntityKind.CUSTOMER, [change.key for change in customers])
            blocked = [key for key, row in unsent.items() if row.state is ChangeState.BLOCKED]
            await outbox.replay(uow, EntityKind.CUSTOMER, blocked)

    async def record(self, outcomes: Outcomes) -> None:
        """Store what became of a call: all of it or none. A link to a record that is another entity's by now is left
        out, and both entities are looked at.

        LeaseLostError if another process has taken over. It may have written before we did, so what we have sent is due
        again, and looked at first.
        """
        try:
            await retry_on_abort(self._clock, lambda: self._record(outcomes))
        except LeaseLostError:
            async with self._store.transaction() as uow:
                for (entity, key), slot in self._begun.items():
                    uow.changed(entity, key, slot, unsure=True)
            raise

    async def _record(self, outcomes: Outcomes) -> None:
        async with self._store.transaction() as uow:
            await self._fence(uow)
            refused, waiting = [item.candidate.change for item in outcomes.refused if item.certain], outcomes.waiting
            known = [
                *outcomes.done,
                *refused,
                *(item.change for item, fault in waiting if fault.outcome_known and not item.change.unsure),
            ]
            refusals = [item.candidate.change for item in outcomes.refused]
            # Without a word on what became of it a send stays begun: a record that the org always fails on is alone at
            # last, as one is that ends our process.
            answered = [*refusals, *(item.change for item, fault in waiting if fault.outcome_known), *outcomes.looked]
            await outbox.lock(uow, [*outcomes.done, *refusals, *(item.change for item, _ in waiting), *outcomes.looked])
            await outbox.mark_confirmed(uow, [*known, *outcomes.seen])
            await retry_schedule.answered(uow, answered)
            for entity in sorted({entity for entity, _ in outcomes.drop}):
                await self._drop(uow, entity, [key for kind, key in outcomes.drop if kind == entity])
            placed = await place(uow, self._org_id, outcomes.put)
            outcomes = placed.without_refused(outcomes)
            await self._follow(uow, outcomes.replaced)
            await doubt(uow, outcomes.doubt)
            await outbox.settle(uow, outcomes.done)
            await self._spread(uow, outcomes.done)
            await self._refuse(uow, outcomes.refused)
            for candidate, fault in outcomes.later:
                await self._postpone(uow, candidate.change, fault)
            for tried in (True, False):
                behind = [change for change, itself in outcomes.behind if itself is tried]
                await retry_schedule.put_behind(uow, behind, tried=tried)
            await journal.write(uow, list(entries(outcomes, self._org_id)))

    async def _drop(self, uow: UnitOfWork, entity: str, keys: Sequence[str]) -> None:
        """Forget links, and those of what hangs on them in the org. A lost price makes its product due."""
        await links.drop(uow, self._org_id, entity, keys)
        if entity in PARTS:
            await links.drop_children(uow, self._org_id, PARTS[entity], keys)
        if entity == "price":
            for key in keys:
                sku = key.rpartition("|")[0]
                uow.changed(EntityKind.PRODUCT, sku, partition_hash(sku), unsure=True)

    async def _follow(self, uow: UnitOfWork, replaced: Sequence[tuple[Link, str]]) -> None:
        """When accounts are merged the org moves their orders: our snapshots follow, so that nothing is due."""
        moved = {before: link.salesforce_id for link, before in replaced if link.entity == "customer"}
        keys = [link.key for link, _ in replaced if link.entity == "customer"]
        if not keys:
            return
        numbers = [number for number, _ in await orders.orders_referencing(uow.connection, EntityKind.CUSTOMER, keys)]
        for start in range(0, len(numbers), CHUNK):
            known = await links.get(uow.connection, self._org_id, "order", numbers[start : start + CHUNK])
            followed = [
                replace(link, snapshot={**link.snapshot, "AccountId": moved[str(link.snapshot["AccountId"])]})
                for link in known.values()
                if link.snapshot.get("AccountId") in moved
            ]
            await links.put(uow, self._org_id, followed)

    async def _spread(self, uow: UnitOfWork, done: Sequence[Change]) -> None:
        """Orders whose mapping uses values of a customer or product follow when that has changed."""
        borrows = self._mappings.order.depends_on
        for kind in (EntityKind.CUSTOMER, EntityKind.PRODUCT):
            keys = [change.key for change in done if change.entity is kind]
            if keys and kind.value in borrows:
                for number, customer in await orders.orders_referencing(uow.connection, kind, keys):
                    uow.changed(EntityKind.ORDER, number, partition_hash(customer), Lane.BACKFILL)

    async def _refuse(self, uow: UnitOfWork, refused: Sequence[Rejection]) -> None:
        """Orders become dead letters; a customer refused with them waits, for it is reported on the order."""
        await outbox.refuse_all(uow, [(item.candidate.change, item.refusal) for item in refused])
        carried = {}
        for item in refused:
            kind, _, key = (item.refusal.record or "").partition(" ")
            if item.candidate.change.entity is EntityKind.ORDER and kind == EntityKind.CUSTOMER:
                carried[key] = item.refusal
        unsent = await outbox.find(uow.connection, EntityKind.CUSTOMER, carried)
        blocked = [(_change(EntityKind.CUSTOMER, key, row, uow.now), carried[key]) for key, row in unsent.items()]
        await outbox.refuse_all(uow, blocked, state=ChangeState.BLOCKED)

    async def _postpone(self, uow: UnitOfWork, change: Change, fault: Fault) -> None:
        if (delay := delay_after(change, fault)) is not None:
            await outbox.postpone(uow, [counted(change, fault)], due_at=uow.now + delay, error=reason(fault))
        else:
            await outbox.refuse(uow, change, given_up(change, fault))

    async def _candidates(
        self, connection: Connection, entity: EntityKind, changes: Sequence[Change]
    ) -> list[PendingEntity]:
        keys = [change.key for change in changes]
        entities = {item.key: item for item in await LOADERS[entity].load(connection, keys)}
        known = await links.get(connection, self._org_id, entity.value, keys)
        lines: Mapping[str, Mapping[str, Link]] = {}
        if entity in {EntityKind.ORDER, EntityKind.RETURN}:
            lines = await links.children(connection, self._org_id, PARTS[entity.value], keys)
        return [
            self._candidate(change, entities[change.key], known.get(change.key), lines.get(change.key, {}))
            for change in changes
            if change.key in entities
        ]

    def _candidate(self, change: Change, entity: Any, link: Link | None, lines: Mapping[str, Link]) -> PendingEntity:
        record, problem = None, None
        mapping = self._mappings.of(change.entity)
        try:
            if isinstance(entity, Customer):
                record = self._mappings.map_customer(entity, link)
            else:
                record = None if mapping is None else mapping.map(entity)
        except MappingError as error:  # one order's odd value is no reason to keep the others waiting
            problem = Refusal(
                code="MAPPING",
                message=error.problems[0],
                field=None,
                source=error.problems[0].partition(": ")[0],
                fix="Correct the value or the mapping line, then replay.",
                record=f"{change.entity} {change.key}",
            )
        return PendingEntity(change=change, entity=entity, record=record, problem=problem, link=link, links=lines)

    async def _fence(self, uow: UnitOfWork) -> None:
        if lost := await leases.lost(uow, self._terms):
            raise _lost(", ".join(lost))


async def doubt(uow: UnitOfWork, entities: Sequence[tuple[str, str]]) -> None:
    """Make these due, and looked at first: a line with its order, a price with its product."""
    wanted: dict[EntityKind, dict[str, None]] = {}
    for entity, key in entities:
        owner, owner_key = owner_of(entity, key) or (entity, key)
        wanted.setdefault(EntityKind(owner), {})[owner_key] = None
    for kind, keys in wanted.items():
        refused = {
            key
            for key, row in (await outbox.find(uow.connection, kind, keys)).items()
            if row.state is not ChangeState.DUE
        }
        await outbox.mark_doubtful(uow, kind, refused)
        for item in await LOADERS[kind].load(uow.connection, list(keys)):
            if item.key not in refused:
                uow.changed(kind, item.key, slot_of_entity(item), unsure=True)


def _lost(name: str) -> LeaseLostError:
    return LeaseLostError(
        f"Another process took over {name} while this one was draining it.",
        hint="Nothing is lost: it goes on where this one stopped.",
    )


def _slot(candidate: PendingEntity) -> int:
    return slot_of_entity(candidate.entity)


def slot_of_entity(entity: Customer | Product | Order | OrderReturn) -> int:
    return partition_hash(entity.customer.key if isinstance(entity, Order | OrderReturn) else entity.key)


def _change(entity: EntityKind, key: str, unsent: Unsent | None, now: datetime) -> Change:
    """The change behind an outbox row, or one that matches none: a customer already sent, or blocked."""
    return Change(
        entity=entity,
        key=key,
        partition=0,
        version=unsent.version if unsent else 0,
        attempts=unsent.attempts if unsent else 0,
        captured_at=unsent.captured_at if unsent else now,
        unsure=unsent is not None and unsent.unsure,
        begun=unsent.begun if unsent else 0,
    )
