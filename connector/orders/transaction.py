"""One transaction on orders: check commands against the locked orders, apply them, write the result and the history.

Everything that a command causes (the event, stock moves, the invoice, notifications, derived orders) is written in the
same transaction, so a rejected command leaves nothing behind. Callers outside this package use `OrderService`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from connector.errors import CommandError
from connector.model.actions import Action, EventKind
from connector.model.canonical import canonical_bytes
from connector.model.copying import evolved
from connector.model.customer import Customer
from connector.model.customer_history import CustomerHistory
from connector.model.event_defaults import with_defaults
from connector.model.events import (
    Advance,
    ChangeOrder,
    CloseReturn,
    Deliver,
    EventAtWarehouse,
    InspectReturn,
    IssueInvoice,
    Pack,
    RequestReturn,
    Ship,
    SplitOrder,
    StockEvent,
    Track,
)
from connector.model.lane import Lane
from connector.model.order import Order, OrderInput
from connector.model.order_header import ADDRESS
from connector.model.order_state import OrderState
from connector.model.product import Product
from connector.model.rejections import rejection
from connector.model.shipments import ShipmentStatus
from connector.model.transitions import apply, next_automatic_stage
from connector.orders import derived_orders, placement
from connector.orders.change_set import OrderChangeSet
from connector.orders.command import OrderCommand, attribute_to
from connector.orders.documents.invoice import build_invoice, dump
from connector.orders.idempotency import split_replays
from connector.orders.inventory import stock_moves
from connector.orders.notification_triggers import notifications_for
from connector.orders.placement import Placement
from connector.orders.policy.order_facts import facts_of
from connector.orders.policy.rules import Rules, standard
from connector.orders.pricing import (
    create_placeholder_products,
    with_default_address,
    with_edit_defaults,
    with_list_prices,
)
from connector.store import customers, invoices, notifications, order_history, order_state, orders, products
from connector.store.invoices import Invoice
from connector.store.order_history import EventEntry
from connector.store.order_state import OrderChange
from connector.store.orders import Placed
from connector.store.queries.customer_history import load_customer_histories
from connector.store.references import UnknownReferenceError
from connector.store.unit_of_work import UnitOfWork


class OrderTransaction:
    """Carries out commands in one unit of work. `actor` (a person or a job) is written to the history."""

    def __init__(self, uow: UnitOfWork, *, actor: str, rules: Rules | None = None) -> None:
        self.uow = uow
        self.actor = actor
        self.rules = rules or standard()
        self._locked: dict[str, tuple[Order, int]] = {}
        """Each order that this transaction has locked, in its present state, with the length of its history."""
        self.created: set[str] = set()
        """Numbers of the orders that this transaction has placed as new ones."""
        self.repeated: set[tuple[str, str]] = set()
        """(Order, request) of the commands that were skipped, because they had been carried out before."""

    async def place(self, placements: Sequence[Placement]) -> list[Order]:
        """Place new orders; see OrderService.place."""
        wanted: dict[str, Placement] = {}
        for item in placements:
            number = item.order.number
            placement.check_new(item.order)
            if wanted.setdefault(number, item).order != item.order:
                raise placement.conflicting_order_error(number)
        existing = {order.number: order for order in await orders.load(self.uow.connection, list(wanted))}
        for number, order in existing.items():
            if not wanted[number].moment_given:  # a repeat has the time of the first placement
                first = wanted[number].order.with_header(placed_at=order.header.placed_at)
                wanted[number] = replace(wanted[number], order=first)
        stored_placements = await orders.load_placements(self.uow.connection, sorted(existing))
        new = [item for number, item in wanted.items() if number not in existing]
        for item in new:
            placement.check_length(item.order)
            if item.customer is not None:
                await placement.save_customer(self.uow, item.order.customer, item.customer)
        contents = {number: item.content or canonical_bytes(item.order) for number, item in wanted.items()}
        created = await self._insert([item.order for item in new], contents)
        quicker = [item.order.number for item in new if item.order.number not in created]
        stored_placements |= await orders.load_placements(self.uow.connection, quicker)
        self.created |= created
        loaded = await self.load(list(wanted))
        for number, item in wanted.items():
            if number in created:
                continue
            stored = stored_placements.get(number)
            if not await self._is_repeat(loaded[number][0], item.order, stored, contents[number]):
                raise placement.conflicting_order_error(number)
        return [loaded[item.order.number][0] for item in placements]

    async def _insert(self, items: Sequence[OrderInput], contents: Mapping[str, bytes]) -> set[str]:
        """Store new orders, with prices, address, tax and priority filled in, and begin their histories."""
        customer_of, catalog = await self._references(items)
        new_orders = []
        for item in items:
            priced = with_default_address(with_list_prices(item, catalog), customer_of[item.customer])
            new_orders.append(self._new_order(priced, customer_of, catalog))
        return await self._store([self._taxed_by_rules(order) for order in new_orders], contents)

    async def _insert_derived(self, item: OrderInput) -> None:
        """Store a derived order; its prices, address and tax are not filled in."""
        customer_of, catalog = await self._references([item])
        if not await self._store([self._new_order(item, customer_of, catalog)], {}):
            raise placement.conflicting_order_error(item.number)  # another transaction has just used the number

    async def _references(self, items: Sequence[OrderInput]) -> tuple[dict[str, Customer], dict[str, Product]]:
        """Return the customers by number and the products by SKU that `items` refer to.

        Raises UnknownReferenceError if one is not stored. If the rules keep orders of unknown products, those products
        are created as placeholders instead.
        """
        if not items:
            return {}, {}
        connection = self.uow.connection
        numbers = sorted({item.customer for item in items})
        skus = {line.sku for item in items for line in item.lines}
        customer_of = {customer.number: customer for customer in await customers.load(connection, numbers)}
        catalog = await products.find(connection, skus)
        unknown = sorted(skus - catalog.keys())
        if len(customer_of) < len(numbers) or (unknown and not self.rules.keep_unknown):
            raise UnknownReferenceError(sorted(set(numbers) - customer_of.keys()), unknown)
        if unknown:
            await create_placeholder_products(self.uow, unknown)
            catalog |= await products.find(connection, unknown)
        return customer_of, catalog

    def _new_order(
        self, item: OrderInput, customer_of: Mapping[str, Customer], catalog: Mapping[str, Product]
    ) -> Order:
        key = secrets.token_urlsafe(16)
        return orders.new_order(item, customer_of[item.customer], catalog, tracking_key=key)

    def _taxed_by_rules(self, order: Order) -> Order:
        rate = self._tax_rate(order)
        return order if rate == order.header.tax_rate else order.with_header(tax_rate=rate)

    async def _store(self, new: Sequence[Order], contents: Mapping[str, bytes]) -> set[str]:
        late = self.rules.priority_needs_history  # the customer's history counts these orders too, once stored
        with_digests: list[tuple[Order, str | None]] = []
        for order in new if late else self._prioritized(new, {}):
            content, key = contents.get(order.number), order.tracking_key or ""
            with_digests.append((order, None if content is None else placement.digest(key, content)))
        urgent_from = self.rules.urgent_from
        created = await orders.insert_placed(self.uow, with_digests, urgent_from=urgent_from)
        stored = [order for order, _ in with_digests if order.number in created]
        if late:
            stored = self._prioritized(stored, await load_customer_histories(self.uow.connection, stored))
            await orders.set_priorities(self.uow, stored, urgent_from=urgent_from)
        await order_history.write(self.uow, [(order.state, 0, ()) for order in stored], actor=self.actor)
        self._locked |= {order.number: (order, 1) for order in stored}
        return created

    def _prioritized(self, some: Sequence[Order], histories: Mapping[str, CustomerHistory]) -> list[Order]:
        now, priority = self.uow.now, self.rules.priority
        return [
            evolved(order, {"priority": priority(facts_of(order, now, histories.get(order.number)))}) for order in some
        ]

    async def _is_repeat(self, order: Order, item: OrderInput, stored: Placed | None, content: bytes) -> bool:
        """Return whether `item` is the same order that was placed as `order`."""
        if stored is not None:
            return hmac.compare_digest(placement.digest(stored.tracking_key, content), stored.digest or "")
        catalog = await products.find(self.uow.connection, {line.sku for line in item.lines})
        item = with_list_prices(item, catalog)
        if not placement.same_head(order, item):
            return False
        # If the order was changed since, its lines are no evidence.
        return placement.same_lines(order, item) or await order_history.has_event(
            self.uow.connection, order.number, EventKind.CHANGED
        )

    async def execute_all(self, commands: Sequence[OrderCommand]) -> list[OrderState]:
        """Carry out `commands` in sequence, all or none. Return the new states of their orders.

        Raises CommandError for the first command that is rejected. A command whose request was carried out before is
        skipped.
        """
        numbers = list(dict.fromkeys(command.number for command in commands))
        await self.load(numbers)
        commands = await self._drop_replays(commands)
        loaded = await self.load(numbers)
        change_sets = {number: self._start_change_set(order, length) for number, (order, length) in loaded.items()}
        invoicing = sum(isinstance(command.event, IssueInvoice) for command in commands)
        numbered = iter(await invoices.take_numbers(self.uow, invoicing))
        for command in commands:
            if isinstance(command.event, IssueInvoice):
                numbered_event = replace(command.event, reference=next(numbered))
                command = replace(command, event=numbered_event, original=command.original or command.event)
            for part in await self._split_by_warehouse(change_sets[command.number], command):
                await self._apply(change_sets[command.number], part)
        changed = [change_sets[number] for number in numbers if change_sets[number].entries]
        await stock_moves.apply_moves(self.uow, [item.move for item in changed if item.steps], self.rules.routing)
        await self._save(changed)
        await invoices.issue(self.uow, [invoice for item in changed for invoice in item.issued])
        requests = [request for item in changed for request in item.notifications]
        await notifications.capture(self.uow, [item for item in requests if item.kind in self.rules.notified_kinds])
        for order in [derived for item in changed for derived in item.derived]:
            await self._insert_derived(order.item)
            await self.execute_all([OrderCommand(number=order.item.number, event=event) for event in order.events])
        return [change_sets[number].state for number in numbers]

    async def is_replay(self, command: OrderCommand) -> bool:
        """Return whether the request of this command was carried out before.

        Raises CommandError if its key was used for another command. The order is locked afterwards, so of several
        callers with the same request one carries it out, and the others see a replay.
        """
        await self.load([command.number])
        return not await self._drop_replays([command])

    def check_version(self, order: Order, version: int | None) -> None:
        """Raise CommandError unless the order is at `version`; None allows any version."""
        if version is not None and version != order.version:
            raise CommandError(
                f"Order {order.number} has changed: it is at version {order.version}, not {version}.",
                hint="Read it again, and repeat the request if it still applies.",
                field="version",
                rule="version",
            )

    async def _drop_replays(self, commands: Sequence[OrderCommand]) -> Sequence[OrderCommand]:
        """Return the commands that are no replays. Their orders are locked, so nobody else carries them out now."""
        new, replayed = await split_replays(self.uow.connection, commands)
        self.repeated |= replayed
        return new

    async def load(self, numbers: Sequence[str]) -> dict[str, tuple[Order, int]]:
        """Lock the orders and return each with the length of its history; CommandError for one that does not exist."""
        await self.find(numbers)
        for number in numbers:
            if number not in self._locked:
                hint = "Correct the number, or import the order."
                raise CommandError(f"There is no order {number}.", hint=hint, field="number", rule="unknown")
        return {number: self._locked[number] for number in numbers}

    async def find(self, numbers: Sequence[str]) -> dict[str, Order]:
        """Lock the orders and return each by its number; those that do not exist are left out."""
        if missing := [number for number in dict.fromkeys(numbers) if number not in self._locked]:
            self._locked |= await order_state.load(self.uow, missing)
        return {number: self._locked[number][0] for number in numbers if number in self._locked}

    async def order(self, number: str) -> Order:
        """Lock the order and return it with the changes of this transaction; CommandError if it does not exist."""
        return (await self.load([number]))[number][0]

    async def orders(self, numbers: Sequence[str]) -> list[Order]:
        """Lock the orders and return them with the changes of this transaction; CommandError if one does not exist."""
        return [order for order, _ in (await self.load(numbers)).values()]

    def has_locked(self, number: str) -> bool:
        return number in self._locked

    async def _split_by_warehouse(self, change_set: OrderChangeSet, command: OrderCommand) -> Sequence[OrderCommand]:
        """Return `command`; for `pack` without a warehouse, one command for each warehouse that the goods lie in."""
        stock_moved = any(not isinstance(step.event, Pack) for step in change_set.steps)
        if not isinstance(command.event, Pack) or command.event.warehouse or stock_moved:
            return [command]
        self.check_version(change_set.order, command.version)
        event = with_defaults(change_set.state, command.event)
        assert isinstance(event, Pack)
        events = await stock_moves.split_into_parcels(self.uow.connection, change_set.state, event)
        return attribute_to(command, [replace(command, event=part, request=None) for part in events])

    async def _apply(self, change_set: OrderChangeSet, command: OrderCommand) -> None:
        order, event = change_set.order, command.event
        self.check_version(order, command.version)
        delivered = isinstance(event, Track) and event.status is ShipmentStatus.DELIVERED
        if isinstance(event, Ship | Deliver | RequestReturn) or (isinstance(event, Track) and delivered):
            event = event if event.on else replace(event, on=self.uow.now.date())
        if isinstance(event, ChangeOrder):
            event = self._taxed(change_set.current_order, await with_edit_defaults(self.uow.connection, order, event))
        if isinstance(event, SplitOrder):
            if event.reference:
                what = "got a reference, but the number of the new order is assigned automatically"
                raise rejection(change_set.state, event, "reference", what, "Leave it out.")
            event = replace(event, reference=await self._free_number(change_set, "S"))
        if isinstance(event, EventAtWarehouse):
            event = await stock_moves.with_lines_in_warehouse(self.uow.connection, order, change_set.state, event)
        event = with_defaults(change_set.state, event)
        after = apply(change_set.state, event)
        if isinstance(event, StockEvent):
            change_set.steps.append(stock_moves.Step(event=event, before=change_set.state, after=after))
        if isinstance(event, InspectReturn | CloseReturn):
            closed = derived_orders.return_to_replace(change_set.state, after)
            if closed is not None:
                event = replace(event, reference=await self._free_number(change_set, "R"))
                change_set.derived.append(derived_orders.replacement(order, after, closed, event, self.uow.now))
        if isinstance(event, SplitOrder):
            change_set.derived.append(derived_orders.split_part(order, change_set.state, event))
        stage, request = change_set.state.stage, command.stored_request
        entry = EventEntry(event=event, before=stage, after=after.stage, request=request, author=command.author)
        change_set.entries.append(entry)
        sequence = change_set.current_length
        while (next_stage := next_automatic_stage(after)) is not None:  # bounded: no stage is reached twice
            advance = Advance(to=next_stage)
            advanced = apply(after, advance)
            entry = replace(entry, event=advance, before=after.stage, after=advanced.stage, request=None)
            change_set.entries.append(entry)
            after = advanced
        change_set.notifications += notifications_for(event, change_set.state, after, sequence)
        if isinstance(event, IssueInvoice) and event.reference and event.amount:
            change_set.issued.append(self._invoice(event.reference, event.amount, change_set))
        change_set.state = after

    async def _free_number(self, change_set: OrderChangeSet, mark: str) -> str:
        return await derived_orders.find_free_number(self.uow.connection, change_set.derived, change_set.order, mark)

    def _tax_rate(self, order: Order) -> Decimal | None:
        """Return the tax rate of the order: its own, else the one of the rules if prices are net."""
        billing = self.rules.billing
        if order.header.tax_rate is not None or not billing.net:
            return order.header.tax_rate
        return billing.rate(facts_of(order, self.uow.now))

    def _taxed(self, order: Order, event: ChangeOrder) -> ChangeOrder:
        """Return `event` with the tax rate of the new address, unless the order has a rate of its own."""
        billing = self.rules.billing
        if not billing.net or "tax_rate" in event.details or not event.details.keys() & ADDRESS:
            return event
        by_rules = billing.rate(facts_of(order, self.uow.now))
        there = billing.rate(facts_of(order.with_header(**event.details), self.uow.now))
        if order.header.tax_rate != by_rules or there == by_rules:
            return event
        return replace(event, details={**event.details, "tax_rate": there})

    def _invoice(self, number: str, amount: Decimal, change_set: OrderChangeSet) -> Invoice:
        order, now = change_set.order, self.uow.now
        view = build_invoice(number, order, change_set.state, amount, now, self.rules.billing)
        return Invoice(
            number=number,
            order_number=order.number,
            issued_at=now,
            currency=order.currency,
            amount=amount,
            body=dump(view),
        )

    async def _save(self, change_sets: Sequence[OrderChangeSet]) -> None:
        edited = [item.order for item in change_sets if _has_change(item.entries)]
        histories = await load_customer_histories(
            self.uow.connection, edited if self.rules.priority_needs_history else []
        )
        current = {item.order.number: item.current_order for item in change_sets}
        for number in [order.number for order in edited]:
            facts = facts_of(current[number], self.uow.now, histories.get(number))
            current[number] = evolved(current[number], {"priority": self.rules.priority(facts)})
        changes = [
            OrderChange(
                order=current[item.order.number],
                stored=item.order.header,
                before=item.before,
                history_length=item.history_length,
                after=item.state,
                entries=tuple(item.entries),
                lane=Lane.URGENT if current[item.order.number].priority >= self.rules.urgent_from else Lane.STATUS,
            )
            for item in change_sets
        ]
        await order_state.save(self.uow, changes, actor=self.actor)
        for change in changes:
            del self._locked[change.order.number]
            if not _has_change(change.entries):
                order = change.order.at(change.after, [entry.event.action.happened for entry in change.entries])
                self._locked[order.number] = (order, order_history.length(change.history_length, change.entries))

    def _start_change_set(self, order: Order, history_length: int) -> OrderChangeSet:
        return OrderChangeSet(order=order, history_length=history_length, before=order.state, state=order.state)


def _has_change(entries: Sequence[EventEntry]) -> bool:
    """Return whether lines or details were changed; the order must then be read from the store again."""
    return any(entry.event.action is Action.CHANGE for entry in entries)
