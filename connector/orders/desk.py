"""Commands on orders: each is checked against the order as it stands, written with its history, and moves its stock.

Everything a desk does belongs to one transaction: a command that is refused leaves nothing behind.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from connector.errors import CommandError
from connector.model.event import Action, Event
from connector.model.lifecycle import apply, follow
from connector.model.message import Owed
from connector.model.order import Order, OrderInput
from connector.model.parcels import ReturnStatus, ShipmentStatus
from connector.model.progress import Progress
from connector.model.stage import Stage
from connector.orders import offspring, stockroom
from connector.orders.documents.invoice import dump, put_together
from connector.orders.facts import facts_of
from connector.orders.messages import owed
from connector.orders.rules import Rules, standard
from connector.orders.terms import completed, priced
from connector.store import history, invoices, lifecycle, messages, orders
from connector.store.history import Entry
from connector.store.invoices import Invoice
from connector.store.lifecycle import Moved
from connector.store.standing import standings
from connector.store.unit import Lane, UnitOfWork

TODAY = frozenset({Action.SHIP, Action.DELIVER, Action.REQUEST_RETURN})
"""Events that happen today, unless they say on which day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """An event asked of an order. `version`: only if the order is still the one that the caller has seen."""

    number: str
    event: Event
    version: int | None = None


@dataclass(kw_only=True, slots=True)
class _Case:
    """One order on the desk: as it was found, as it is by now, and what has happened in between."""

    order: Order
    events: int
    before: Progress
    progress: Progress
    shown: Order
    entries: list[Entry] = field(default_factory=list)
    made: list[offspring.Made] = field(default_factory=list)
    issued: list[Invoice] = field(default_factory=list)
    owed: list[Owed] = field(default_factory=list)

    @property
    def length(self) -> int:
        """How long its history is by now: it begins with an event of its own."""
        return self.events + len(self.entries) + (self.events == 0)

    @property
    def move(self) -> stockroom.Move:
        events = [entry.event for entry in self.entries]
        return stockroom.Move(
            order=self.order,
            before=self.before,
            after=self.progress,
            back=[event for event in events if event.action is Action.INSPECT_RETURN and event.lines],
            at=frozenset(event.warehouse for event in events if event.action is Action.DEALLOCATE),
        )


class Desk:
    """Where `actor` (a person or a job, for the history) acts on orders, by `rules`."""

    def __init__(self, uow: UnitOfWork, *, actor: str, rules: Rules | None = None) -> None:
        self.uow = uow
        self.actor = actor
        self.rules = rules or standard()
        self._known: dict[str, tuple[Order, int]] = {}
        """Orders that this transaction has locked, as it has left them."""
        self._progress: dict[str, Progress] = {}
        """Theirs, where it is known without being computed again."""

    async def place(self, items: Sequence[OrderInput]) -> list[Progress]:
        """Place new orders. One that is there with the same content is left as it is, however far it has come; another
        one under the same number is refused."""
        items = await priced(self.uow.connection, items)
        numbers = [item.number for item in items]
        known = {order.number: order for order in await orders.load(self.uow.connection, numbers)}
        new: dict[str, OrderInput] = {}
        for item in items:
            _check_new(item)
            other = item.number in known and not await self._is(known[item.number], item)
            if other or new.get(item.number, item) != item:
                raise CommandError(
                    f"There is another order {item.number}, with other content.", field="number", rule="idempotency"
                )
            if item.number not in known:
                new[item.number] = item
        await orders.save(self.uow, list(new.values()))
        await self.take_up(list(new))
        found = await self.load(numbers)
        return [found[number][0].progress for number in numbers]

    async def _is(self, order: Order, item: OrderInput) -> bool:
        """Whether `item` is what was placed as `order`; where lines were changed since, they prove nothing."""
        if _head(order) != (item.customer, item.currency, item.placed_at):
            return False
        return _lines(order) == _lines_of(item) or await history.has(self.uow.connection, order.number, Action.CHANGE)

    async def take_up(self, numbers: Sequence[str]) -> None:
        """Begin the histories of orders that have just been stored."""
        found = (await self.load(numbers)).values()
        cases = [self._case(order, events) for order, events in found]
        for case in cases:
            case.shown = replace(case.order, tracking_key=secrets.token_urlsafe(16))
        await self._save(cases, new=True)

    async def act(self, commands: Sequence[Command]) -> list[Progress]:
        """Carry out `commands` in their order, all or none; the progress of their orders afterwards, in that order.

        Raises CommandError for the first that is refused.
        """
        numbers = list(dict.fromkeys(command.number for command in commands))
        cases = {number: self._case(order, events) for number, (order, events) in (await self.load(numbers)).items()}
        invoicing = sum(command.event.action is Action.INVOICE for command in commands)
        numbered = iter(await invoices.take_numbers(self.uow, invoicing))
        for command in commands:
            if command.event.action is Action.INVOICE:
                command = replace(command, event=replace(command.event, reference=next(numbered)))
            await self._act(cases[command.number], command)
        found = [cases[number] for number in numbers]
        await stockroom.move(self.uow, [case.move for case in found], self.rules.routing)
        await self._save(found)
        await invoices.issue(self.uow, [invoice for case in found for invoice in case.issued])
        told = [item for case in found for item in case.owed if item.kind in self.rules.told]
        await messages.capture(self.uow, told)
        for case in found:
            for made in case.made:
                await orders.save(self.uow, [made.item])
                await self.take_up([made.item.number])
                await self.act([Command(number=made.item.number, event=event) for event in made.events])
        return [case.progress for case in found]

    async def load(self, numbers: Sequence[str]) -> dict[str, tuple[Order, int]]:
        """The orders, locked, with the length of their histories; CommandError for one that is not there."""
        missing = [number for number in dict.fromkeys(numbers) if number not in self._known]
        if missing:
            self._known |= await lifecycle.load(self.uow, missing)
        for number in missing:
            if number not in self._known:
                raise CommandError(f"There is no order {number}.", field="number", rule="unknown")
        return {number: self._known[number] for number in numbers}

    async def _act(self, case: _Case, command: Command) -> None:
        order, event = case.order, command.event
        if command.version is not None and command.version != order.version:
            raise CommandError(
                f"Order {order.number} has changed meanwhile: it is at version {order.version}, not {command.version}.",
                hint="Look at it again, and repeat what still makes sense.",
                field="version",
                rule="version",
            )
        if event.on is None and (event.action in TODAY or event.status is ShipmentStatus.DELIVERED):
            event = replace(event, on=self.uow.now.date())
        if event.action is Action.CHANGE:
            event = await completed(self.uow.connection, order, event)
        if event.action is Action.SPLIT and not event.reference:
            event = replace(event, reference=await offspring.free_number(self.uow.connection, order, "S"))
        after = apply(case.progress, event)
        replaces = _replaced(case.progress, after, event)
        if replaces is not None:
            event = replace(event, reference=await offspring.free_number(self.uow.connection, order, "R"))
            case.made.append(offspring.replacement(order, after, replaces, event, self.uow.now))
        if event.action is Action.SPLIT:
            case.made.append(offspring.part(order, case.progress, event))
        case.entries.append(Entry(event=event, before=case.progress.stage, after=after.stage))
        sequence = case.length
        while (stage := follow(after)) is not None:  # bounded: a stage never comes again
            moved = apply(after, Event(action=Action.ADVANCE, to=stage))
            advance = Event(action=Action.ADVANCE, to=stage)
            case.entries.append(Entry(event=advance, before=after.stage, after=moved.stage))
            after = moved
        case.owed += owed(event, case.progress, after, sequence)
        if event.action is Action.SHIP:
            case.shown = _on_its_way(case.shown, after)
        if event.action is Action.INVOICE and event.reference and event.amount:
            case.shown = replace(case.shown, invoice_number=event.reference)
            case.issued.append(self._invoice(event.reference, event.amount, case))
        case.progress = after

    def _invoice(self, number: str, amount: Decimal, case: _Case) -> Invoice:
        order, now = case.order, self.uow.now
        view = put_together(number, order, case.progress, amount, now, self.rules.billing)
        return Invoice(
            number=number,
            order_number=order.number,
            issued_at=now,
            currency=order.currency,
            amount=amount,
            body=dump(view),
        )

    async def _save(self, cases: Sequence[_Case], *, new: bool = False) -> None:
        changed = [case for case in cases if new or any(entry.event.action is Action.CHANGE for entry in case.entries)]
        asked = [case.order for case in changed] if self.rules.priority_asks_for_standing else []
        known = await standings(self.uow.connection, asked)
        for case in changed:
            facts = facts_of(case.order, self.uow.now, known.get(case.order.number))
            case.shown = replace(case.shown, priority=self.rules.priority(facts))
        usual = Lane.NEW if new else Lane.STATUS
        moved = [
            Moved(
                order=case.shown,
                before=case.before,
                events=case.events,
                progress=case.progress,
                entries=tuple(case.entries),
                lane=Lane.URGENT if case.shown.priority >= self.rules.urgent_from else usual,
            )
            for case in cases
        ]
        await lifecycle.save(self.uow, moved, actor=self.actor)
        for item in moved:
            del self._known[item.order.number]
            self._progress.pop(item.order.number, None)
            if not any(entry.event.action is Action.CHANGE for entry in item.entries):
                order = replace(item.order.at(item.progress, item.before), version=item.order.version + 1)
                self._known[order.number] = (order, lifecycle.length(item))
                self._progress[order.number] = item.progress

    def _case(self, order: Order, events: int) -> _Case:
        progress = self._progress.get(order.number) or order.progress
        return _Case(order=order, events=events, before=progress, progress=progress, shown=order)


def _check_new(item: OrderInput) -> None:
    if item.stage is not Stage.PLACED:
        raise CommandError(
            f"Order {item.number} cannot be placed as {item.stage}.",
            hint="Place it, and act on it; or import it.",
            field="stage",
            rule="stage",
        )
    if not item.lines:
        raise CommandError(f"Order {item.number} has no lines.", hint="Name at least one.", field="lines", rule="lines")


def _replaced(before: Progress, after: Progress, event: Event) -> int | None:
    """The return that is closed now and asks for a replacement."""
    for number, item in after.returns.items():
        if item.status is ReturnStatus.CLOSED and before.returns[number].status is not ReturnStatus.CLOSED:
            return number if offspring.to_replace(item) else None
    return None


def _on_its_way(order: Order, progress: Progress) -> Order:
    """The order shows its latest shipment."""
    parcel = max((item for item in progress.shipments.values() if item.shipped_on), key=lambda item: item.number)
    return replace(order, carrier=parcel.carrier, tracking_number=parcel.tracking_number, shipped_on=parcel.shipped_on)


def _head(order: Order) -> tuple[object, ...]:
    return (order.customer.number, order.currency, order.placed_at)


def _lines(order: Order) -> dict[int, tuple[object, ...]]:
    return {line.number: (line.product.sku, line.quantity, line.unit_price, line.discount) for line in order.lines}


def _lines_of(item: OrderInput) -> dict[int, tuple[object, ...]]:
    return {line.number: (line.sku, line.quantity, line.unit_price, line.discount) for line in item.lines}
