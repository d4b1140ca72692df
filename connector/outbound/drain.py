"""Drain of one stream: claim, plan, write and record until nothing is due.

The order of the calls: accounts that several orders need, then graphs with new orders, then updates of changed records,
then rewrites of frozen orders, then the statuses that activate. A call that updates orders and has room is filled up
with changed accounts. The result of each call is recorded before the next call goes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import partial

from connector.model.change import ChangeState, EntityKind, Refusal
from connector.model.lane import Lane
from connector.model.record import Link
from connector.outbound.batches import chunks, graph_calls, taken, update_calls
from connector.outbound.claims import Claims
from connector.outbound.dependency_faults import ORIGINAL_NOT_ACTIVATED, PRODUCT_NOT_SENT_YET
from connector.outbound.dispatcher import CallDispatcher
from connector.outbound.last_synced import LastSyncedStamp
from connector.outbound.order_planner import OrderContext
from connector.outbound.org_profile import ACTIVATED
from connector.outbound.outcomes import Outcomes
from connector.outbound.plan_steps import (
    S,
    distinct_entities,
    lookup_keys,
    most_urgent_lane,
    name_of,
    product_state,
    status_rows,
    status_update,
    steps_for,
    stored_links,
)
from connector.outbound.plan_types import OrderGraph, PendingEntity, Plan, RecordUpdate
from connector.outbound.planner import accounts_ahead, plan_orders, plan_records
from connector.outbound.prices import PriceBook
from connector.outbound.push_parts import OrgAccess, PushMonitor, StreamWork
from connector.outbound.repository import SyncRepository
from connector.outbound.results import WriteResult, check_ownership
from connector.outbound.unconfirmed_sends import BatchItem, ClaimAccounts, ReadBack, keys_of
from connector.outbound.writer import Writer
from connector.salesforce.call_gate import calls_in
from connector.salesforce.fault import Fault
from connector.salesforce.limits import ROWS_PER_COLLECTION

ORDERS_PER_CLAIM = 600
"""Orders per claim: 8 full graph calls and 3 full calls for the statuses."""


class Drain:
    """One stream. It makes one call at a time, so its calls never wait for each other's locks in the org. During an
    outage it is a probe, which ends when the org accepts something."""

    def __init__(
        self,
        *,
        repository: SyncRepository,
        org: OrgAccess,
        work: StreamWork,
        monitor: PushMonitor,
    ) -> None:
        profile, source, reader, stats = org.profile, org.source, org.reader, monitor.stats
        self._repository = repository
        self._writer = Writer(LastSyncedStamp(org.writer, profile, repository.clock), source)
        self._prices = PriceBook(org.writer, reader, profile, source)
        self._dispatcher = CallDispatcher(repository, monitor)
        self._read_back = ReadBack(repository, self._dispatcher, self._writer, reader, profile, stats)
        self._claims = Claims(repository, self._read_back, self._writer, monitor.health, work)
        self._work = work
        self._health = monitor.health
        self._reader = reader
        self._profile = profile
        self._source_of = source
        self._return_strategy = org.return_strategy
        self._stats = stats

    async def send_products(self) -> None:
        """Send products and their price book entries; the lines of orders need them.

        Deprioritized products (see `health`) go last.
        """
        with calls_in(Lane.STATUS):
            for deprioritized in (False, True):
                await self._send_products(deprioritized)

    async def _send_products(self, deprioritized: bool) -> None:
        async for claim in self._claims.iterate(EntityKind.PRODUCT, ROWS_PER_COLLECTION, deprioritized):
            plan = plan_records(claim, self._profile, self._source_of)
            excluded = [item for item in plan.unchanged if item.record is None]
            await self._dispatcher.record_unsent(refused=plan.refused, unchanged=excluded)
            unchanged = [item for item in plan.unchanged if item.record is not None]
            await self._write_prices(unchanged, await self._write_records(plan, done=False))

    async def send_orders(self) -> None:
        """Send orders with the accounts that they need, then returns, then customers; deprioritized ones go last."""
        with calls_in(Lane.STATUS):
            for deprioritized in (False, True):
                await self._send_all_kinds(deprioritized)

    async def _send_all_kinds(self, deprioritized: bool) -> None:
        async for claim in self._claims.iterate(EntityKind.ORDER, ORDERS_PER_CLAIM, deprioritized):
            await self._write_orders(claim)
        if self._return_strategy:
            async for claim in self._claims.iterate(EntityKind.RETURN, ORDERS_PER_CLAIM, deprioritized):
                await self._write_orders(await self._postpone_early_returns(claim))
        async for claim in self._claims.iterate(EntityKind.CUSTOMER, ROWS_PER_COLLECTION, deprioritized):
            plan = plan_records(claim, self._profile, self._source_of)
            await self._dispatcher.record_unsent(refused=plan.refused, unchanged=plan.unchanged)
            await self._write_records(plan, done=True)

    async def _write_records(self, plan: Plan, *, done: bool) -> list[WriteResult]:
        """Send customers or products and record the results. `done`: an entity is settled with this write."""
        sendable = await self._repository.begin_send(distinct_entities([*plan.upserts, *plan.updates]))
        results: list[WriteResult] = []
        for upserts in chunks(steps_for(plan.upserts, sendable)):
            results += await self._record_results(
                await self._send_upserts(upserts, self._writer.write_upserts, step="upserts"), done=done
            )
        for rows in update_calls(steps_for(plan.updates, sendable)):
            results += await self._record_results(
                await self._dispatcher.send(rows, self._writer.write_updates, step="records"), done=done
            )
        return results

    async def _record_results(self, results: list[WriteResult], *, done: bool) -> list[WriteResult]:
        if results:
            outcomes = Outcomes()
            self._dispatcher.collect(results, outcomes, done=keys_of(results) if done else set())
            await self._repository.record(outcomes)
        return results

    async def _write_prices(self, unchanged: Sequence[PendingEntity], written: Sequence[WriteResult]) -> None:
        """Write the price book entries of products that are in the org by now. Only then is a product settled."""
        product_ids = {item.change.key: item.link.salesforce_id for item in unchanged if item.link is not None}
        pending_entities = [*unchanged]
        new_skus: set[str] = set()
        for result in written:
            if result.success:
                key = result.pending.change.key
                pending_entities.append(result.pending)
                product_ids[key] = result.links[0].salesforce_id
                if result.created:
                    new_skus.add(key)
        links_by_price = await self._repository.price_links_of_products(list(product_ids))
        attempted: set[str] = set()

        async def write(batch: Sequence[BatchItem]) -> list[WriteResult]:
            batch_entities = [item.pending for item in batch]
            # A product that was attempted before may have entries that no link tells of: they are queried.
            unconfirmed = attempted | {item.change.key for item in batch_entities if item.change.unconfirmed}
            attempted.update(item.change.key for item in batch_entities)
            return await self._prices.write(
                batch_entities,
                products=product_ids,
                new_skus=new_skus - unconfirmed,
                stored_links=links_by_price,
                unconfirmed=unconfirmed,
            )

        sendable = await self._repository.begin_send(
            [item for item in pending_entities if item.change.key not in keys_of(written)]
        )
        items = [BatchItem(item) for item in pending_entities if item.change.key in sendable | keys_of(written)]
        for batch in chunks(items):
            await self._record_results(await self._dispatcher.send(batch, write, step="prices"), done=True)

    async def _send_upserts(
        self, items: Sequence[S], call: Callable[[Sequence[S]], Awaitable[list[WriteResult]]], *, step: str
    ) -> list[WriteResult]:
        """Send a call that upserts. A result becomes a refusal if the record that the key found is linked to another
        entity."""
        results = await self._dispatcher.send(items, call, step=step)
        existing_ids = [record for result in results for record in result.existing_ids]
        holders = await self._repository.links_by_record(existing_ids) if existing_ids else {}
        return [check_ownership(result, holders) for result in results] if holders else results

    async def _write_orders(self, claim: list[PendingEntity]) -> None:
        """Plan and send orders. `claim` is emptied, and each plan is let go as it is sent: they take megabytes."""
        plan, missing = await self._plan_orders(claim)
        await self._dispatcher.record_unsent(refused=plan.refused, unchanged=plan.unchanged)
        traveling = {item.pending.change.key: item.customer for item in plan.graphs if item.account}
        sendable = await self._repository.begin_send(
            distinct_entities([*plan.graphs, *plan.updates, *plan.rewrites, *plan.status_updates]),
            {order: missing[customer] for order, customer in traveling.items() if customer in missing},
        )
        graphs, updates = steps_for(plan.graphs, sendable), steps_for(plan.updates, sendable)
        rewrites = steps_for(plan.rewrites, sendable)
        status_updates = status_rows(steps_for(plan.status_updates, sendable))
        del plan
        statuses = await self._write_graphs(graphs, missing)
        updates += await self._fill_up(updates)
        failed = await self._write_updates(updates, also_status={name_of(row.pending) for row in status_updates})
        for item in taken(rewrites):
            results = await self._dispatcher.send([item], self._writer.write_rewrites, step="sequences")
            await self._record_results(results, done=not item.partial)
        statuses += [row for row in status_updates if name_of(row.pending) not in failed]
        await self._write_updates([*statuses, *await self._fill_up(statuses)])

    async def _plan_orders(self, claimed: list[PendingEntity]) -> tuple[Plan, Mapping[str, PendingEntity]]:
        """Plan what to send of a claim, which is emptied; also return its customers without an account, by key."""
        claim, accounts = await self._prepare_accounts([*taken(claimed)])
        claim = await self._postpone_blocked(claim, "customer", accounts.postponed)
        prices = await self._repository.price_links(lookup_keys(claim, "price"))
        claim, refused_products = await self._postpone_unpriced(claim, prices)
        context = OrderContext(
            profile=self._profile,
            customers=accounts.links,
            accounts={key: item.record for key, item in accounts.missing.items() if item.record is not None},
            refusals=accounts.refusals | refused_products,
            prices={key: link.salesforce_id for key, link in prices.items()},
            originals=await self._find_original_links(claim),
            inactive_prices={key for key, link in prices.items() if link.snapshot.get("IsActive") is False},
            source=self._source_of,
            lost_accounts=accounts.lost_links,
        )
        return plan_orders(taken(claim), context), accounts.missing

    async def _fill_up(self, rows: Sequence[RecordUpdate]) -> list[RecordUpdate]:
        """Updates of customers that fit into the last call of these rows, so that they take no call of their own."""
        room = -len(rows) % ROWS_PER_COLLECTION
        has_suspects = any(row.pending.change.unanswered_sends for row in rows)
        are_due = EntityKind.CUSTOMER in self._work.due.others
        if not room or not are_due or has_suspects or self._health.stopped is not None:
            return []
        where = self._work.partitions, self._work.partition_count
        claim = await self._repository.claim_more(EntityKind.CUSTOMER, *where, room)
        claim = [item for item in claim if item.link is not None and not item.change.unconfirmed]
        if not claim:
            return []
        updates = plan_records(await self._read_back.refresh_claim(claim), self._profile, self._source_of).updates
        self._writer.add_links(link for row in updates for link in stored_links(row.pending))
        return steps_for(updates, await self._repository.begin_send(distinct_entities(updates)))

    async def _find_original_links(self, claim: Sequence[PendingEntity]) -> dict[tuple[str, str], Link]:
        """The links of orders and lines that the claim refers to, by (entity, key)."""
        links_by_name: dict[tuple[str, str], Link] = {}
        for entity in ("order", "line"):
            keys = lookup_keys(claim, entity)
            links_by_key = await self._repository.get_links(entity, keys) if keys else {}
            links_by_name |= {(entity, key): link for key, link in links_by_key.items()}
        return links_by_name

    async def _postpone_early_returns(self, claim: Sequence[PendingEntity]) -> list[PendingEntity]:
        """Postpone returns whose order is not in the org yet or not activated there, and return the rest of
        the claim."""
        original_links = await self._find_original_links(claim)
        early = {
            key: ORIGINAL_NOT_ACTIVATED
            for key in lookup_keys(claim, "order")
            if ("order", key) not in original_links
            or self._profile.category(original_links["order", key].snapshot.get("Status")) != ACTIVATED
        }
        return await self._postpone_blocked(claim, "order", early)

    async def _prepare_accounts(self, claim: Sequence[PendingEntity]) -> tuple[Sequence[PendingEntity], ClaimAccounts]:
        """Read back the unconfirmed accounts of the claim, and write those that must precede the graphs.

        Returns the claim, reloaded if accounts were merged in the org, and the accounts by customer.
        """
        links, missing, unconfirmed = await self._repository.load_accounts(lookup_keys(claim, "customer"))
        accounts = ClaimAccounts(links=links, missing=missing, refusals={}, lost_links={}, postponed={})
        if unconfirmed and await self._read_back.refresh_accounts(accounts, unconfirmed):
            claim = await self._repository.reload(claim)
        await self._write_accounts_ahead(claim, accounts)
        return claim, accounts

    async def _write_accounts_ahead(self, claim: Sequence[PendingEntity], accounts: ClaimAccounts) -> None:
        """Upsert the accounts that must be in the org before the graphs."""
        customers = accounts_ahead(claim, accounts.links, accounts.missing)
        accounts_to_write = [accounts.missing[key] for key in sorted(customers) if key in accounts.missing]
        plan = plan_records(accounts_to_write, self._profile, self._source_of)
        accounts.refusals.update({item.pending.change.key: item.refusal for item in plan.refused})
        for upserts in chunks(plan.upserts):
            await self._repository.begin_send([upsert.pending for upsert in upserts])
            results = await self._send_upserts(upserts, self._writer.write_upserts, step="accounts")
            outcomes = Outcomes(
                confirmed=[result.pending.change for result in results if result.is_known],
                unconfirmed=[link for result in results if result.refusal is not None for link in result.stale_links],
            )
            written = [result for result in results if result.success]
            self._dispatcher.collect(written, outcomes, done=keys_of(written))
            await self._repository.record(outcomes)
            for result in results:
                key = result.pending.change.key
                if result.refusal is not None:
                    accounts.refusals[key] = result.refusal
                elif result.fault is not None:
                    accounts.postponed[key] = result.fault
                else:
                    accounts.links[key] = result.links[0]

    async def _postpone_unpriced(
        self, claim: Sequence[PendingEntity], prices: Mapping[str, Link]
    ) -> tuple[list[PendingEntity], dict[str, Refusal]]:
        """Postpone orders whose products are not sent yet. Return the rest, and refusals of products by price key."""
        missing_prices = [key for key in lookup_keys(claim, "price") if key not in prices]
        unsent = await self._repository.unsent_products(sorted({key.rpartition("|")[0] for key in missing_prices}))
        not_sent_yet = {
            key: PRODUCT_NOT_SENT_YET for key in missing_prices if product_state(unsent, key) is ChangeState.DUE
        }
        refused = {
            key: product.refusal
            for key in missing_prices
            if (product := unsent.get(key.rpartition("|")[0])) is not None and product.refusal is not None
        }
        if not_sent_yet and (lane := most_urgent_lane(claim)) is not None:
            await self._repository.raise_lane_of_products([key.rpartition("|")[0] for key in not_sent_yet], lane)
        return await self._postpone_blocked(claim, "price", not_sent_yet), refused

    async def _postpone_blocked(
        self, claim: Sequence[PendingEntity], entity: str, faults: Mapping[str, Fault]
    ) -> list[PendingEntity]:
        """Postpone entities that refer to an `entity` that could not be written for now (`faults`, by key), and return
        the rest."""
        ready, waiting = [], []
        for pending in claim:
            fault = next((faults[key] for key in lookup_keys([pending], entity) if key in faults), None)
            if fault is None:
                ready.append(pending)
            else:
                waiting.append(WriteResult(pending=pending, fault=fault))
        await self._record_results(waiting, done=False)
        return ready

    async def _write_graphs(
        self, orders: list[OrderGraph], missing_accounts: Mapping[str, PendingEntity]
    ) -> list[RecordUpdate]:
        """Send new orders as graphs; the list is emptied. Returns the status updates that are still to be sent for
        those that were created."""
        statuses: list[RecordUpdate] = []
        for call in graph_calls(taken(orders)):
            by_key = {order.pending.change.key: order for order in call}
            complete = {key for key, order in by_key.items() if order.status is None and not order.partial}
            unsupported: list[WriteResult] = []
            results = await self._send_upserts(call, partial(self._send_graphs, unsupported), step="graphs")
            await self._dispatcher.record_unsent(unchanged=[result.pending for result in unsupported])
            outcomes = Outcomes()
            self._dispatcher.collect(results, outcomes, done=complete)
            for result in results:
                order = by_key[result.pending.change.key]
                if order.account is not None and order.customer in missing_accounts and result.is_known:
                    ended = outcomes.done if result.success else outcomes.confirmed
                    ended.append(missing_accounts[order.customer].change)
                if not result.success:
                    continue
                if order.status is not None and not order.partial:
                    statuses.append(status_update(order, result.links))
            await self._repository.record(outcomes)
            while len(statuses) >= ROWS_PER_COLLECTION:
                await self._write_updates(statuses[:ROWS_PER_COLLECTION])
                del statuses[:ROWS_PER_COLLECTION]
        return statuses

    async def _send_graphs(self, unsupported: list[WriteResult], call: Sequence[OrderGraph]) -> list[WriteResult]:
        """Send graphs. Results that reveal that the org does not support this form of returns are moved to
        `unsupported`."""
        results = await self._writer.write_graphs(call)
        if self._return_strategy is not None:
            unsupported += await self._return_strategy.note_unsupported(results)
        return [result for result in results if result not in unsupported]

    async def _write_updates(
        self, rows: list[RecordUpdate], *, also_status: Set[tuple[EntityKind, str]] = frozenset()
    ) -> set[tuple[EntityKind, str]]:
        """Send updates, whose list is emptied, and return the names of the entities that failed. An entity is settled
        with its last update, unless its name is in `also_status`: then a status update follows."""
        updates_remaining = Counter(name_of(row.pending) for row in rows)
        failed: set[tuple[EntityKind, str]] = set()
        for call in update_calls(taken(rows)):
            updates_remaining.subtract(name_of(row.pending) for row in call)
            results = await self._dispatcher.send(call, self._writer.write_updates, step="rows")
            failed |= {name_of(result.pending) for result in results if not result.success}
            outcomes = Outcomes()
            for kind in dict.fromkeys(result.pending.change.entity for result in results):
                of_kind = [result for result in results if result.pending.change.entity is kind]
                last = {key for key in keys_of(of_kind) if updates_remaining[kind, key] == 0}
                open_keys = {key for other, key in failed | also_status if other is kind}
                self._dispatcher.collect(of_kind, outcomes, done=last - open_keys)
            await self._repository.record(outcomes)
        return failed
