"""Reads what outbound needs from the store and writes outcomes back: claims, links, dead letters.

All outcomes of a call are stored in one transaction, and only while the leases of the stream are held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from types import MappingProxyType

from connector.errors import LeaseLostError
from connector.mapping import MappingSet
from connector.model.change import Change, ChangeState, EntityKind, Unsent
from connector.model.inbound_change import Source
from connector.model.lane import Lane
from connector.model.record import PARTS, Link
from connector.outbound.backoff import delay_after, describe_fault, final_refusal, with_counted_attempts
from connector.outbound.ended_holds import end_holds
from connector.outbound.entities import build_change, mark_unconfirmed
from connector.outbound.lease_keeper import lease_lost
from connector.outbound.link_conflicts import store_links
from connector.outbound.outcomes import JournalContext, Outcomes, delay_buckets, journal_entries, measure_delays
from connector.outbound.pending_loader import PendingLoader
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.outbound.push_parts import ClaimTerms
from connector.outbound.shared_fields import with_sent
from connector.salesforce.fault import Fault
from connector.store import (
    dead_letters,
    deleted_records,
    inbox,
    journal,
    leases,
    links,
    orders,
    outbox,
    retry_schedule,
    sync_delays,
)
from connector.store.engine import Connection, Store
from connector.store.partitions import slot_of_key
from connector.store.retry import retry_on_abort
from connector.store.unit_of_work import UnitOfWork


class SyncRepository:
    """The store as one stream of a push sees it. Without `terms` nothing is guarded: for a dry run, or one entity."""

    def __init__(
        self,
        store: Store,
        mappings: MappingSet,
        *,
        org_id: str,
        terms: ClaimTerms | None = None,
    ) -> None:
        terms = terms or ClaimTerms()
        self._store = store
        self._mappings = mappings
        self._org_id = org_id
        self.clock = store.clock
        self._selection = terms.selection
        self._held_leases = terms.held_leases
        self._leases_valid = terms.leases_valid
        self._before_claim = terms.before_claim
        self._mapping_version = version = terms.mapping_version
        self._open_lane = terms.open_lane
        self._journal_context = JournalContext(org_id=org_id, mapping_version=version, personal=mappings.personal)
        self._loader = PendingLoader(mappings, org_id)
        self.deprioritized: set[EntityKind] = set()
        """The kinds of changes that this stream has deprioritized."""
        self._sent_slots: dict[tuple[EntityKind, str], int] = {}  # of what it has sent

    async def may_send(self) -> None:
        """Raise LeaseLostError if another process took over: this one was frozen for too long."""
        if self._leases_valid is not None and not await self._leases_valid():
            raise lease_lost(", ".join(sorted(self._held_leases)))

    async def claim(
        self,
        entity: EntityKind,
        partitions: Set[int],
        partition_count: int,
        limit: int,
        *,
        deprioritized: bool | None = None,
    ) -> list[PendingEntity]:
        """Up to `limit` due entities with their records and links, most urgent first.

        `deprioritized`: only deprioritized entities (see `health`), or only others; None means both.
        """
        if self._before_claim is not None and self._loader.slots:
            await self._before_claim()
        self._loader.slots, self._sent_slots = {}, {}
        return await self.claim_more(entity, partitions, partition_count, limit, deprioritized=deprioritized)

    async def claim_more(
        self,
        entity: EntityKind,
        partitions: Set[int],
        partition_count: int,
        limit: int,
        *,
        deprioritized: bool | None = False,
    ) -> list[PendingEntity]:
        """Up to `limit` further due entities, while a claim is being sent."""
        if not partitions or (lowest := self._open_lane()) is None:
            return []
        async with self._store.reader() as connection:
            changes = await outbox.list_due(
                connection,
                entity=entity,
                partitions=partitions,
                of=partition_count,
                now=self.clock.now(),
                limit=limit,
                only=self._selection,
                deprioritized=deprioritized,
                lowest=lowest,
            )
            if not changes or not await self._may_map(connection):
                return []
            claimed = await self._loader.load(connection, entity, changes)
        if self._mapping_version is not None:
            self._mapping_version.observe(claimed)
        await end_holds(self._store, self._org_id, claimed)
        return claimed

    async def load_entities(self, entity: EntityKind, keys: Sequence[str]) -> list[PendingEntity]:
        """The entities of `keys` that exist here, with records and links, whether they are due or not."""
        async with self._store.reader() as connection:
            unsent = await outbox.find(connection, entity, keys)
            changes = [build_change(entity, key, unsent.get(key), self.clock.now()) for key in keys]
            return await self._loader.load(connection, entity, changes)

    async def reload(self, claim: Sequence[PendingEntity]) -> list[PendingEntity]:
        """The claim with its links as they are stored now."""
        reloaded: list[PendingEntity] = []
        async with self._store.reader() as connection:
            for entity in dict.fromkeys(item.change.entity for item in claim):
                changes = [item.change for item in claim if item.change.entity is entity]
                reloaded += await self._loader.load(connection, entity, changes)
        before = {item.change.key: item for item in claim}
        return [
            replace(
                item.with_held_fields(item.held_fields | before[item.change.key].held_fields),
                is_read_back=before[item.change.key].is_read_back,
                missing_lines=before[item.change.key].missing_lines,
            )
            for item in reloaded
        ]

    async def load_accounts(
        self, keys: Sequence[str]
    ) -> tuple[dict[str, Link], dict[str, PendingEntity], dict[str, PendingEntity]]:
        """The links of these customers, the pending ones without a link, and the unconfirmed ones of both."""
        async with self._store.reader() as connection:
            own_links = await links.get(connection, self._org_id, "customer", keys)
            links_by_key = await deleted_records.with_merged(connection, self._org_id, own_links)
            unsent = await outbox.find(connection, EntityKind.CUSTOMER, keys)
            needed = [
                key
                for key in keys
                if key not in own_links
                or (key in unsent and unsent[key].unconfirmed and links_by_key[key] is own_links[key])
            ]
            changes = [build_change(EntityKind.CUSTOMER, key, unsent.get(key), self.clock.now()) for key in needed]
            customers_to_load = await self._loader.load(connection, EntityKind.CUSTOMER, changes)
        missing = {item.change.key: item for item in customers_to_load if item.change.key not in links_by_key}
        return links_by_key, missing, {item.change.key: item for item in customers_to_load if item.change.unconfirmed}

    async def links_by_record(self, record_ids: Sequence[str]) -> dict[str, Link]:
        """The links to these records of the org, by record ID."""
        async with self._store.reader() as connection:
            return await links.find(connection, self._org_id, record_ids)

    def map_entity(self, pending: PendingEntity, link: Link | None, parts: Sequence[Link]) -> PendingEntity:
        """The pending entity, mapped with links that were just read from the org."""
        return self._loader.map_again(pending, link, parts)

    async def get_links(self, entity: str, keys: Sequence[str]) -> dict[str, Link]:
        """Links of orders or lines that returns refer to, by key."""
        async with self._store.reader() as connection:
            return await links.get(connection, self._org_id, entity, keys)

    async def price_links(self, keys: Sequence[str]) -> dict[str, Link]:
        """Links of price book entries by price key (`SKU|USD`)."""
        async with self._store.reader() as connection:
            return await links.get(connection, self._org_id, "price", keys)

    async def price_links_of_products(self, skus: Sequence[str]) -> dict[str, Link]:
        """Links of all price book entries of these products, including prices that no longer exist here."""
        async with self._store.reader() as connection:
            links_by_sku = await links.children(connection, self._org_id, "price", skus)
        return {key: link for price_links in links_by_sku.values() for key, link in price_links.items()}

    async def unsent_products(self, skus: Sequence[str]) -> dict[str, Unsent]:
        """The outbox rows of these products, by SKU: still to be sent, or refused."""
        async with self._store.reader() as connection:
            return await outbox.find(connection, EntityKind.PRODUCT, skus)

    async def raise_lane_of_products(self, skus: Sequence[str], lane: Lane) -> None:
        """Send these products as soon as changes of `lane`: orders in it need them."""
        await self._store.transact(lambda uow: outbox.raise_lane(uow, EntityKind.PRODUCT, skus, lane))

    async def begin_send(
        self,
        pending_entities: Sequence[PendingEntity],
        accounts: Mapping[str, PendingEntity] = MappingProxyType({}),
    ) -> set[str]:
        """Mark these entities as unconfirmed before they are sent, and return the keys of those that may be sent. All
        are of one kind. `accounts`: the customers whose account travels with an order, by the key of the order.

        An entity may not be sent if it changed since it was claimed, or if another mapping version is active. Customers
        without an outbox row (version 0) may always be sent.
        """
        if not pending_entities:
            return set()
        async with self._store.transaction() as uow:
            await self._check_leases(uow)
            if not await self._may_map(uow.connection):
                return set()
            await outbox.lock(uow, _changes([*pending_entities, *accounts.values()]))
            sendable = await self._begin(uow, pending_entities)
            await self._begin(uow, [customer for key, customer in accounts.items() if key in sendable])
        return sendable

    async def _begin(self, uow: UnitOfWork, pending_entities: Sequence[PendingEntity]) -> set[str]:
        sent = {item.change.key: with_sent(item) for item in pending_entities}
        unchanged = await outbox.begin_send(uow, _changes(pending_entities), sent)
        for item in pending_entities:
            name = item.change.entity, item.change.key
            self._sent_slots[name] = self._loader.slots[name]
        return {
            item.change.key
            for item in pending_entities
            if not item.change.version or (item.change.entity, item.change.key) in unchanged
        }

    async def release_customers(self, customers: Sequence[Change]) -> None:
        """Confirm customers whose accounts were read back. What was blocked because of the account is due again."""
        if not customers:
            return
        async with self._store.transaction() as uow:
            await self._check_leases(uow)
            await outbox.mark_confirmed(uow, customers)
            unsent = await outbox.find(uow.connection, EntityKind.CUSTOMER, [change.key for change in customers])
            blocked = [key for key, row in unsent.items() if row.state is ChangeState.BLOCKED]
            await dead_letters.replay(uow, EntityKind.CUSTOMER, blocked)

    async def record(self, outcomes: Outcomes) -> None:
        """Store the outcomes of a call: all of them or none. A link to a record that belongs to another entity by now
        is left out, and both entities become unconfirmed. Raises LeaseLostError if another process took over: it may
        have written before we did, so everything that this claim has sent becomes due and unconfirmed."""
        try:
            await retry_on_abort(self.clock, lambda: self._record_once(outcomes))
            measure_delays(outcomes.done, self.clock.now())
            self.deprioritized |= {change.entity for change, _ in outcomes.deprioritized}
        except LeaseLostError:
            async with self._store.transaction() as uow:
                for (entity, key), slot in self._sent_slots.items():
                    uow.changed(entity, key, slot, unconfirmed=True)
            raise

    async def _record_once(self, outcomes: Outcomes) -> None:
        async with self._store.transaction() as uow:
            await self._check_leases(uow)
            waiting = outcomes.waiting
            certain_refusals = [item.pending.change for item in outcomes.refused if item.certain]
            confirmed = [
                *certain_refusals,
                *(item.change for item, fault in waiting if fault.outcome_known and not item.change.unconfirmed),
            ]
            refusals = [item.pending.change for item in outcomes.refused]
            # Without an answer the send stays counted. So a record on which the org always fails is isolated in the
            # end, like a record that ends our process.
            answered = [
                *refusals,
                *(item.change for item, fault in waiting if fault.outcome_known),
                *outcomes.to_read_back,
            ]
            await outbox.lock(
                uow, [*outcomes.done, *refusals, *(item.change for item, _ in waiting), *outcomes.to_read_back]
            )
            await outbox.mark_confirmed(uow, [*confirmed, *outcomes.confirmed])
            await retry_schedule.reset_unanswered_sends(uow, answered)
            await outbox.forget_sent(uow, outcomes.not_created)
            for entity in sorted({entity for entity, _ in outcomes.dropped_links}):
                await self._drop_links(uow, entity, [key for kind, key in outcomes.dropped_links if kind == entity])
            stored = await store_links(uow, self._org_id, outcomes.links)
            done, outcomes = outcomes.done, stored.without_refused(outcomes)
            if await outbox.settle(uow, outcomes.done) < len(done):  # the others stay due, and are confirmed
                await outbox.mark_confirmed(uow, done)
            await self._update_merged_accounts(uow, outcomes.merged_links)
            await mark_unconfirmed(uow, outcomes.unconfirmed)
            changed = outcomes.changed_in_org
            await inbox.put(uow, self._org_id, changed, Source.PUSH, observed=changed)
            await self._requeue_dependent_orders(uow, outcomes.done)
            await self._store_refusals(uow, outcomes.refused)
            for pending, fault in outcomes.postponed:
                await self._postpone(uow, pending.change, fault)
            for was_sent in (True, False):
                behind = [change for change, sent in outcomes.deprioritized if sent is was_sent]
                await retry_schedule.deprioritize(uow, behind, was_sent=was_sent)
            await journal.write(uow, list(journal_entries(outcomes, self._journal_context)))
            sync_delays.add(uow, self._org_id, delay_buckets(outcomes.done, uow.now))

    async def _drop_links(self, uow: UnitOfWork, entity: str, keys: Sequence[str]) -> None:
        """Drop links together with the links of their lines or prices. A dropped price makes its product due."""
        await links.drop(uow, self._org_id, entity, keys)
        if entity in PARTS:
            await links.drop_children(uow, self._org_id, PARTS[entity], keys)
        if entity == "price":
            for key in keys:
                sku = key.rpartition("|")[0]
                uow.changed(EntityKind.PRODUCT, sku, slot_of_key(sku), unconfirmed=True)

    async def _update_merged_accounts(self, uow: UnitOfWork, merged_links: Sequence[tuple[Link, str]]) -> None:
        """Update the AccountId in the snapshots of orders whose account was merged: the org moves them itself, so
        nothing is due."""
        moved = {before: link.salesforce_id for link, before in merged_links if link.entity == "customer"}
        keys = [link.key for link, _ in merged_links if link.entity == "customer"]
        if keys:
            await deleted_records.drop(uow, self._org_id, EntityKind.CUSTOMER, keys)
            await deleted_records.follow_merge(uow, self._org_id, keys, moved)

    async def _requeue_dependent_orders(self, uow: UnitOfWork, done: Sequence[Change]) -> None:
        """Make orders due whose mapping uses values of a customer or product that was sent."""
        referenced_kinds = self._mappings.order.depends_on
        for kind in (EntityKind.CUSTOMER, EntityKind.PRODUCT):
            keys = [change.key for change in done if change.entity is kind]
            if keys and kind.value in referenced_kinds:
                for number, customer in await orders.orders_referencing(uow.connection, kind, keys):
                    uow.changed(EntityKind.ORDER, number, slot_of_key(customer), Lane.BACKFILL)

    async def _store_refusals(self, uow: UnitOfWork, refused: Sequence[Rejection]) -> None:
        """Store refusals as dead letters. A customer that was refused with its order is blocked, because it is reported
        on the order."""
        await outbox.refuse_all(uow, [(item.pending.change, item.refusal) for item in refused])
        refusals_by_customer = {}
        for item in refused:
            kind, _, key = (item.refusal.record or "").partition(" ")
            if item.pending.change.entity is EntityKind.ORDER and kind == EntityKind.CUSTOMER:
                refusals_by_customer[key] = item.refusal
        unsent = await outbox.find(uow.connection, EntityKind.CUSTOMER, refusals_by_customer)
        blocked = [
            (build_change(EntityKind.CUSTOMER, key, row, uow.now), refusals_by_customer[key])
            for key, row in unsent.items()
        ]
        await outbox.refuse_all(uow, blocked, state=ChangeState.BLOCKED)

    async def _postpone(self, uow: UnitOfWork, change: Change, fault: Fault) -> None:
        if (delay := delay_after(change, fault)) is not None:
            await outbox.postpone(
                uow, [with_counted_attempts(change, fault)], due_at=uow.now + delay, error=describe_fault(fault)
            )
        else:
            await outbox.refuse(uow, change, final_refusal(change, fault))

    async def _may_map(self, connection: Connection) -> bool:
        return self._mapping_version is None or await self._mapping_version.is_still_active(connection)

    async def _check_leases(self, uow: UnitOfWork) -> None:
        if lost_names := await leases.list_lost(uow, self._held_leases):
            raise lease_lost(", ".join(lost_names))


def _changes(pending_entities: Sequence[PendingEntity]) -> list[Change]:
    """The changes of these that have an outbox row."""
    return [item.change for item in pending_entities if item.change.version]
