"""Saves and loads orders with their lines. A save writes and captures only orders that differ from what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from operator import attrgetter
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import RetryClass, StoreError
from connector.model.change import EntityKind
from connector.model.copying import evolved
from connector.model.customer import Customer
from connector.model.holds import Hold
from connector.model.imported_state import as_imported
from connector.model.lane import Lane
from connector.model.order import MOVING, Line, LineInput, Order, OrderInput, exact_total
from connector.model.order_header import ANYTIME, HEADER_FIELDS, OF_SHIPMENT, OrderHeader
from connector.model.order_state import LineState, OrderState
from connector.model.product import Product
from connector.model.shipments import ZERO
from connector.model.stage import OPEN, Stage
from connector.store import customers as customer_store
from connector.store import field_times, shipments, waiting_lines
from connector.store import products as product_store
from connector.store.partitions import slot_of, slot_of_key
from connector.store.references import listed_keys, refuse_unknown
from connector.store.scope import scope_of, within_scope
from connector.store.sql import Row, Saved, all_keys, chunks, count_rows, insert_missing, select_in, update_rows
from connector.store.stock_orders import IS_ALLOCATED_STOCK
from connector.store.tables import customer_orgs, customers, holds, order_lines, orders
from connector.store.unit_of_work import UnitOfWork

HEADER_COLUMNS = tuple(orders.c[name] for name in HEADER_FIELDS)
_header_values = attrgetter(*HEADER_FIELDS)
MONEY = ("invoiced", "authorized", "captured", "refunded", "declined", "invoice_number")
"""The payment fields, as the state and the table name them."""
_LINE = tuple(order_lines.c[name] for name in ("order_number", "number", "sku", "quantity", "unit_price", "discount"))
_OWN = (
    *HEADER_COLUMNS,
    *(orders.c[name] for name in ("stage", "version", "events", "tracking_key", "priority", *MONEY)),
    IS_ALLOCATED_STOCK.label("stocked"),
)
_WITH_CUSTOMER = select(*_OWN, *customer_store.COLUMNS).join(customers, customers.c.number == orders.c.customer)
_MOVING = tuple(order_lines.c[name] for name in MOVING)
_LINES = select(*_LINE, *_MOVING).order_by(order_lines.c.order_number, order_lines.c.number)
_HOLDS = select(holds.c.order_number, holds.c.reason)
_LOCKED_INPUTS = select(*HEADER_COLUMNS, orders.c.customer, orders.c.stage).order_by(orders.c.number).with_for_update()
_PLACEMENTS = select(orders.c.number, orders.c.tracking_key, orders.c.placed_digest)
_WITH_HISTORY = select(orders.c.number).where(orders.c.events > 0)
_INPUT_LINES = select(*_LINE)
_INSERT_LINES = insert(order_lines)
_DELETE_LINES = delete(order_lines).where(order_lines.c.order_number.in_(bindparam("the_numbers", expanding=True)))
_BY_STAGE = select(orders.c.stage, func.count()).group_by(orders.c.stage)
_ASSIGNED_BY_STAGE = _BY_STAGE.join(customer_orgs, customer_orgs.c.customer == orders.c.customer)
_ANY_ASSIGNED = select(customer_orgs.c.customer).limit(1)


async def save(
    uow: UnitOfWork,
    items: Sequence[OrderInput],
    *,
    lane: Lane | None = None,
    conflicts: dict[str, list[str]] | None = None,
) -> Saved:
    """Store `items` with their lines, replacing orders with the same number. The last of two with one number wins.

    Without `lane`, new orders are captured in the lane `NEW` and changed ones in `STATUS`. An item that would change
    more of an order with a history than an import may raises StoreError. With `conflicts`, the stored order is kept
    instead, and the differing fields are added to `conflicts` by order number; a different stage is ignored then.
    Raises UnknownReferenceError for unknown customers or products, StoreError for a line number that occurs twice.
    """
    wanted = {order.number: _with_sorted_lines(order) for order in items}
    skus = {line.sku for order in wanted.values() for line in order.lines}
    await refuse_unknown(uow.connection, {order.customer for order in wanted.values()}, skus)
    stored = await _stored(uow.connection, sorted(wanted))

    new = sorted(wanted.keys() - stored.keys())
    created = await insert_missing(
        uow.connection, orders, [_row(uow, wanted[number]) | {"version": 1} for number in new]
    )
    if len(created) < len(new):  # another process has just inserted some of them
        stored |= await _stored(uow.connection, sorted(set(new) - created))

    changed = [number for number in sorted(stored) if stored[number] != wanted[number]]
    await _keep_orders_with_history(uow.connection, changed, stored, wanted, conflicts)
    changed = [number for number in changed if stored[number] != wanted[number]]
    await update_rows(uow.connection, orders, [_row(uow, wanted[number]) for number in changed])
    headers = [(number, stored[number].header, wanted[number].header) for number in changed]
    await field_times.note(uow, EntityKind.ORDER, headers, HEADER_FIELDS)
    relined = [number for number in changed if stored[number].lines != wanted[number].lines]
    for chunk in chunks(relined):
        await uow.connection.execute(_DELETE_LINES, {"the_numbers": chunk})
    written = [*sorted(created), *relined]
    await _insert_line_rows(uow, [(number, line, line.sku) for number in written for line in wanted[number].lines])
    await waiting_lines.refresh(uow, changed)

    for numbers, usual in ((created, Lane.NEW), (changed, Lane.STATUS)):
        for number in numbers:
            customer = wanted[number].customer
            uow.changed(EntityKind.ORDER, number, slot_of_key(customer), usual if lane is None else lane)
    return Saved(created=len(created), updated=len(changed), unchanged=len(stored) - len(changed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """How an order was placed: its tracking key, and the digest of what the caller sent."""

    tracking_key: str
    digest: str | None


def new_order(item: OrderInput, customer: Customer, catalog: Mapping[str, Product], *, tracking_key: str) -> Order:
    """Build the order that `insert_placed` stores from `item`: version 1, with a history."""
    item = _with_sorted_lines(item).with_header(placed_at=item.header.placed_at.astimezone(UTC))  # as it will be loaded
    waits = item.stage in OPEN
    lines = tuple(
        _line(
            item.number, line, catalog[line.sku], item.header.currency, LineState(quantity=line.quantity), waits=waits
        )
        for line in item.lines
    )
    state = OrderState(header=item.header, stage=item.stage, lines={line.number: line.state for line in lines})
    return Order(customer=customer, lines=lines, state=state, version=1, tracking_key=tracking_key)


async def insert_placed(
    uow: UnitOfWork, new_orders: Sequence[tuple[Order, str | None]], *, urgent_from: int
) -> set[str]:
    """Store orders built by `new_order`, each with the digest of what the caller sent. Return the inserted numbers.

    An order whose number exists is not changed; if another transaction is inserting it, this one waits for it. Orders
    with a priority of at least `urgent_from` are sent first.
    """
    rows = [
        dict(zip(HEADER_FIELDS, _header_values(order.header), strict=True))
        | {
            "customer": order.customer.number,
            "stage": order.stage.value,
            "version": order.version,
            "events": 1,
            "priority": order.priority,
            "tracking_key": order.tracking_key,
            "placed_digest": digest,
            "updated_at": uow.now,
        }
        for order, digest in sorted(new_orders, key=lambda item: item[0].number)
    ]
    created = await insert_missing(uow.connection, orders, rows)
    stored = [order for order, _ in new_orders if order.number in created]
    await _insert_line_rows(uow, [(order.number, line, line.product.sku) for order in stored for line in order.lines])
    await waiting_lines.refresh(uow, [order.number for order in stored if order.stage in OPEN])
    for order in stored:
        _capture_new(uow, order, urgent_from)
    return created


async def set_priorities(uow: UnitOfWork, new_orders: Sequence[Order], *, urgent_from: int) -> None:
    """Store the priorities of orders that this transaction has inserted."""
    statement = update(orders).where(orders.c.number == bindparam("the_number")).values(priority=bindparam("new"))
    rows = [{"the_number": order.number, "new": order.priority} for order in new_orders]
    if rows:
        await uow.connection.execute(statement, rows)
        await waiting_lines.refresh(uow, [order.number for order in new_orders if order.stage in OPEN])
    for order in new_orders:
        _capture_new(uow, order, urgent_from)


def _capture_new(uow: UnitOfWork, order: Order, urgent_from: int) -> None:
    lane = Lane.URGENT if order.priority >= urgent_from else Lane.NEW
    uow.changed(EntityKind.ORDER, order.number, slot_of(order), lane)


async def load_placements(connection: AsyncConnection, numbers: Sequence[str]) -> dict[str, Placed]:
    """Return how the orders were placed, by number; orders without a stored digest are left out."""
    return {
        row.number: Placed(tracking_key=row.tracking_key, digest=row.placed_digest)
        for row in await select_in(connection, _PLACEMENTS, orders.c.number, numbers)
        if row.tracking_key and row.placed_digest
    }


async def load(connection: AsyncConnection, numbers: Sequence[str]) -> list[Order]:
    """Return the orders in the sequence of `numbers`, with customer, lines and products; unknown ones are left out."""
    return [order for order, _ in await load_with_history_length(connection, numbers)]


async def load_with_history_length(connection: AsyncConnection, numbers: Sequence[str]) -> list[tuple[Order, int]]:
    """Load orders as `load` does; return each with the length of its history."""
    rows = await select_in(connection, _WITH_CUSTOMER, orders.c.number, numbers)
    if not rows:
        return []
    line_rows = await select_in(connection, _LINES, order_lines.c.order_number, [row.number for row in rows])
    catalog = await product_store.find(connection, {row.sku for row in line_rows})

    on_hold: dict[str, set[Hold]] = {}
    acted_on = [row.number for row in rows if row.events]
    for order, reason in await select_in(connection, _HOLDS, holds.c.order_number, acted_on):
        on_hold.setdefault(order, set()).add(Hold(reason))
    sent, back = await shipments.load(connection, acted_on)

    lines_of: dict[str, list[Any]] = {}
    for row in line_rows:
        lines_of.setdefault(row.order_number, []).append(row)
    loaded = {}
    for row in rows:
        number, stage = row.number, Stage(row.stage)
        waits = bool(row.stocked) and stage in OPEN
        lines = tuple(
            _line(number, line, catalog[line.sku], row.currency, _line_state(line), waits=waits)
            for line in lines_of.get(number, ())
        )
        state = OrderState(
            header=_header_of(row),
            stage=stage,
            lines={line.number: line.state for line in lines},
            holds=frozenset(on_hold.get(number, ())),
            shipments=sent.get(number, {}),
            returns=back.get(number, {}),
            **{name: getattr(row, name) for name in MONEY},
        )
        order = Order(
            customer=customer_store.customer_of(row, len(_OWN)),
            lines=lines,
            state=state,
            version=row.version,
            tracking_key=row.tracking_key,
            priority=row.priority,
        )
        loaded[number] = (order if row.events else as_imported(order), row.events)
    return [loaded[number] for number in numbers if number in loaded]


async def orders_referencing(
    connection: AsyncConnection, kind: EntityKind, keys: Sequence[str]
) -> list[tuple[str, str]]:
    """Return (number, customer) of the orders of these customers, or with these products, sorted by number."""
    statement = select(orders.c.number, orders.c.customer).distinct()
    column = orders.c.customer
    if kind is EntityKind.PRODUCT:
        statement = statement.join(order_lines, order_lines.c.order_number == orders.c.number)
        column = order_lines.c.sku
    return sorted({(row.number, row.customer) for row in await select_in(connection, statement, column, keys)})


def keys(connection: AsyncConnection) -> AsyncIterator[str]:
    """Iterate over all order numbers, in byte order."""
    return all_keys(connection, orders.c.number)


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, orders)


async def counts(connection: AsyncConnection) -> dict[Stage, int]:
    """Return the number of orders of the scope by stage, including zeros."""
    scope, numbers = scope_of(connection), Counter[str]()
    if not scope:  # the default org has what is assigned to no other one
        numbers.update(dict((await connection.execute(_BY_STAGE)).all()))
    if scope is not None and (await connection.execute(_ANY_ASSIGNED)).first():
        assigned = _ASSIGNED_BY_STAGE
        rows = await connection.execute(within_scope(connection, assigned, customer_orgs.c.org) if scope else assigned)
        (numbers.update if scope else numbers.subtract)(dict(rows.all()))
    return {stage: numbers[stage.value] for stage in Stage}


def _header_of(row: Any) -> OrderHeader:
    return OrderHeader(**dict(zip(HEADER_FIELDS, _header_values(row), strict=True)))


def _line(order: str, line: Any, product: Product, currency: str, state: LineState, *, waits: bool) -> Line:
    """Build a line from `line` (a LineInput or a row) and `state`, whose total is computed here."""
    unit_price, discount = line.unit_price, line.discount
    total = exact_total(state.quantity, unit_price, discount) or ZERO
    return Line(
        order=order,
        number=line.number,
        product=product,
        currency=currency,
        unit_price=unit_price,
        discount=discount,
        state=evolved(state, {"total": total}),
        waits=waits,
    )


def _line_state(row: Any) -> LineState:
    return LineState(quantity=row.quantity, **{name: getattr(row, name) for name in MOVING})


def _with_sorted_lines(order: OrderInput) -> OrderInput:
    lines = tuple(sorted(order.lines, key=_number))
    if len({line.number for line in lines}) < len(lines):
        raise StoreError(
            f"Order {order.number} has two lines with the same number.",
            hint="Number its lines 1, 2, 3, ….",
            retry_class=RetryClass.DATA,
        )
    return order if lines == order.lines else replace(order, lines=lines)


def _number(line: LineInput) -> int:
    return line.number


async def _stored(connection: AsyncConnection, numbers: Sequence[str]) -> dict[str, OrderInput]:
    """Lock and load orders as OrderInput, to compare them with new input; lines are sorted by number."""
    rows = await select_in(connection, _LOCKED_INPUTS, orders.c.number, numbers)
    lines: dict[str, list[LineInput]] = {row.number: [] for row in rows}
    for row in await select_in(connection, _INPUT_LINES, order_lines.c.order_number, lines):
        line = LineInput(
            number=row.number, sku=row.sku, quantity=row.quantity, unit_price=row.unit_price, discount=row.discount
        )
        lines[row.order_number].append(line)
    return {
        row.number: OrderInput(
            header=_header_of(row),
            customer=row.customer,
            lines=tuple(sorted(lines[row.number], key=_number)),
            stage=Stage(row.stage),
        )
        for row in rows
    }


async def _keep_orders_with_history(
    connection: AsyncConnection,
    changed: Sequence[str],
    stored: Mapping[str, OrderInput],
    wanted: dict[str, OrderInput],
    conflicts: dict[str, list[str]] | None,
) -> None:
    """Protect orders that have a history. In `wanted`, such an order gets its stored shipment fields. If it differs in
    fields that only commands may change, the stored order takes its place, and the fields are added to `conflicts`;
    without `conflicts`, StoreError is raised."""
    refused: dict[str, list[str]] = {}
    for row in await select_in(connection, _WITH_HISTORY, orders.c.number, changed):
        before, after = stored[row.number], wanted[row.number]
        shipment_fields = {name: getattr(before.header, name) for name in OF_SHIPMENT}
        after = replace(after.with_header(**shipment_fields), stage=after.stage if conflicts is None else before.stage)
        differs = _differences(before, after)
        if differs:
            refused[row.number] = differs
        wanted[row.number] = before if differs else after
    if conflicts is not None:
        conflicts |= refused
    elif refused:
        names = sorted({name for differs in refused.values() for name in differs})
        raise StoreError(
            f"Orders {listed_keys(sorted(refused))} have a history: an import cannot change their {', '.join(names)}.",
            hint="Remove these fields from the import, or use `connector act NUMBER change`.",
            retry_class=RetryClass.DATA,
        )


def _differences(before: OrderInput, after: OrderInput) -> list[str]:
    """Return the fields that differ, of those that an import may not change once an order has a history."""
    names = [name for name in ("customer", "stage") if getattr(before, name) != getattr(after, name)]
    names += [
        name
        for name in HEADER_FIELDS
        if name not in ANYTIME and (getattr(before.header, name) or None) != (getattr(after.header, name) or None)
    ]
    return names + (["lines"] if before.lines != after.lines else [])


async def _insert_line_rows(uow: UnitOfWork, lines: Sequence[tuple[str, LineInput | Line, str]]) -> None:
    rows = [
        {
            "order_number": number,
            "number": line.number,
            "sku": sku,
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            "discount": line.discount,
        }
        for number, line, sku in lines
    ]
    if rows:
        await uow.connection.execute(_INSERT_LINES, rows)


def _row(uow: UnitOfWork, order: OrderInput) -> Row:
    own = {"customer": order.customer, "stage": order.stage.value, "updated_at": uow.now}  # drivers need a plain str
    return dict(zip(HEADER_FIELDS, _header_values(order.header), strict=True)) | own
