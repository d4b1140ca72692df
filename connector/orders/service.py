"""The only door to orders: whoever places one or asks something of one does it by an OrderService.

The service owns what every caller would otherwise repeat: the transaction, its repeat when the database gave it up for
another one, the idempotency of requests, and the order as it is afterwards. HTTP, the command line, the automation and
the demo parse what comes in and print what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from connector.store.engine import Store
from connector.store.queries.holds import list_orders_to_escalate
from connector.store.unit_of_work import UnitOfWork

CONFIRMED = (Stage.CONFIRMED, Stage.FULFILLING)
VERIFIED = (Stage.VERIFIED, *CONFIRMED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Executed:
    """What a command came to: the order afterwards. `replayed`: the same request had been carried out before, and
    nothing happened now."""

    order: Order
    replayed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocated:
    """An order after allocation, and the quantity that it gained by it."""

    order: Order
    gained: Decimal


class OrderService:
    """Places orders and carries out commands on them, by the rules that `rules` returns at that moment.

    Each call is one transaction: what is rejected leaves nothing behind. `actor` is the person or the job that stands
    in the history. Raises CommandError where an order does not allow what is asked, StoreError where the database
    fails.
    """

    def __init__(self, store: Store, rules: Callable[[], Rules]) -> None:
        self._store = store
        self._rules = rules

    @property
    def rules(self) -> Rules:
        """The rules as they are now."""
        return self._rules()

    async def place(self, placements: Sequence[Placement], *, actor: str) -> list[Executed]:
        """Place new orders, all or none; the orders as they are then, in this sequence.

        An order that exists and was placed with the same content is left as it is, however far it has come: it is
        `replayed`. Raises CommandError if one exists with other content, UnknownReferenceError for an unknown customer
        or product.
        """

        async def work(uow: UnitOfWork) -> list[Executed]:
            transaction = self._transaction(uow, actor)
            orders = await transaction.place(placements)
            return [Executed(order=order, replayed=order.number not in transaction.created) for order in orders]

        return await self._store.transact(work)

    async def execute(self, command: OrderCommand, *, actor: str) -> Executed:
        """Carry out one command.

        `verify` may put the order on hold instead; `allocate` without lines takes what the rules choose. A change of
        what was verified puts a confirmed order on hold if the rules say so: it does not become unconfirmed. A declined
        payment puts a verified order on hold for payment if the rules say so.
        """

        async def work(uow: UnitOfWork) -> Executed:
            transaction = self._transaction(uow, actor)
            replayed = await execute_in(transaction, command)
            return Executed(order=await transaction.order(command.number), replayed=replayed)

        return await self._store.transact(work)

    async def execute_all(self, commands: Sequence[OrderCommand], *, actor: str) -> list[Order]:
        """Carry out commands exactly as they are, all or none; their orders afterwards, each once."""

        async def work(uow: UnitOfWork) -> list[Order]:
            transaction = self._transaction(uow, actor)
            await transaction.execute_all(commands)
            return await transaction.orders(list(dict.fromkeys(command.number for command in commands)))

        return await self._store.transact(work)

    async def verify(self, numbers: Sequence[str], *, actor: str) -> list[Order]:
        """Verify orders, or put them on hold, by the rules; those that are not placed, or on hold, stay as they are."""

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
        """Reserve the stock there is for these orders, the most urgent first."""

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
        """Verify what is placed, allocate what waits for stock, and do with each other order what `next_events` says,
        seen under its lock; the orders as they are then."""

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
        """Escalate the holds for `reason` of these orders that are `hours` old and not escalated yet."""

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
        """Set what is on hand, as counted; see `apply_stock_count`."""

        async def work(uow: UnitOfWork) -> StockCountReport:
            return await apply_stock_count(self._transaction(uow, actor), counted, expected)

        return await self._store.transact(work)

    async def track(
        self, tracking_number: str, status: ShipmentStatus, *, carrier: str | None, note: str | None, actor: str
    ) -> list[Order]:
        """Record what a carrier reports of a shipment; the orders it belongs to.

        A report that leads no further changes nothing: carriers repeat themselves, and reports may come late. Raises
        CommandError where the number is nobody's, or could be another carrier's.
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


async def execute_in(transaction: OrderTransaction, command: OrderCommand) -> bool:
    """Carry out one command in a transaction that does more; whether its request had been carried out before."""
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
