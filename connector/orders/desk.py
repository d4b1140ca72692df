"""Commands on orders: each is checked against the order as it stands, written with its history, and moves its stock.

Everything a desk does belongs to one transaction: a command that is refused leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from connector.errors import CommandError
from connector.model.lifecycle import Action, Event, apply, follow
from connector.model.money import plain
from connector.model.order import Order, OrderInput
from connector.model.progress import ZERO, Progress
from connector.model.stage import Stage
from connector.orders.routing import route
from connector.store import lifecycle, orders, stock
from connector.store.lifecycle import Entry, Moved
from connector.store.stock import Level
from connector.store.unit import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """An event asked of an order. `version`: only if the order is still the one that the caller has seen."""

    number: str
    event: Event
    version: int | None = None


class Desk:
    """Where `actor` (a person or a job, for the history) acts on orders."""

    def __init__(self, uow: UnitOfWork, *, actor: str) -> None:
        self._uow = uow
        self._actor = actor

    async def place(self, items: Sequence[OrderInput]) -> list[Progress]:
        """Place new orders. One that is there with the same content is left as it is, however far it has come; another
        one under the same number is refused."""
        numbers = [item.number for item in items]
        known = {order.number: order for order in await orders.load(self._uow.connection, numbers)}
        new: dict[str, OrderInput] = {}
        for item in items:
            if item.stage is not Stage.PLACED:
                raise _refused(item.number, f"Order {item.number} cannot be placed as {item.stage}.", "stage", "stage")
            if not item.lines:
                raise _refused(item.number, f"Order {item.number} has no lines.", "lines", "lines")
            if (item.number in known and not _same(known[item.number], item)) or new.get(item.number, item) != item:
                raise _refused(
                    item.number,
                    f"There is another order {item.number}, with other content.",
                    "number",
                    "idempotency",
                )
            if item.number not in known:
                new[item.number] = item
        await orders.save(self._uow, list(new.values()))
        await self._save([(order, 0, order.progress, []) for order, _ in (await self._load(list(new))).values()])
        return [order.progress for order in await orders.load(self._uow.connection, numbers)]

    async def act(self, commands: Sequence[Command]) -> list[Progress]:
        """Carry out `commands` in their order, all or none; the progress of their orders afterwards, in that order.

        Raises CommandError for the first that is refused, StoreError for an order that is not there.
        """
        numbers = list(dict.fromkeys(command.number for command in commands))
        found = await self._load(numbers)
        progress = {number: order.progress for number, (order, _) in found.items()}
        orders_now = {number: order for number, (order, _) in found.items()}
        entries: dict[str, list[Entry]] = {number: [] for number in numbers}
        for command in commands:
            number, order = command.number, orders_now[command.number]
            if command.version is not None and command.version != order.version:
                raise _refused(
                    number,
                    f"Order {number} has changed meanwhile: it is at version {order.version}, not {command.version}.",
                    "version",
                    "version",
                )
            after = apply(progress[number], command.event)
            entries[number].append(Entry(event=command.event, before=progress[number].stage, after=after.stage))
            while (stage := follow(after)) is not None:  # bounded: a stage never comes again
                event = Event(action=Action.ADVANCE, to=stage)
                moved = apply(after, event)
                entries[number].append(Entry(event=event, before=after.stage, after=moved.stage))
                after = moved
            progress[number] = after
            if command.event.action is Action.SHIP:
                orders_now[number] = _on_its_way(order, command.event, self._uow)
        await self._move_stock([(found[number][0], progress[number]) for number in numbers])
        await self._save(
            [(orders_now[number], found[number][1], progress[number], entries[number]) for number in numbers]
        )
        return [progress[number] for number in numbers]

    async def allocate(self, numbers: Sequence[str]) -> list[Progress]:
        """Reserve what is there for these orders, the first first; what is not there stays open."""
        found = await self._load(numbers)
        skus = {line.product.sku for order, _ in found.values() for line in order.lines}
        free = {
            place: level.available
            for place, level in (await stock.levels(self._uow.connection, skus, lock=True)).items()
        }
        commands = []
        for number in numbers:
            order = found[number][0]
            chosen = route(_open(order, order.progress), free)
            lines: dict[int, Decimal] = {}
            sku_of = {line.number: line.product.sku for line in order.lines}
            for (line, warehouse), quantity in chosen.items():
                lines[line] = lines.get(line, ZERO) + quantity
                free[sku_of[line], warehouse] -= quantity
            if lines:
                commands.append(Command(number=number, event=Event(action=Action.ALLOCATE, lines=lines)))
        await self.act(commands)
        return [order.progress for order in await orders.load(self._uow.connection, numbers)]

    async def _load(self, numbers: Sequence[str]) -> dict[str, tuple[Order, int]]:
        found = await lifecycle.load(self._uow, numbers)
        for number in numbers:
            if number not in found:
                raise _refused(number, f"There is no order {number}.", "number", "unknown")
        return found

    async def _save(self, items: Sequence[tuple[Order, int, Progress, Sequence[Entry]]]) -> None:
        moved = [
            Moved(order=order, events=events, progress=progress, entries=tuple(entries))
            for order, events, progress, entries in items
        ]
        await lifecycle.save(self._uow, moved, actor=self._actor)

    async def _move_stock(self, items: Sequence[tuple[Order, Progress]]) -> None:
        """Reserve what was allocated, give back what was not used, take from the shelf what shipped."""
        concerned = [(order, after) for order, after in items if _moves_stock(order.progress, after)]
        if not concerned:
            return
        skus = {line.product.sku for order, _ in concerned for line in order.lines}
        levels = await stock.levels(self._uow.connection, skus, lock=True)
        held = await stock.reserved_for(self._uow.connection, [order.number for order, _ in concerned])
        known = dict(held)
        for order, after in concerned:
            self._reserve(order, after, levels, held)
            self._take(order, after, levels, held)
        changed = {key: quantity for key, quantity in held.items() if known.get(key) != quantity}
        await stock.put(self._uow, levels)
        await stock.keep(self._uow, changed)

    def _reserve(
        self,
        order: Order,
        after: Progress,
        levels: dict[tuple[str, str], Level],
        held: dict[tuple[str, int, str], Decimal],
    ) -> None:
        needs = {
            line.number: (line.product.sku, after.lines[line.number].allocated - line.allocated)
            for line in order.lines
            if after.lines[line.number].allocated > line.allocated
        }
        chosen = route(needs, {place: level.available for place, level in levels.items()})
        for number, (sku, wanted) in needs.items():
            there = sum((quantity for (line, _), quantity in chosen.items() if line == number), ZERO)
            if there < wanted:
                raise CommandError(
                    f"Order {order.number} cannot allocate {plain(wanted)} of {sku}: {plain(there)} is available.",
                    hint=f"Ask for {plain(there)} at most." if there else "",
                    field=f"lines.{number}",
                    rule="stock",
                )
        for (line, warehouse), quantity in chosen.items():
            _change(levels, (needs[line][0], warehouse), reserved=quantity)
            key = (order.number, line, warehouse)
            held[key] = held.get(key, ZERO) + quantity

    def _take(
        self,
        order: Order,
        after: Progress,
        levels: dict[tuple[str, str], Level],
        held: dict[tuple[str, int, str], Decimal],
    ) -> None:
        """Reservations fall by what shipped and by what is allocated no more."""
        for line in order.lines:
            now = after.lines[line.number]
            shipped = now.shipped - line.shipped
            left = now.allocated - now.shipped
            mine = [key for key in sorted(held) if key[:2] == (order.number, line.number)]
            too_much = sum((held[key] for key in mine), ZERO) - left
            for key in mine:
                part = min(held[key], too_much)
                gone = min(part, shipped)
                _change(levels, (line.product.sku, key[2]), reserved=-part, on_hand=-gone)
                held[key] -= part
                too_much -= part
                shipped -= gone


def _change(
    levels: dict[tuple[str, str], Level], place: tuple[str, str], *, reserved: Decimal, on_hand: Decimal = ZERO
) -> None:
    level = levels[place]
    levels[place] = Level(on_hand=level.on_hand + on_hand, reserved=level.reserved + reserved)


def _moves_stock(before: Progress, after: Progress) -> bool:
    return any(
        (line.allocated, line.shipped) != (after.lines[number].allocated, after.lines[number].shipped)
        for number, line in before.lines.items()
    )


def _open(order: Order, progress: Progress) -> Mapping[int, tuple[str, Decimal]]:
    """What of an order is not allocated yet."""
    lines = progress.lines
    return {
        line.number: (line.product.sku, lines[line.number].wanted - lines[line.number].allocated)
        for line in order.lines
    }


def _on_its_way(order: Order, event: Event, uow: UnitOfWork) -> Order:
    """The order shows its latest shipment."""
    return replace(order, carrier=event.carrier, tracking_number=event.tracking_number, shipped_on=uow.now.date())


def _same(order: Order, item: OrderInput) -> bool:
    """Whether `item` is what was placed as `order`; stage and shipping have moved since."""
    lines = {line.number: (line.product.sku, line.quantity, line.unit_price, line.discount) for line in order.lines}
    wanted = {line.number: (line.sku, line.quantity, line.unit_price, line.discount) for line in item.lines}
    return (order.customer.number, order.currency, order.placed_at, lines) == (
        item.customer,
        item.currency,
        item.placed_at,
        wanted,
    )


def _refused(number: str, message: str, place: str, rule: str) -> CommandError:
    return CommandError(message, field=place, rule=rule)
