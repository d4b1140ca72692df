"""One transaction on orders: commands are checked against the order as it stands, and written with their history.

Everything that a command brings about (the event, stock, the invoice, notifications, derived orders) is written in the
same transaction: a rejected command leaves nothing behind. `OrderService` is the door; this is what stands behind it.
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
from connector.model.order import Order, OrderInput
from connector.model.order_header import ADDRESS
from connector.model.order_state import OrderState
from connector.model.product import Product
from connector.model.rejections import rejection
from connector.model.shipments import ReturnStatus, ShipmentStatus
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
from connector.store.queries.customer_history import standings
from connector.store.references import UnknownReferenceError
from connector.store.unit_of_work import Lane, UnitOfWork


class OrderTransaction:
    """Where `actor` (a person or a job, for the history) acts on orders, by `rules`."""

    def __init__(self, uow: UnitOfWork, *, actor: str, rules: Rules | None = None) -> None:
        self.uow = uow
        self.actor = actor
        self.rules = rules or standard()
        self._known: dict[str, tuple[Order, int]] = {}
        """Orders that this transaction has locked, as it has left them."""
        self.created: set[str] = set()
        """Orders that were placed here as new ones."""
        self.repeated: set[tuple[str, str]] = set()
        """Orders and requests that were carried out before, and so not again."""

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
            if not wanted[number].moment_given:  # the moment of the first time stands
                first = wanted[number].order.with_header(placed_at=order.header.placed_at)
                wanted[number] = replace(wanted[number], order=first)
        known = await orders.load_placements(self.uow.connection, sorted(existing))
        new = [item for number, item in wanted.items() if number not in existing]
        for item in new:
            placement.check_length(item.order)
            if item.customer is not None:
                await placement.save_customer(self.uow, item.order.customer, item.customer)
        contents = {number: item.content or canonical_bytes(item.order) for number, item in wanted.items()}
        created = await self._insert([item.order for item in new], contents)
        quicker = [item.order.number for item in new if item.order.number not in created]
        known |= await orders.load_placements(self.uow.connection, quicker)
        self.created |= created
        found = await self.load(list(wanted))
        for number, item in wanted.items():
            if number in created:
                continue
            if not await self._is(found[number][0], item.order, known.get(number), contents[number]):
                raise placement.conflicting_order_error(number)
        return [found[item.order.number][0] for item in placements]

    async def _insert(self, items: Sequence[OrderInput], contents: Mapping[str, bytes]) -> set[str]:
        """Store orders that are new, with prices, address, tax and priority filled in, and begin their histories."""
        customer_of, catalog = await self._references(items)
        placed = []
        for item in items:
            priced = with_default_address(with_list_prices(item, catalog), customer_of[item.customer])
            placed.append(self._new_order(priced, customer_of, catalog))
        return await self._store([self._taxed_by_rules(order) for order in placed], contents)

    async def _insert_derived(self, item: OrderInput) -> None:
        """Store an order made from another one; its prices, address and tax stand as they are."""
        customer_of, catalog = await self._references([item])
        if not await self._store([self._new_order(item, customer_of, catalog)], {}):
            raise placement.conflicting_order_error(item.number)  # somebody else took the number this very moment

    async def _references(self, items: Sequence[OrderInput]) -> tuple[dict[str, Customer], dict[str, Product]]:
        """Their customers by number and products by SKU; UnknownReferenceError where one is not stored, unless the
        rules keep orders of unknown products."""
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
        late = self.rules.priority_needs_history  # which counts stored orders, these among them
        placed: list[tuple[Order, str | None]] = []
        for order in new if late else self._prioritized(new, {}):
            content, key = contents.get(order.number), order.tracking_key or ""
            placed.append((order, None if content is None else placement.digest(key, content)))
        urgent_from = self.rules.urgent_from
        created = await orders.insert_placed(self.uow, placed, urgent_from=urgent_from)
        stored = [order for order, _ in placed if order.number in created]
        if late:
            stored = self._prioritized(stored, await standings(self.uow.connection, stored))
            await orders.set_priorities(self.uow, stored, urgent_from=urgent_from)
        await order_history.write(self.uow, [(order.state, 0, ()) for order in stored], actor=self.actor)
        self._known |= {order.number: (order, 1) for order in stored}
        return created

    def _prioritized(self, some: Sequence[Order], histories: Mapping[str, CustomerHistory]) -> list[Order]:
        now, priority = self.uow.now, self.rules.priority
        return [
            evolved(order, {"priority": priority(facts_of(order, now, histories.get(order.number)))}) for order in some
        ]

    async def _is(self, order: Order, item: OrderInput, placed: Placed | None, said: bytes) -> bool:
        """Whether `item` is what was placed as `order`."""
        if placed is not None:
            return hmac.compare_digest(placement.digest(placed.tracking_key, said), placed.digest or "")
        catalog = await products.find(self.uow.connection, {line.sku for line in item.lines})
        item = with_list_prices(item, catalog)
        if not placement.same_head(order, item):
            return False
        # Where lines were changed since, they prove nothing.
        return placement.same_lines(order, item) or await order_history.has_event(
            self.uow.connection, order.number, EventKind.CHANGED
        )

    async def execute_all(self, commands: Sequence[OrderCommand]) -> list[OrderState]:
        """Carry out `commands` in their order, all or none; the progress of their orders afterwards, in that order.

        Raises CommandError for the first that is refused. One whose request was carried out before is left out.
        """
        numbers = list(dict.fromkeys(command.number for command in commands))
        await self.load(numbers)
        commands = await self._new(commands)
        cases = {number: self._case(order, events) for number, (order, events) in (await self.load(numbers)).items()}
        invoicing = sum(isinstance(command.event, IssueInvoice) for command in commands)
        numbered = iter(await invoices.take_numbers(self.uow, invoicing))
        for command in commands:
            if isinstance(command.event, IssueInvoice):
                numbered_event = replace(command.event, reference=next(numbered))
                command = replace(command, event=numbered_event, asked=command.asked or command.event)
            for part in await self._parts(cases[command.number], command):
                await self._act(cases[command.number], part)
        every = [cases[number] for number in numbers]
        found = [case for case in every if case.entries]
        await stock_moves.apply_moves(self.uow, [case.move for case in found if case.steps], self.rules.routing)
        await self._save(found)
        await invoices.issue(self.uow, [invoice for case in found for invoice in case.issued])
        told = [item for case in found for item in case.owed if item.kind in self.rules.notified_kinds]
        await notifications.capture(self.uow, told)
        for case in found:
            for made in case.made:
                await self._insert_derived(made.item)
                await self.execute_all([OrderCommand(number=made.item.number, event=event) for event in made.events])
        return [case.state for case in every]

    async def is_replay(self, command: OrderCommand) -> bool:
        """Whether this very request was carried out before; CommandError if something else was asked by its name.

        Its order is locked afterwards: of several callers with the same request one acts, and the others repeat it.
        """
        await self.load([command.number])
        return not await self._new([command])

    def check_version(self, order: Order, version: int | None) -> None:
        """CommandError unless the order is the one that the caller has seen."""
        if version is not None and version != order.version:
            raise CommandError(
                f"Order {order.number} has changed meanwhile: it is at version {order.version}, not {version}.",
                hint="Look at it again, and repeat what still makes sense.",
                field="version",
                rule="version",
            )

    async def _new(self, commands: Sequence[OrderCommand]) -> Sequence[OrderCommand]:
        """Those that are no repeats; the orders are locked, so nobody else can carry them out meanwhile."""
        new, replayed = await split_replays(self.uow.connection, commands)
        self.repeated |= replayed
        return new

    async def load(self, numbers: Sequence[str]) -> dict[str, tuple[Order, int]]:
        """The orders, locked, with the length of their histories; CommandError for one that is not there."""
        missing = [number for number in dict.fromkeys(numbers) if number not in self._known]
        if missing:
            self._known |= await order_state.load(self.uow, missing)
        for number in missing:
            if number not in self._known:
                raise CommandError(f"There is no order {number}.", field="number", rule="unknown")
        return {number: self._known[number] for number in numbers}

    async def order(self, number: str) -> Order:
        """The order, locked, as this transaction has left it; CommandError if there is none."""
        return (await self.load([number]))[number][0]

    async def orders(self, numbers: Sequence[str]) -> list[Order]:
        """The orders, locked, as this transaction has left them; CommandError for one that is not there."""
        return [order for order, _ in (await self.load(numbers)).values()]

    def has_locked(self, number: str) -> bool:
        return number in self._known

    async def _parts(self, case: OrderChangeSet, command: OrderCommand) -> Sequence[OrderCommand]:
        """`command` itself; of goods that lie in several warehouses, one parcel each."""
        moved = any(not isinstance(step.event, Pack) for step in case.steps)
        if not isinstance(command.event, Pack) or command.event.warehouse or moved:
            return [command]
        self.check_version(case.order, command.version)
        event = with_defaults(case.state, command.event)
        assert isinstance(event, Pack)
        events = await stock_moves.split_into_parcels(self.uow.connection, case.state, event)
        return attribute_to(command, [replace(command, event=part, request=None) for part in events])

    async def _act(self, case: OrderChangeSet, command: OrderCommand) -> None:
        order, event = case.order, command.event
        self.check_version(order, command.version)
        delivered = isinstance(event, Track) and event.status is ShipmentStatus.DELIVERED
        if isinstance(event, Ship | Deliver | RequestReturn) or (isinstance(event, Track) and delivered):
            event = event if event.on else replace(event, on=self.uow.now.date())
        if isinstance(event, ChangeOrder):
            event = self._taxed(case.shown, await with_edit_defaults(self.uow.connection, order, event))
        if isinstance(event, SplitOrder):
            if event.reference:
                what = "got the number of the new order, which is given here"
                raise rejection(case.state, event, "reference", what, "Leave it out.")
            event = replace(
                event, reference=await derived_orders.free_number(self.uow.connection, case.made, order, "S")
            )
        if isinstance(event, EventAtWarehouse):
            event = await stock_moves.with_lines_in_warehouse(self.uow.connection, order, case.state, event)
        event = with_defaults(case.state, event)
        after = apply(case.state, event)
        if isinstance(event, StockEvent):
            case.steps.append(stock_moves.Step(event=event, before=case.state, after=after))
        replaces = _replaced(case.state, after) if isinstance(event, InspectReturn | CloseReturn) else None
        if replaces is not None and isinstance(event, InspectReturn | CloseReturn):
            event = replace(
                event, reference=await derived_orders.free_number(self.uow.connection, case.made, order, "R")
            )
            case.made.append(derived_orders.replacement(order, after, replaces, event, self.uow.now))
        if isinstance(event, SplitOrder):
            case.made.append(derived_orders.part(order, case.state, event))
        entry = EventEntry(event=event, before=case.state.stage, after=after.stage, request=command.named)
        case.entries.append(entry)
        sequence = case.length
        while (stage := next_automatic_stage(after)) is not None:  # bounded: a stage never comes again
            advance = Advance(to=stage)
            moved = apply(after, advance)
            case.entries.append(EventEntry(event=advance, before=after.stage, after=moved.stage))
            after = moved
        case.owed += notifications_for(event, case.state, after, sequence)
        if isinstance(event, IssueInvoice) and event.reference and event.amount:
            case.issued.append(self._invoice(event.reference, event.amount, case))
        case.state = after

    def _tax_rate(self, order: Order) -> Decimal | None:
        """What comes on top: as the order says, else by the rules where prices are net."""
        billing = self.rules.billing
        if order.header.tax_rate is not None or not billing.net:
            return order.header.tax_rate
        return billing.rate(facts_of(order, self.uow.now))

    def _taxed(self, order: Order, event: ChangeOrder) -> ChangeOrder:
        """A change of address may change the tax, unless the order came with a rate that is not by the rules."""
        billing = self.rules.billing
        if not billing.net or "tax_rate" in event.details or not event.details.keys() & ADDRESS:
            return event
        by_rules = billing.rate(facts_of(order, self.uow.now))
        there = billing.rate(facts_of(order.with_header(**event.details), self.uow.now))
        if order.header.tax_rate != by_rules or there == by_rules:
            return event
        return replace(event, details={**event.details, "tax_rate": there})

    def _invoice(self, number: str, amount: Decimal, case: OrderChangeSet) -> Invoice:
        order, now = case.order, self.uow.now
        view = build_invoice(number, order, case.state, amount, now, self.rules.billing)
        return Invoice(
            number=number,
            order_number=order.number,
            issued_at=now,
            currency=order.currency,
            amount=amount,
            body=dump(view),
        )

    async def _save(self, cases: Sequence[OrderChangeSet]) -> None:
        changed = [case for case in cases if any(entry.event.action is Action.CHANGE for entry in case.entries)]
        asked = [case.order for case in changed] if self.rules.priority_needs_history else []
        known = await standings(self.uow.connection, asked)
        shown = {case.order.number: case.shown for case in cases}
        for number in [case.order.number for case in changed]:
            facts = facts_of(shown[number], self.uow.now, known.get(number))
            shown[number] = evolved(shown[number], {"priority": self.rules.priority(facts)})
        moved = [
            OrderChange(
                order=shown[case.order.number],
                stored=case.order.header,
                before=case.before,
                events=case.events,
                after=case.state,
                entries=tuple(case.entries),
                lane=Lane.URGENT if shown[case.order.number].priority >= self.rules.urgent_from else Lane.STATUS,
            )
            for case in cases
        ]
        await order_state.save(self.uow, moved, actor=self.actor)
        for item in moved:
            del self._known[item.order.number]
            if not any(entry.event.action is Action.CHANGE for entry in item.entries):
                order = item.order.at(item.after)
                self._known[order.number] = (order, order_history.length(item.events, item.entries))

    def _case(self, order: Order, events: int) -> OrderChangeSet:
        return OrderChangeSet(order=order, events=events, before=order.state, state=order.state)


def _replaced(before: OrderState, after: OrderState) -> int | None:
    """The return that is closed now and asks for a replacement."""
    for number, item in after.returns.items():
        if item.status is ReturnStatus.CLOSED and before.returns[number].status is not ReturnStatus.CLOSED:
            return number if derived_orders.to_replace(item) else None
    return None
