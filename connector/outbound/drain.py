"""The loop of one stream: claim, plan, write, record, again until nothing is due.

It owns the order of things: accounts that several orders need, then graphs, then rows that differ, then sequences, then
the statuses that activate. Each answer is recorded before the next call goes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any, TypeVar

from connector.errors import RetryClass
from connector.model.change import REPEATED, ChangeState, EntityKind, Refusal, Unsent
from connector.model.record import Link
from connector.outbound import plan_types
from connector.outbound.batches import apart, chunks, graph_calls, row_calls
from connector.outbound.dispatcher import CallDispatcher
from connector.outbound.health import OrgHealth
from connector.outbound.link_check import Reader
from connector.outbound.org_profile import ACTIVATED, OrgProfile
from connector.outbound.outcomes import Outcomes
from connector.outbound.plan_types import OrderGraph, PendingEntity, Plan, RecordUpdate, Upsert
from connector.outbound.planner import accounts_ahead, plan_orders, plan_records
from connector.outbound.preflight import Source
from connector.outbound.prices import PriceBook
from connector.outbound.read_back import Accounts, BatchItem, ReadBack, keys_of
from connector.outbound.repository import SyncRepository
from connector.outbound.results import WriteResult, owned
from connector.outbound.return_strategy import ReturnForm
from connector.outbound.stats import SyncStats
from connector.outbound.writer import Org, Writer
from connector.salesforce.fault import Fault
from connector.salesforce.limits import ROWS_PER_COLLECTION

CLAIM = 600
"""Orders a claim: 8 full graph calls and 3 full status calls."""

ON_ITS_WAY = Fault(
    code="PRODUCT_NOT_SENT_YET",
    retry_class=RetryClass.TRANSIENT,
    sentence="A product of the order is not in the org yet.",
    fix="Nothing to do: the order follows its products.",
    follows=True,
)

ORIGINAL_FIRST = Fault(
    code="ORIGINAL_NOT_ACTIVATED",
    retry_class=RetryClass.TRANSIENT,
    sentence="The order that the return belongs to is not in the org yet, or not activated there.",
    fix="Nothing to do: the return follows its order. If the order was refused, mend that first.",
    follows=True,
)


S = TypeVar("S", OrderGraph, RecordUpdate, Upsert, plan_types.OrderRewrite)


class Drain:
    """One stream over `partitions` (of `of`). Its calls run one after the other: none waits for another's lock.

    `form`: how this org shows returns; without it they wait.
    """

    def __init__(
        self,
        *,
        ledger: SyncRepository,
        org: Org,
        reader: Reader,
        facts: OrgProfile,
        source: Source,
        partitions: Set[int],
        of: int,
        tally: SyncStats,
        advance: Callable[[int], None],
        health: OrgHealth,
        form: ReturnForm | None = None,
    ) -> None:
        self._ledger = ledger
        self._writer = Writer(org, source)
        self._prices = PriceBook(org, reader, facts, source)
        self._calls = CallDispatcher(ledger, tally, advance, health)
        self._recognition = ReadBack(ledger, self._calls, self._writer, reader, facts, tally)
        self._health = health
        self._turns = self._settled = 0
        self._reader = reader
        self._facts = facts
        self._source = source
        self._partitions = partitions
        self._of = of
        self._form = form
        self._tally = tally

    async def products(self) -> None:
        """Products with their price book entries: an order's lines need them."""
        for doubted in (False, True):
            await self._products(doubted)

    async def _products(self, doubted: bool) -> None:
        while claim := await self._claim(EntityKind.PRODUCT, ROWS_PER_COLLECTION, doubted):
            plan = plan_records(await self._recognition.recognized(claim), self._facts, self._source)
            left_out = [item for item in plan.unchanged if item.record is None]
            await self._calls.settle(refused=plan.refused, unchanged=left_out)
            same = [item for item in plan.unchanged if item.record is not None]
            await self._price(same, await self._written(plan, done=False))

    async def orders(self) -> None:
        """Orders with the accounts they need, their returns, then what is left of the customers; at last all of these
        that were in doubt before."""
        for doubted in (False, True):
            await self._all_kinds(doubted)

    async def _all_kinds(self, doubted: bool) -> None:
        while claim := await self._claim(EntityKind.ORDER, CLAIM, doubted):
            await self._orders(await self._recognition.recognized(claim))
        while self._form and (claim := await self._claim(EntityKind.RETURN, CLAIM, doubted)):
            await self._orders(await self._originals_first(await self._recognition.recognized(claim)))
        while claim := await self._claim(EntityKind.CUSTOMER, ROWS_PER_COLLECTION, doubted):
            plan = plan_records(await self._recognition.recognized(claim), self._facts, self._source)
            await self._calls.settle(refused=plan.refused, unchanged=plan.unchanged)
            await self._written(plan, done=True)

    async def _claim(self, entity: EntityKind, limit: int, doubted: bool) -> list[PendingEntity]:
        """What is due and may go out together."""
        if self._health.stopped is not None:
            return []
        claim = await self._ledger.claim(entity, self._partitions, self._of, limit, doubted=doubted)
        self._turns += 1
        claim = apart(claim, limit, repeated=self._turns % 2 == 0, settled=self._settled)
        self._settled += bool(claim) and claim[0].change.begun >= REPEATED
        self._writer.start(link for item in claim for link in _links_of(item))
        return claim

    async def _written(self, plan: Plan, *, done: bool) -> list[WriteResult]:
        """Send customers or products, and record what became of them; `done` if that is all there is to do."""
        begun = await self._ledger.begin(_distinct([*plan.upserts, *plan.rows]))
        pieces: list[WriteResult] = []
        for upserts in chunks(_of(plan.upserts, begun)):
            pieces += await self._record(await self._owned(upserts, self._writer.upserts, step="upserts"), done=done)
        for rows in row_calls(_of(plan.rows, begun)):
            pieces += await self._record(await self._calls.send(rows, self._writer.rows, step="records"), done=done)
        return pieces

    async def _record(self, pieces: list[WriteResult], *, done: bool) -> list[WriteResult]:
        outcomes = Outcomes()
        self._calls.sort(pieces, outcomes, done=keys_of(pieces) if done else set())
        await self._ledger.record(outcomes)
        return pieces

    async def _price(self, unchanged: Sequence[PendingEntity], written: Sequence[WriteResult]) -> None:
        """Price book entries of products that are in the org by now; only then is a product done."""
        ids = {item.change.key: item.link.salesforce_id for item in unchanged if item.link is not None}
        candidates = [*unchanged]
        fresh: set[str] = set()
        for piece in written:
            if piece.success:
                key = piece.candidate.change.key
                candidates.append(piece.candidate)
                ids[key] = piece.links[0].salesforce_id
                if piece.created:
                    fresh.add(key)
        known = await self._ledger.prices_of(list(ids))
        tried: set[str] = set()

        async def write(batch: Sequence[BatchItem]) -> list[WriteResult]:
            only = [item.candidate for item in batch]
            # What was tried before may have entries by now, whatever we know: those are looked up.
            doubtful = tried | {item.change.key for item in only if item.change.unsure}
            tried.update(item.change.key for item in only)
            return await self._prices.write(only, products=ids, fresh=fresh - doubtful, known=known, doubtful=doubtful)

        begun = await self._ledger.begin([item for item in candidates if item.change.key not in keys_of(written)])
        items = [BatchItem(item) for item in candidates if item.change.key in begun | keys_of(written)]
        for batch in chunks(items):
            await self._record(await self._calls.send(batch, write, step="prices"), done=True)

    async def _owned(
        self, items: Sequence[S], call: Callable[[Sequence[S]], Awaitable[list[WriteResult]]], *, step: str
    ) -> list[WriteResult]:
        """The pieces of a call that upserts; refusals where a record it found by our key is another entity's."""
        pieces = await self._calls.send(items, call, step=step)
        found = [record for piece in pieces for record in piece.found]
        holders = await self._ledger.holders(found) if found else {}
        return [owned(piece, holders) for piece in pieces] if holders else pieces

    async def _orders(self, claim: Sequence[PendingEntity]) -> None:
        claim, accounts = await self._accounts(claim)
        claim = await self._without(claim, "customer", accounts.put_off)
        prices = await self._ledger.prices(_looked_up(claim, "price"))
        claim, refused_products = await self._priced(claim, prices)
        plan = plan_orders(
            claim,
            facts=self._facts,
            customers=accounts.links,
            accounts={key: item.record for key, item in accounts.unknown.items() if item.record is not None},
            refusals=accounts.refusals | refused_products,
            prices={key: link.salesforce_id for key, link in prices.items()},
            originals=await self._originals(claim),
            withdrawn={key for key, link in prices.items() if link.snapshot.get("IsActive") is False},
            source=self._source,
            lost=accounts.lost,
        )
        await self._calls.settle(refused=plan.refused, unchanged=plan.unchanged)
        begun = await self._ledger.begin(_distinct([*plan.graphs, *plan.rows, *plan.sequences, *plan.statuses]))
        statuses = await self._graphs(_of(plan.graphs, begun), accounts.unknown)
        to_follow = _of(plan.statuses, begun)
        failed = await self._rows(_of(plan.rows, begun), also_status={row.candidate.change.key for row in to_follow})
        for item in _of(plan.sequences, begun):
            pieces = await self._calls.send([item], self._writer.sequences, step="sequences")
            await self._record(pieces, done=not item.partial)
        statuses += [row for row in to_follow if row.candidate.change.key not in failed]
        await self._rows(statuses)

    async def _originals(self, claim: Sequence[PendingEntity]) -> dict[tuple[str, str], Link]:
        """The links of orders and lines that the claim refers to."""
        found: dict[tuple[str, str], Link] = {}
        for entity in ("order", "line"):
            keys = _looked_up(claim, entity)
            known = await self._ledger.linked(entity, keys) if keys else {}
            found |= {(entity, key): link for key, link in known.items()}
        return found

    async def _originals_first(self, claim: Sequence[PendingEntity]) -> list[PendingEntity]:
        """The claim without returns whose order is not in the org yet, or not activated: nothing can reduce it."""
        known = await self._originals(claim)
        early = {
            key: ORIGINAL_FIRST
            for key in _looked_up(claim, "order")
            if ("order", key) not in known
            or self._facts.category(known["order", key].snapshot.get("Status")) != ACTIVATED
        }
        return await self._without(claim, "order", early)

    async def _accounts(self, claim: Sequence[PendingEntity]) -> tuple[Sequence[PendingEntity], Accounts]:
        """The claim, and the accounts it refers to: those that must go ahead of its graphs are in the org by now, and
        those we were not sure of were looked up."""
        known, unknown, unsure = await self._ledger.customers(_looked_up(claim, "customer"))
        accounts = Accounts(links=known, unknown=unknown, refusals={}, lost={}, put_off={})
        if unsure and await self._recognition.look_at_accounts(accounts, unsure):
            claim = await self._ledger.again(claim)
        await self._accounts_ahead(claim, accounts)
        return claim, accounts

    async def _accounts_ahead(self, claim: Sequence[PendingEntity], accounts: Accounts) -> None:
        """Upsert accounts that must go ahead of the graphs."""
        wanted = accounts_ahead(claim, accounts.links, accounts.unknown)
        first = [accounts.unknown[key] for key in sorted(wanted) if key in accounts.unknown]
        plan = plan_records(first, self._facts, self._source)
        accounts.refusals.update({item.candidate.change.key: item.refusal for item in plan.refused})
        for upserts in chunks(plan.upserts):
            pieces = await self._owned(upserts, self._writer.upserts, step="accounts")
            await self._record([piece for piece in pieces if piece.success], done=True)
            doubt = [link for piece in pieces if piece.refusal is not None for link in piece.gone]
            if doubt:
                await self._ledger.record(Outcomes(doubt=doubt))
            for piece in pieces:
                key = piece.candidate.change.key
                if piece.refusal is not None:
                    accounts.refusals[key] = piece.refusal
                elif piece.fault is not None:
                    accounts.put_off[key] = piece.fault
                else:
                    accounts.links[key] = piece.links[0]

    async def _priced(
        self, claim: Sequence[PendingEntity], prices: Mapping[str, Link]
    ) -> tuple[list[PendingEntity], dict[str, Refusal]]:
        """The claim without orders whose products are still on their way, and why products were refused, by price."""
        missing = [key for key in _looked_up(claim, "price") if key not in prices]
        unsent = await self._ledger.unsent_products(sorted({key.rpartition("|")[0] for key in missing}))
        on_their_way = {key: ON_ITS_WAY for key in missing if _state(unsent, key) is ChangeState.DUE}
        refused = {
            key: found.refusal
            for key in missing
            if (found := unsent.get(key.rpartition("|")[0])) is not None and found.refusal is not None
        }
        return await self._without(claim, "price", on_their_way), refused

    async def _without(
        self, claim: Sequence[PendingEntity], entity: str, put_off: Mapping[str, Fault]
    ) -> list[PendingEntity]:
        """The claim without orders that refer to something that could not be written for now; those wait with it."""
        kept, waiting = [], []
        for candidate in claim:
            fault = next((put_off[key] for key in _looked_up([candidate], entity) if key in put_off), None)
            if fault is None:
                kept.append(candidate)
            else:
                waiting.append(WriteResult(candidate=candidate, fault=fault))
        await self._record(waiting, done=False)
        return kept

    async def _graphs(self, orders: Sequence[OrderGraph], unknown: Mapping[str, PendingEntity]) -> list[RecordUpdate]:
        """Send new orders; the status rows still to be sent for those that are in."""
        statuses: list[RecordUpdate] = []
        for call in graph_calls(orders):
            by_key = {order.candidate.change.key: order for order in call}
            whole = {key for key, order in by_key.items() if order.status is None and not order.partial}
            unshown: list[WriteResult] = []
            pieces = await self._owned(call, partial(self._shown, unshown), step="graphs")
            await self._calls.settle(unchanged=[piece.candidate for piece in unshown])
            outcomes = Outcomes()
            self._calls.sort(pieces, outcomes, done=whole)
            for piece in pieces:
                order = by_key[piece.candidate.change.key]
                if not piece.success:
                    continue
                if order.account is not None and order.customer in unknown:
                    outcomes.done.append(unknown[order.customer].change)
                if order.status is not None and not order.partial:
                    statuses.append(_status_row(order, piece.links))
            await self._ledger.record(outcomes)
            while len(statuses) >= ROWS_PER_COLLECTION:
                await self._rows(statuses[:ROWS_PER_COLLECTION])
                del statuses[:ROWS_PER_COLLECTION]
        return statuses

    async def _shown(self, unshown: list[WriteResult], call: Sequence[OrderGraph]) -> list[WriteResult]:
        """Send graphs; those that found out that the org shows no returns this way are put into `unshown`."""
        pieces = await self._writer.graphs(call)
        if self._form is not None:
            unshown += await self._form.learned(pieces)
        return [piece for piece in pieces if piece not in unshown]

    async def _rows(self, rows: Sequence[RecordUpdate], *, also_status: Set[str] = frozenset()) -> set[str]:
        """Send rows; an entity is done with its last row unless a status follows. The keys of those that failed."""
        left = Counter(row.candidate.change.key for row in rows)
        failed: set[str] = set()
        for call in row_calls(rows):
            left.subtract(row.candidate.change.key for row in call)
            pieces = await self._calls.send(call, self._writer.rows, step="rows")
            failed |= {piece.candidate.change.key for piece in pieces if not piece.success}
            last = {key for key in keys_of(pieces) if left[key] == 0}
            outcomes = Outcomes()
            self._calls.sort(pieces, outcomes, done=last - failed - also_status)
            await self._ledger.record(outcomes)
        return failed


def _status_row(order: OrderGraph, links: Iterable[Link]) -> RecordUpdate:
    entity = order.candidate.change.entity.value
    link = next(link for link in links if link.entity == entity)
    return RecordUpdate(
        candidate=order.candidate,
        entity=entity,
        key=link.key,
        sobject=link.sobject,
        id=link.salesforce_id,
        fields={"Status": order.status},
    )


def _links_of(candidate: PendingEntity) -> list[Link]:
    own = [candidate.link] if candidate.link is not None else []
    return [*own, *candidate.links.values()]


def _looked_up(claim: Iterable[PendingEntity], entity: str) -> list[str]:
    """The keys of `entity` that the orders of the claim and their lines refer to."""
    keys: dict[str, None] = {}
    for candidate in claim:
        if candidate.record is not None:
            for record in (candidate.record, *candidate.record.children):
                keys.update({lookup.key: None for lookup in record.lookups.values() if lookup.entity == entity})
    return list(keys)


def _state(unsent: Mapping[str, Unsent], price_key: str) -> ChangeState | None:
    found = unsent.get(price_key.rpartition("|")[0])
    return found.state if found else None


def _of(steps: Sequence[S], keys: Set[str]) -> list[S]:
    """The steps of these entities."""
    return [step for step in steps if step.candidate.change.key in keys]


def _distinct(steps: Iterable[Any]) -> list[PendingEntity]:
    return list({step.candidate.change.key: step.candidate for step in steps}.values())
