"""Loads orders for a change, and writes their new state together with the history.

Rows are locked in key order, so that two commands on the same orders wait for each other instead of deadlocking. The
caller checks the version of an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Update, bindparam, delete, insert, select, update

from connector.model.change import EntityKind
from connector.model.events import ChangeOrder, EscalateHold, HoldEvent, LineEdit, PlaceHold
from connector.model.lane import Lane
from connector.model.order import MOVING, Order
from connector.model.order_header import HEADER_FIELDS, OrderHeader
from connector.model.order_return import return_key
from connector.model.order_state import OrderState
from connector.model.platform_event import status_events
from connector.model.stage import OPEN
from connector.store import field_times, order_history, shipments, waiting_lines
from connector.store import orders as order_store
from connector.store.order_history import EventEntry
from connector.store.orders import MONEY
from connector.store.partitions import slot_of
from connector.store.sql import Row, select_in
from connector.store.tables import holds, order_lines, orders
from connector.store.unit_of_work import UnitOfWork

_OF_ORDER = ("priority", "tracking_key")


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderChange:
    """An order whose state `entries` have changed from `before` to `after`. `stored` is the header in the database;
    `history_length` is the number of stored events."""

    order: Order
    stored: OrderHeader
    before: OrderState
    history_length: int
    after: OrderState
    entries: tuple[EventEntry, ...] = ()
    lane: Lane = Lane.STATUS


_LOCKED = select(orders.c.number).order_by(orders.c.number).with_for_update()


async def load(uow: UnitOfWork, numbers: Sequence[str]) -> dict[str, tuple[Order, int]]:
    """Lock the orders of `numbers` until the transaction ends, and return each with the length of its history."""
    # Locked by a separate statement: after a wait, a join would return the new order with the old customer.
    await select_in(uow.connection, _LOCKED, orders.c.number, sorted(numbers))
    loaded = await order_store.load_with_history_length(uow.connection, numbers)
    return {order.number: (order, events) for order, events in loaded}


async def save(uow: UnitOfWork, changes: Sequence[OrderChange], *, actor: str) -> None:
    """Write the changes of these orders, add the entries to their histories, and capture the orders for the org."""
    if not changes:
        return
    await order_history.write(uow, [(item.before, item.history_length, item.entries) for item in changes], actor=actor)
    await _save_orders(uow, changes)
    await _save_lines(uow, changes)
    await waiting_lines.refresh(uow, [item.order.number for item in changes if _may_wait_otherwise(item)])
    await _save_holds(uow, changes, actor)
    await shipments.save(uow, [(item.before, item.after, item.history_length == 0) for item in changes])
    for item in changes:
        for number, back in item.after.returns.items():
            if item.before.returns.get(number) != back:
                key = return_key(item.order.number, number)
                uow.changed(EntityKind.RETURN, key, slot_of(item.order), item.lane)
        uow.changed(EntityKind.ORDER, item.order.number, slot_of(item.order), item.lane)
        if uow.publishes_status:
            first = order_history.length(item.history_length, ()) + 1
            entries = enumerate(item.entries, start=first)
            steps = [(place, entry.before or entry.after, entry.after) for place, entry in entries]
            uow.publish(status_events(item.order.number, steps, item.before.holds, item.after.holds))


def _may_wait_otherwise(item: OrderChange) -> bool:
    """Whether other lines of the order may wait for stock now: its stock may not have been managed here before."""
    managed = all(line.waits for line in item.order.lines)
    return waiting_lines.has_changed(item.before, item.after) or (item.after.stage in OPEN and not managed)


async def _save_orders(uow: UnitOfWork, changes: Sequence[OrderChange]) -> None:
    """Update the orders; of the header only the columns that changed in at least one of them."""
    headers = [(item.stored, item.after.header) for item in changes if item.stored is not item.after.header]
    changed = [
        name
        for name in HEADER_FIELDS
        if any(getattr(stored, name) != getattr(header, name) for stored, header in headers)
    ]
    headers_by_key = [(item.order.number, item.stored, item.after.header) for item in changes]
    await field_times.note(uow, EntityKind.ORDER, headers_by_key, changed)
    rows = [_order_row(item, changed) | {"new_updated_at": uow.now} for item in changes]
    await uow.connection.execute(_update_orders(tuple(changed)), rows)


@lru_cache(maxsize=256)
def _update_orders(header_fields: tuple[str, ...]) -> Update:
    # A parameter with the name of a column would be taken for a value to set.
    names = ("stage", "events", *_OF_ORDER, *MONEY, *header_fields, "updated_at")
    values: Row = {name: bindparam(f"new_{name}") for name in names}
    return (
        update(orders).where(orders.c.number == bindparam("the_number")).values(**values, version=orders.c.version + 1)
    )


def _order_row(item: OrderChange, header_fields: Sequence[str]) -> Row:
    order, state = item.order, item.after
    return {
        "the_number": order.number,
        "new_stage": state.stage.value,
        "new_events": order_history.length(item.history_length, item.entries),
        **{f"new_{name}": getattr(order, name) for name in _OF_ORDER},
        **{f"new_{name}": getattr(state, name) for name in MONEY},
        **{f"new_{name}": getattr(state.header, name) for name in header_fields},
    }


_UPDATE_LINES = (
    update(order_lines)
    .where(order_lines.c.order_number == bindparam("the_order"), order_lines.c.number == bindparam("the_line"))
    .values({name: bindparam(f"new_{name}") for name in MOVING})
)


async def _save_lines(uow: UnitOfWork, changes: Sequence[OrderChange]) -> None:
    rows: list[Row] = []
    for item in changes:
        await _edit_lines(uow, item)
        for number, line in item.after.lines.items():
            # Before the first command the quantities of an imported order follow from its stage and are not stored.
            if item.history_length == 0 or line != item.before.lines.get(number):
                values = {f"new_{name}": getattr(line, name) for name in MOVING}
                rows.append({"the_order": item.order.number, "the_line": number} | values)
    if rows:
        await uow.connection.execute(_UPDATE_LINES, rows)


async def _edit_lines(uow: UnitOfWork, item: OrderChange) -> None:
    """Insert, delete or update the lines that the order's changes have edited."""
    edits: dict[int, LineEdit] = {}
    for entry in item.entries:
        if isinstance(entry.event, ChangeOrder):
            edits |= entry.event.line_edits
    await field_times.note_lines(uow, item.order.number, edits)
    for number, new in sorted(edits.items()):
        here = (order_lines.c.order_number == item.order.number) & (order_lines.c.number == number)
        is_stored = number in item.before.lines
        if number not in item.after.lines:
            await uow.connection.execute(delete(order_lines).where(here))
            continue
        values = {
            "sku": new.sku, "quantity": new.quantity, "unit_price": new.unit_price, "discount": new.discount
        }  # fmt: skip
        if is_stored:
            await uow.connection.execute(update(order_lines).where(here).values(values))
        else:
            row = {"order_number": item.order.number, "number": number} | values
            await uow.connection.execute(insert(order_lines), [row])


_IS_HOLD = (holds.c.order_number == bindparam("the_order"), holds.c.reason == bindparam("the_reason"))
_INSERT_HOLDS = insert(holds)
_DELETE_HOLD = delete(holds).where(*_IS_HOLD)
_ESCALATE_HOLD = update(holds).where(*_IS_HOLD).values(escalated_at=bindparam("the_time"))


async def _save_holds(uow: UnitOfWork, changes: Sequence[OrderChange], actor: str) -> None:
    new_rows: list[Row] = []
    for item in changes:
        events = [entry.event for entry in item.entries if isinstance(entry.event, HoldEvent)]
        if item.after.holds == item.before.holds and not events:
            continue
        place_events = {event.hold: event for event in events if isinstance(event, PlaceHold)}
        for event in events:
            if isinstance(event, EscalateHold):
                values = {"the_order": item.order.number, "the_reason": event.hold.value, "the_time": uow.now}
                await uow.connection.execute(_ESCALATE_HOLD, values)
        for reason in sorted(item.after.holds - item.before.holds):
            row = {"order_number": item.order.number, "reason": reason.value, "since": uow.now, "placed_by": actor}
            new_rows.append(row | {"note": place_events[reason].note, "rules": place_events[reason].reference})
        for reason in sorted(item.before.holds - item.after.holds):
            values = {"the_order": item.order.number, "the_reason": reason.value}
            await uow.connection.execute(_DELETE_HOLD, values)
    if new_rows:
        await uow.connection.execute(_INSERT_HOLDS, new_rows)
