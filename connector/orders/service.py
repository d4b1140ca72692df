"""The service by which all callers place orders and carry out commands on them.

The service owns what every caller would otherwise repeat: the transaction, its retry if the database aborts it, the
idempotency of requests, and the order to return. HTTP, the command line, the automation and the demo only parse input
and print results.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from connector.model.events import Allocate, ChangeOrder, Decline, EscalateHold, Event, Verify
from connector.model.holds import Hold
from connector.model.order import Order
from connector.model.order_edits import requires_reverification
from connector.model.shipments import ShipmentStatus
from connector.model.stage import OPEN, Stage
from connector.model.stock import StockKey
from connector.model.transitions import check
from connector.orders.command import OrderCommand
from connector.orders.inventory.allocation import StockCountReport, allocate, apply_stock_count
from connector.orders.inventory.carrier_updates import commands_for_update
from connector.orders.placement import Placement
from connector.orders.policy.rules import Rules
from connector.orders.policy.verification import recheck, verify
from connector.orders.transaction import OrderTransaction
from connector.store import journal
from connector.store.engine import Store
from connector.store.journal import JournalEntry
from connector.store.queries.holds import list_orders_to_escalate
from connector.store.unit_of_work import UnitOfWork

LockOrders = Callable[[Sequence[str]], Awaitable[dict[str, Order]]]
Prepare = Callable[[UnitOfWork, LockOrders], Awaitable[Sequence[OrderCommand]]]
CONFIRMED = (Stage.CONFIRMED, Stage.FULFILLING)
VERIFIED = (Stage.VERIFIED, *CONFIRMED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Executed:
    """The result of a command: the order afterwards. `replayed`: the same request was carried out before, so nothing
    was changed now."""

    order: Order
    replayed: bool = False


Finish = Callable[[UnitOfWork, Sequence[Executed]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocated:
    """An order after allocation, and the quantity that it gained by it."""

    order: Order
    gained: Decimal


PreparePlacements = Callable[[UnitOfWork], Awaitable[Sequence[Placement]]]
FinishPlacements = Callable[[UnitOfWork, Sequence[Executed]], Awaitable[None]]


class OrderService:
    """Places orders and carries out commands on them, by the rules that `rules` returns at that moment.

    Each call is one transaction, so a rejected command leaves nothing behind. `actor` is the person or the job that is
    written to the history. Raises CommandError if an order does not allow the command, StoreError if the database
    fails.
    """

    def __init__(self, store: Store, rules: Callable[[], Rules]) -> None:
        self._store = store
        self._rules = rules

    @property
    def rules(self) -> Rules:
        """The current rules."""
        return self._rules()

    def with_store(self, store: Store) -> OrderService:
        """The same service on another store."""
        return OrderService(store, self._rules)

    async def place(self, placements: Sequence[Placement], *, actor: str) -> list[Executed]:
        """Place new orders, all or none, and return them in the same sequence.

        An order that was placed before with the same content is not changed, whatever its stage now: it is `replayed`.
        Raises CommandError if an order with this number exists with other content, UnknownReferenceError for an unknown
        customer or product.
        """

        async def work(uow: UnitOfWork) -> list[Executed]:
            transaction = self._transaction(uow, actor)
            orders = await transaction.place(placements)
            return [Executed(order=order, replayed=order.number not in transaction.created) for order in orders]

        return await self._store.transact(work)

    async def place_prepared(self, prepare: PreparePlacements, finish: FinishPlacements, *, actor: str) -> None:
        """Place the orders that `prepare` returns, in one transaction with whatever it and `finish` write themselves.

        Both are called again when the database gave the transaction up for another one. Raises what `place` raises.
        """

        async def work(uow: UnitOfWork) -> None:
            transaction = self._transaction(uow, actor)
            orders = await transaction.place(await prepare(uow))
            await finish(
                uow, [Executed(order=item, replayed=item.number not in transaction.created) for item in orders]
            )

        await self._store.transact(work)

    async def execute(self, command: OrderCommand, *, actor: str, audited: bool = False) -> Executed:
        """Carry out one command. `audited`: a person has asked for it, so it is in the audit, too, and not only in the
        history of the order.

        `verify` may put the order on hold instead. `allocate` without lines reserves what the rules choose. A change of
        verified fields may put a confirmed order on hold, by the rules; it stays confirmed. A declined payment may put
        a verified order on hold for payment, by the rules.
        """

        async def work(uow: UnitOfWork) -> Executed:
            transaction = self._transaction(uow, actor)
            replayed = await execute_in(transaction, command)
            order = await transaction.order(command.number)
            if audited and not replayed:
                await journal.write(uow, [_audit_entry(command, order, actor)])
            return Executed(order=order, replayed=replayed)

        return await self._store.transact(work)

    async def execute_all(self, commands: Sequence[OrderCommand], *, actor: str) -> list[Order]:
        """Carry out commands exactly as they are, all or none, and return their orders, each once."""

        async def work(uow: UnitOfWork) -> list[Order]:
            transaction = self._transaction(uow, actor)
            await transaction.execute_all(commands)
            return await transaction.orders(list(dict.fromkeys(command.number for command in commands)))

        return await self._store.transact(work)

    async def execute_prepared(self, prepare: Prepare, *, actor: str, finish: Finish | None = None) -> list[Executed]:
        """Carry out the commands that `prepare` returns, in one transaction with whatever it writes itself, and with
        what `finish` writes of their results.

        `prepare` gets the unit of work and a function that locks orders and returns them by number; unknown numbers are
        left out. Both are called again when the database gave the transaction up for another one.
        """

        async def work(uow: UnitOfWork) -> list[Executed]:
            transaction = self._transaction(uow, actor)
            commands = await prepare(uow, transaction.find)
            replayed = [await execute_in(transaction, command) for command in commands]
            executed = [
                Executed(order=await transaction.order(command.number), replayed=was_replayed)
                for command, was_replayed in zip(commands, replayed, strict=True)
            ]
            if finish is not None:
                await finish(uow, executed)
            return executed

        return await self._store.transact(work)

    async def verify(self, numbers: Sequence[str], *, actor: str) -> list[Order]:
        """Verify orders by the rules, or put them on hold. Orders that are not placed or are on hold stay unchanged."""

        async def work(uow: UnitOfWork) -> list[Order]:
            transaction = self._transaction(uow, actor)
            await verify(transaction, numbers)
            return await transaction.orders(numbers)

        return await self._store.transact(work)

    async def verify_placed(self, numbers: Sequence[str], *, actor: str) -> list[Order]:
        """Like `verify`, for the automation: it returns only the orders that waited for verification."""

        async def work(uow: UnitOfWork) -> list[Order]:
            transaction = self._transaction(uow, actor)
            return await transaction.orders(await verify(transaction, numbers))

        return await self._store.transact(work)

    async def allocate(self, numbers: Sequence[str], *, actor: str) -> list[Allocated]:
        """Reserve the available stock for these orders, most urgent first."""

        async def work(uow: UnitOfWork) -> list[Allocated]:
            transaction = self._transaction(uow, actor)
            before = {order.number: order.state.sum("allocated") for order in await transaction.orders(numbers)}
            await allocate(transaction, numbers)
            return [
                Allocated(order=order, gained=order.state.sum("allocated") - before[order.number])
                for order in await transaction.orders(numbers)
            ]

        return await self._store.transact(work)

    async def work_on(
        self, numbers: Sequence[str], next_events: Callable[[Order], Sequence[Event]], *, actor: str
    ) -> list[Order]:
        """Verify placed orders, allocate to those that wait for stock, and apply the events that `next_events` returns
        to each other order, read under its lock. Return the orders afterwards."""

        async def work(uow: UnitOfWork) -> list[Order]:
            transaction = self._transaction(uow, actor)
            current = await transaction.orders(numbers)
            verified = await verify(transaction, numbers)
            await allocate(transaction, [order.number for order in current if order.stage in OPEN])
            others = await transaction.orders([number for number in numbers if number not in verified])
            await transaction.execute_all(
                [OrderCommand(number=order.number, event=event) for order in others for event in next_events(order)]
            )
            return await transaction.orders(numbers)

        return await self._store.transact(work)

    async def escalate(self, reason: Hold, hours: float, numbers: Sequence[str], *, actor: str) -> list[Order]:
        """Escalate the holds for `reason` of these orders that are at least `hours` old and not escalated yet."""

        async def work(uow: UnitOfWork) -> list[Order]:
            transaction = self._transaction(uow, actor)
            await transaction.orders(numbers)  # locks them
            since = uow.now - timedelta(hours=hours)
            old = await list_orders_to_escalate(uow.connection, reason, since, numbers=numbers)
            event = EscalateHold(hold=reason, note=f"on hold for {hours:g} hours and more")
            await transaction.execute_all([OrderCommand(number=number, event=event) for number in old])
            return await transaction.orders(old)

        return await self._store.transact(work)

    async def count_stock(
        self,
        counted: Mapping[StockKey, Decimal],
        expected: Mapping[StockKey, Decimal] | None = None,
        *,
        actor: str,
    ) -> StockCountReport:
        """Set the counted stock on hand; see `apply_stock_count`."""

        async def work(uow: UnitOfWork) -> StockCountReport:
            return await apply_stock_count(self._transaction(uow, actor), counted, expected)

        return await self._store.transact(work)

    async def track(
        self, tracking_number: str, status: ShipmentStatus, *, carrier: str | None, note: str | None, actor: str
    ) -> list[Order]:
        """Record a carrier's report on a shipment, and return the orders that the shipment belongs to.

        A report that does not advance the shipment changes nothing, because carriers repeat reports and send them late.
        Raises CommandError if no shipment has this number, or if shipments of several carriers have it.
        """

        async def work(uow: UnitOfWork) -> list[Order]:
            transaction = self._transaction(uow, actor)
            numbers, commands = await commands_for_update(
                transaction, tracking_number, status, carrier=carrier, note=note
            )
            await transaction.execute_all(commands)
            return await transaction.orders(numbers)

        return await self._store.transact(work)

    def _transaction(self, uow: UnitOfWork, actor: str) -> OrderTransaction:
        return OrderTransaction(uow, actor=actor, rules=self.rules)


def _audit_entry(command: OrderCommand, order: Order, actor: str) -> JournalEntry:
    """What the audit says of a command. What was typed with it is in the history only."""
    hold = getattr(command.event, "hold", None)
    detail = {"stage": order.stage.value} | ({} if hold is None else {"hold": hold.value})
    happened = command.event.action.happened.value
    return JournalEntry(entity="order", key=order.number, action=happened, detail=detail, actor=actor)


async def execute_in(transaction: OrderTransaction, command: OrderCommand) -> bool:
    """Carry out one command in a given transaction. Returns True if its request was carried out before."""
    if await transaction.is_replay(command):
        return True
    event = command.event
    if isinstance(event, Verify) or (isinstance(event, Allocate) and not event.lines):
        order = await transaction.order(command.number)
        transaction.check_version(order, command.version)
        check(order.state, event)
        by_rules = verify if isinstance(event, Verify) else allocate
        await by_rules(transaction, [command.number], command=command)
        return False
    [state] = await transaction.execute_all([command])
    if isinstance(event, ChangeOrder) and requires_reverification(event) and state.stage in CONFIRMED:
        await recheck(transaction, command.number)
    if isinstance(event, Decline) and state.stage in VERIFIED:
        await recheck(transaction, command.number, frozenset({Hold.PAYMENT}))
    return False
