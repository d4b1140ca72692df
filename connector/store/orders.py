"""Orders with their lines, in and out. A save writes and captures only those that differ from what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import RetryClass, StoreError
from connector.model.change import EntityKind
from connector.model.imported_state import as_imported
from connector.model.order import MOVING, Line, Order, OrderInput
from connector.model.order_state import Hold
from connector.model.stage import OPEN, Stage
from connector.store import customers as customer_store
from connector.store import products as product_store
from connector.store import shipments
from connector.store.sql import (
    Row,
    Saved,
    all_keys,
    chunks,
    count_rows,
    insert_missing,
    select_in,
    update_rows,
)
from connector.store.tables import customers, holds, order_lines, orders, products
from connector.store.unit_of_work import Lane, UnitOfWork, partition_hash

FIELDS = (
    "number",
    "customer",
    "placed_at",
    "currency",
    "stage",
    "channel",
    "service_level",
    "po_number",
    "notes",
    "promised_on",
    "shipped_on",
    "carrier",
    "tracking_number",
    "freight",
    "tax_rate",
    "stated_total",
    "ship_complete",
    "delivery_note",
    "ship_to_name",
    "ship_to_street",
    "ship_to_city",
    "ship_to_state",
    "ship_to_postal_code",
    "ship_to_country",
)
_COLUMNS = tuple(orders.c[name] for name in FIELDS)
_values = attrgetter(*FIELDS)
_DETAILS = FIELDS[2:]  # what is the same in OrderInput, in Order and in the table
_STAGE = FIELDS.index("stage")
_FREE = tuple(FIELDS.index(name) for name in ("po_number", "notes"))
"""What an import may say of an order that was acted on."""
_OURS = tuple(FIELDS.index(name) for name in ("carrier", "tracking_number", "shipped_on"))
"""What its parcels say of such an order, whatever an import says."""
MONEY = ("invoiced", "authorized", "captured", "refunded", "declined")
_MORE = (*MONEY, "priority", "tracking_key", "invoice_number")
_LINE = tuple(order_lines.c[name] for name in ("order_number", "number", "sku", "quantity", "unit_price", "discount"))

_Stored = tuple[tuple[Any, ...], dict[int, tuple[str, Decimal, Decimal | None, Decimal]]]
"""The values of FIELDS, and the lines by number."""


class UnknownReferenceError(StoreError):
    """Orders name customers or products that are not stored; none of the orders was saved."""

    def __init__(self, customer_numbers: Sequence[str], skus: Sequence[str]) -> None:
        named = [
            f"{what} {_listed(keys)}" for what, keys in (("customers", customer_numbers), ("products", skus)) if keys
        ]
        super().__init__(
            f"Orders name unknown {' and unknown '.join(named)}.",
            hint="Import them first, or correct the orders.",
            retry_class=RetryClass.DATA,
        )
        self.customers = tuple(customer_numbers)
        self.skus = tuple(skus)


async def save(
    uow: UnitOfWork, items: Sequence[OrderInput], *, lane: Lane | None = None, kept: dict[str, list[str]] | None = None
) -> Saved:
    """Make the stored orders and their lines equal `items`; where a number comes twice, the last one stands.

    Without `lane`, a new order goes out as `NEW`, one that changed as `STATUS`. Raises UnknownReferenceError, and
    StoreError if an order has a line number twice, or contradicts what was done with it here; nothing is saved then.
    With `kept`, an order that contradicts this stays as it is and is put there, with the fields that differ; another
    stage alone is no contradiction.
    """
    wanted = {order.number: (_values(order), _lines_of(order)) for order in items}
    await _refuse_unknown(uow.connection, wanted)
    stored = await _stored(uow.connection, sorted(wanted))

    new = sorted(wanted.keys() - stored.keys())
    created = await insert_missing(
        uow.connection, orders, [_row(uow, wanted[number]) | {"version": 1} for number in new]
    )
    if len(created) < len(new):  # another process was quicker with some of them
        stored |= await _stored(uow.connection, sorted(set(new) - created))

    changed = [number for number in sorted(stored) if stored[number] != wanted[number]]
    await _keep_acted_on(uow.connection, changed, stored, wanted, kept)
    changed = [number for number in changed if stored[number] != wanted[number]]
    await update_rows(uow.connection, orders, [_row(uow, wanted[number]) for number in changed])
    relined = [number for number in changed if stored[number][1] != wanted[number][1]]
    for chunk in chunks(relined):
        await uow.connection.execute(delete(order_lines).where(order_lines.c.order_number.in_(chunk)))
    await _insert_lines(uow, wanted, [*sorted(created), *relined])

    for numbers, usual in ((created, Lane.NEW), (changed, Lane.STATUS)):
        for number in numbers:
            customer = wanted[number][0][1]
            uow.changed(EntityKind.ORDER, number, partition_hash(customer), usual if lane is None else lane)
    return Saved(created=len(created), updated=len(changed), unchanged=len(stored) - len(changed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """What is known of an order from the moment it was placed: the secret in the customer's link to it, and the digest
    of what was asked."""

    tracking_key: str
    digest: str | None


async def insert_new(uow: UnitOfWork, items: Sequence[tuple[OrderInput, Placed]]) -> set[str]:
    """Store orders that are new; the numbers of those that were. One that is there is left as it is, and whoever is
    storing it at this moment is waited for. Raises as `save` does."""
    wanted = {order.number: (_values(order), _lines_of(order)) for order, _ in items}
    await _refuse_unknown(uow.connection, wanted)
    rows = [
        _row(uow, wanted[order.number])
        | {"version": 1, "tracking_key": placed.tracking_key, "placed_digest": placed.digest}
        for order, placed in sorted(items, key=lambda item: item[0].number)
    ]
    created = await insert_missing(uow.connection, orders, rows)
    await _insert_lines(uow, wanted, sorted(created))
    for number in created:
        uow.changed(EntityKind.ORDER, number, partition_hash(wanted[number][0][1]), Lane.NEW)
    return created


async def load_placements(connection: AsyncConnection, numbers: Sequence[str]) -> dict[str, Placed]:
    """By number; of orders that were not placed here, or before digests were kept, there is none."""
    statement = select(orders.c.number, orders.c.tracking_key, orders.c.placed_digest)
    return {
        row.number: Placed(tracking_key=row.tracking_key, digest=row.placed_digest)
        for row in await select_in(connection, statement, orders.c.number, numbers)
        if row.tracking_key and row.placed_digest
    }


async def load(connection: AsyncConnection, numbers: Sequence[str]) -> list[Order]:
    """The orders of `numbers` with customer, lines and products, in that order; unknown ones are left out."""
    more = (*(orders.c[name] for name in _MORE), orders.c.events)
    statement = select(orders.c.version, *_COLUMNS, *customer_store.COLUMNS, *more).join(
        customers, customers.c.number == orders.c.customer
    )
    rows = await select_in(connection, statement, orders.c.number, numbers)
    by_number = select(*_LINE, *(order_lines.c[name] for name in MOVING)).order_by(
        order_lines.c.order_number, order_lines.c.number
    )
    line_rows = await select_in(connection, by_number, order_lines.c.order_number, numbers)
    catalog = await product_store.find(connection, {row.sku for row in line_rows})

    on_hold: dict[str, set[Hold]] = {}
    acted_on = [row[1] for row in rows if row.events]
    for order, reason in await select_in(
        connection, select(holds.c.order_number, holds.c.reason), holds.c.order_number, acted_on
    ):
        on_hold.setdefault(order, set()).add(Hold(reason))
    sent, back = await shipments.load(connection, acted_on)

    currencies = {row[1]: row.currency for row in rows}
    given_stock = {row[1] for row in rows if row.events and row.stage in OPEN}
    lines: dict[str, list[Line]] = {}
    for order, number, sku, quantity, unit_price, discount, *quantities in line_rows:
        lines.setdefault(order, []).append(
            Line(
                order=order,
                number=number,
                product=catalog[sku],
                currency=currencies[order],
                quantity=quantity,
                unit_price=unit_price,
                discount=discount,
                waits=order in given_stock,
                **dict(zip(MOVING, quantities, strict=True)),
            )
        )
    found = {
        row[1]: _order_of(
            row,
            lines=tuple(lines.get(row[1], ())),
            holds=frozenset(on_hold.get(row[1], ())),
            shipments=sent.get(row[1], {}),
            returns=back.get(row[1], {}),
        )
        for row in rows
    }
    return [found[number] for number in numbers if number in found]


async def orders_referencing(
    connection: AsyncConnection, kind: EntityKind, keys: Sequence[str]
) -> list[tuple[str, str]]:
    """(Number, customer) of the orders of these customers, or with these products, by number."""
    statement = select(orders.c.number, orders.c.customer).distinct()
    column = orders.c.customer
    if kind is EntityKind.PRODUCT:
        statement = statement.join(order_lines, order_lines.c.order_number == orders.c.number)
        column = order_lines.c.sku
    return sorted({(row.number, row.customer) for row in await select_in(connection, statement, column, keys)})


def keys(connection: AsyncConnection) -> AsyncIterator[str]:
    """Every order number, in byte order, a page at a time."""
    return all_keys(connection, orders.c.number)


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, orders)


async def counts(connection: AsyncConnection) -> dict[Stage, int]:
    """Orders by stage, every stage named."""
    rows = await connection.execute(select(orders.c.stage, func.count()).group_by(orders.c.stage))
    found: dict[str, int] = dict(rows.all())
    return {stage: found.get(stage.value, 0) for stage in Stage}


def _order_of(row: Any, **parts: Any) -> Order:
    fields = len(FIELDS)
    details = dict(zip(_DETAILS, row[3 : fields + 1], strict=True))
    details["stage"] = Stage(details["stage"])
    order = Order(
        number=row[1],
        version=row[0],
        customer=customer_store.customer_of(row, fields + 1),
        **parts,
        **details,
        **{name: getattr(row, name) for name in _MORE},
    )
    return order if row.events else as_imported(order)


def _lines_of(order: OrderInput) -> dict[int, tuple[str, Decimal, Decimal | None, Decimal]]:
    lines = {line.number: (line.sku, line.quantity, line.unit_price, line.discount) for line in order.lines}
    if len(lines) < len(order.lines):
        raise StoreError(
            f"Order {order.number} has two lines with the same number.",
            hint="Number its lines 1, 2, 3, ….",
            retry_class=RetryClass.DATA,
        )
    return lines


async def _stored(connection: AsyncConnection, numbers: Sequence[str]) -> dict[str, _Stored]:
    statement = select(*_COLUMNS).order_by(orders.c.number).with_for_update()
    rows = await select_in(connection, statement, orders.c.number, numbers)
    found: dict[str, _Stored] = {row[0]: (tuple(row), {}) for row in rows}
    if found:
        line_rows = await select_in(connection, select(*_LINE), order_lines.c.order_number, found)
        for order, number, *line in line_rows:
            found[order][1][number] = tuple(line)
    return found


async def _refuse_unknown(connection: AsyncConnection, wanted: Mapping[str, _Stored]) -> None:
    missing_customers = await _missing(connection, customers.c.number, {values[1] for values, _ in wanted.values()})
    missing_skus = await _missing(
        connection, products.c.sku, {line[0] for _, lines in wanted.values() for line in lines.values()}
    )
    if missing_customers or missing_skus:
        raise UnknownReferenceError(missing_customers, missing_skus)


async def _keep_acted_on(
    connection: AsyncConnection,
    changed: Sequence[str],
    stored: Mapping[str, _Stored],
    wanted: dict[str, _Stored],
    kept: dict[str, list[str]] | None,
) -> None:
    """An order with a history moves by commands only: an import would contradict what happened. Of such orders `wanted`
    becomes what may change; where more would, what is stored, and `kept` has it, or StoreError without it."""
    statement = select(orders.c.number).where(orders.c.events > 0)
    refused: dict[str, list[str]] = {}
    for row in await select_in(connection, statement, orders.c.number, changed):
        number, (before, lines) = row.number, stored[row.number]
        after = list(wanted[number][0])
        for index in _OURS if kept is None else (*_OURS, _STAGE):
            after[index] = before[index]
        differs = [
            name for index, name in enumerate(FIELDS)
            if index not in _FREE and (after[index] or None) != (before[index] or None)
        ]  # fmt: skip
        differs += ["lines"] if lines != wanted[number][1] else []
        if differs:
            refused[number] = differs
        wanted[number] = stored[number] if differs else (tuple(after), lines)
    if kept is not None:
        kept |= refused
    elif refused:
        names = sorted({name for differs in refused.values() for name in differs})
        raise StoreError(
            f"Orders {_listed(sorted(refused))} were acted on here: an import cannot set their {', '.join(names)}.",
            hint="Leave that out of the import, or act on the order: `connector act NUMBER change`.",
            retry_class=RetryClass.DATA,
        )


async def _insert_lines(uow: UnitOfWork, wanted: Mapping[str, _Stored], numbers: Sequence[str]) -> None:
    lines = [
        {
            "order_number": number,
            "number": line,
            "sku": sku,
            "quantity": quantity,
            "unit_price": unit_price,
            "discount": discount,
        }
        for number in numbers
        for line, (sku, quantity, unit_price, discount) in wanted[number][1].items()
    ]
    if lines:
        await uow.connection.execute(insert(order_lines), lines)


async def _missing(connection: AsyncConnection, column: Any, wanted: Iterable[str]) -> list[str]:
    named = set(wanted)
    return sorted(named - {row[0] for row in await select_in(connection, select(column), column, named)})


def _row(uow: UnitOfWork, order: _Stored) -> Row:
    values = list(order[0])
    values[_STAGE] = Stage(values[_STAGE]).value  # drivers take plain text
    return dict(zip(FIELDS, values, strict=True)) | {"updated_at": uow.now}


def _listed(keys: Sequence[str], most: int = 10) -> str:
    rest = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {rest} more" if rest > 0 else "")
