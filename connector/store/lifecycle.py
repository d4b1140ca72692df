"""What orders have gone through: their progress, read for change and written back together with the history.

An order's version is checked where the caller names one; rows are locked in key order, so that two commands on the same
orders wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.lifecycle import Action, Event
from connector.model.money import plain
from connector.model.order import Order
from connector.model.progress import Hold, LineProgress, Progress
from connector.model.stage import Stage
from connector.store import orders as order_store
from connector.store.bulk import Row, select_in
from connector.store.tables import holds, order_events, order_lines, orders
from connector.store.unit import Lane, UnitOfWork, slot_of

_MONEY = ("invoiced", "authorised", "captured", "refunded", "declined")
_QUANTITIES = ("allocated", "picked", "shipped", "delivered", "returned", "cancelled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One event with the stage it found and the stage it left (None: there was nothing before it)."""

    event: Event
    before: Stage | None
    after: Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded(Entry):
    """An event as it stands in the history; `sequence` counts from 1. The first holds the progress it began with."""

    sequence: int
    at: datetime
    actor: str
    begun: Progress | None

    @property
    def said(self) -> dict[str, Any]:
        """The event as plain values, without what it leaves out."""
        return {"action": self.event.action.value, **_detail(self.event)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """An order that entries have led from `order.progress` to `progress`."""

    order: Order
    events: int
    progress: Progress
    entries: tuple[Entry, ...]


async def load(uow: UnitOfWork, numbers: Sequence[str]) -> dict[str, tuple[Order, int]]:
    """The orders of `numbers`, locked until the end of the transaction, with the length of their history."""
    locking = select(orders.c.number, orders.c.events).order_by(orders.c.number).with_for_update()
    events = {row.number: row.events for row in await select_in(uow.connection, locking, orders.c.number, numbers)}
    return {order.number: (order, events[order.number]) for order in await order_store.load(uow.connection, numbers)}


async def save(uow: UnitOfWork, moved: Sequence[Moved], *, actor: str) -> None:
    """Write what has changed of these orders, and add to their histories. Their changes are captured."""
    history: list[Row] = []
    for item in moved:
        entries = item.entries
        if item.events == 0:
            stage = item.order.stage
            entries = (Entry(event=Event(action=Action.BEGIN), before=None, after=stage), *entries)
        for sequence, entry in enumerate(entries, start=item.events + 1):
            detail = _detail(entry.event) if sequence > 1 else _dump(item.order.progress)
            history.append(
                {
                    "order_number": item.order.number,
                    "sequence": sequence,
                    "at": uow.now,
                    "actor": actor,
                    "action": entry.event.action.value,
                    "stage_before": entry.before and entry.before.value,
                    "stage_after": entry.after.value,
                    "detail": orjson.dumps(detail).decode(),
                }
            )
        uow.changed(EntityKind.ORDER, item.order.number, slot_of(item.order.customer.number), Lane.STATUS)
    if history:
        await uow.connection.execute(insert(order_events), history)
        await _save_orders(uow, moved)
        await _save_lines(uow, moved)
        await _save_holds(uow, moved, actor)


async def history(connection: AsyncConnection, number: str) -> list[Recorded]:
    """Everything that happened to one order, the first first; empty for one that was only imported."""
    statement = select(order_events).where(order_events.c.order_number == number).order_by(order_events.c.sequence)
    return [_recorded(row) for row in await connection.execute(statement)]


async def _save_orders(uow: UnitOfWork, moved: Sequence[Moved]) -> None:
    # A parameter named as the column would be taken for a value to set.
    names = ("stage", "events", "carrier", "tracking_number", "shipped_on", *_MONEY)
    statement = (
        update(orders)
        .where(orders.c.number == bindparam("the_number"))
        .values(**{name: bindparam(f"new_{name}") for name in names}, version=orders.c.version + 1, updated_at=uow.now)
    )
    await uow.connection.execute(statement, [_order_row(item) for item in moved])


def _order_row(item: Moved) -> Row:
    order, progress = item.order, item.progress
    first = item.events == 0
    return {
        "the_number": order.number,
        "new_stage": progress.stage.value,
        "new_events": item.events + len(item.entries) + first,
        "new_carrier": order.carrier,
        "new_tracking_number": order.tracking_number,
        "new_shipped_on": order.shipped_on,
        **{f"new_{name}": getattr(progress, name) for name in _MONEY},
    }


async def _save_lines(uow: UnitOfWork, moved: Sequence[Moved]) -> None:
    rows = []
    for item in moved:
        for number, line in item.progress.lines.items():
            # Before its first command an order's quantities are implied by its stage, and not stored.
            if item.events == 0 or line != item.order.progress.lines[number]:
                values = {f"new_{name}": getattr(line, name) for name in _QUANTITIES}
                rows.append({"the_order": item.order.number, "the_line": number} | values)
    statement = (
        update(order_lines)
        .where(order_lines.c.order_number == bindparam("the_order"), order_lines.c.number == bindparam("the_line"))
        .values({name: bindparam(f"new_{name}") for name in _QUANTITIES})
    )
    if rows:
        await uow.connection.execute(statement, rows)


async def _save_holds(uow: UnitOfWork, moved: Sequence[Moved], actor: str) -> None:
    placed: list[Row] = []
    for item in moved:
        notes = {entry.event.hold: entry.event.note for entry in item.entries if entry.event.action is Action.HOLD}
        for reason in sorted(item.progress.holds - item.order.holds):
            row = {"order_number": item.order.number, "reason": reason.value, "since": uow.now, "placed_by": actor}
            placed.append(row | {"note": notes.get(reason)})
        for reason in sorted(item.order.holds - item.progress.holds):
            gone = holds.c.order_number == item.order.number
            await uow.connection.execute(delete(holds).where(gone, holds.c.reason == reason.value))
    if placed:
        await uow.connection.execute(insert(holds), placed)


def _detail(event: Event) -> dict[str, Any]:
    """What an event says, without what it leaves out."""
    said = {
        "lines": {str(number): plain(quantity) for number, quantity in event.lines.items()},
        "amount": None if event.amount is None else plain(event.amount),
        "hold": event.hold,
        "to": event.to,
        "note": event.note,
        "carrier": event.carrier,
        "tracking_number": event.tracking_number,
    }
    return {name: value for name, value in said.items() if value}


def _dump(progress: Progress) -> dict[str, Any]:
    return {
        "stage": progress.stage,
        "lines": {
            str(number): {name: plain(getattr(line, name)) for name in ("ordered", "total", *_QUANTITIES)}
            for number, line in progress.lines.items()
        },
        "holds": sorted(progress.holds),
        "declined": progress.declined,
        **{name: plain(getattr(progress, name)) for name in ("freight", *_MONEY[:-1])},
    }


def _recorded(row: Any) -> Recorded:
    detail = orjson.loads(row.detail)
    first = row.action == Action.BEGIN
    return Recorded(
        event=Event(action=Action.BEGIN) if first else _event(Action(row.action), detail),
        before=Stage(row.stage_before) if row.stage_before else None,
        after=Stage(row.stage_after),
        sequence=row.sequence,
        at=row.at,
        actor=row.actor,
        begun=_load(row.order_number, detail) if first else None,
    )


def _event(action: Action, detail: Mapping[str, Any]) -> Event:
    return Event(
        action=action,
        lines={int(number): Decimal(quantity) for number, quantity in detail.get("lines", {}).items()},
        amount=Decimal(detail["amount"]) if "amount" in detail else None,
        hold=Hold(detail["hold"]) if "hold" in detail else None,
        to=Stage(detail["to"]) if "to" in detail else None,
        note=detail.get("note"),
        carrier=detail.get("carrier"),
        tracking_number=detail.get("tracking_number"),
    )


def _load(number: str, detail: Mapping[str, Any]) -> Progress:
    return Progress(
        number=number,
        stage=Stage(detail["stage"]),
        lines={
            int(line): LineProgress(**{name: Decimal(value) for name, value in values.items()})
            for line, values in detail["lines"].items()
        },
        holds=frozenset(Hold(reason) for reason in detail["holds"]),
        declined=detail["declined"],
        **{name: Decimal(detail[name]) for name in ("freight", *_MONEY[:-1])},
    )
