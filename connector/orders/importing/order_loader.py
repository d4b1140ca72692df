"""Write orders from the spool to the store: each order with all its lines, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connector.model.keys import check_new_order_number
from connector.model.order import Line, LineInput, Order, OrderInput
from connector.model.order_header import DEFAULTS, HEADER_FIELDS, FieldKind, OrderHeader
from connector.model.product import Product
from connector.model.stage import Stage
from connector.orders.importing.field_parsers import KINDS, quote_value
from connector.orders.importing.order_lines import LineRow, LinesError, line_values, number_lines
from connector.orders.importing.outcome import BatchOutcome, missing_value, values_of
from connector.orders.importing.plan import SLOTS
from connector.orders.importing.reader import Place
from connector.orders.importing.spool import Entity, Spool
from connector.store import customers, orders, products
from connector.store.engine import Connection
from connector.store.unit_of_work import UnitOfWork

UNKNOWN_REFERENCE = "names an unknown entity"


@dataclass(frozen=True, slots=True)
class OrderRows:
    """The rows of an order. `entity` is None if only line rows name it."""

    key: str
    entity: Entity | None
    lines: list[LineRow]

    def place(self, spool: Spool, field: str = "number") -> Place:
        if self.entity is None:
            return spool.place("lines", self.lines[0].file, self.lines[0].line, "order")
        return spool.place_of("orders", self.entity.places[SLOTS["orders"][field]], field)


async def save_orders(uow: UnitOfWork, spool: Spool, batch: Sequence[OrderRows], outcome: BatchOutcome) -> None:
    """Store the orders of `batch` that have no bad row; add the faults of the others to `outcome`."""
    good = [rows for rows in batch if not spool.is_spoiled("orders", rows.key)]
    stored = {item.number: item for item in await orders.load(uow.connection, [rows.key for rows in good])}
    references = await _References.load(uow.connection, good)
    to_save = []
    for rows in good:
        order = _OrderBuilder(spool, outcome, references, rows, stored.get(rows.key)).build()
        if order is None:
            outcome.left_out.append(rows.key)
        else:
            to_save.append(order)
    unchanged_fields: dict[str, list[str]] = {}
    outcome.saved = await orders.save(uow, to_save, conflicts=unchanged_fields)
    outcome.lines = sum(len(order.lines) for order in to_save)
    by_key = {rows.key: rows for rows in good}
    for number, differs in sorted(unchanged_fields.items()):
        what = (
            f"order {quote_value(number)} was changed here by an action: {', '.join(differs)} not imported;"
            f" remove that from the file, or change the order by `connector act`"
        )
        outcome.fault("orders", by_key[number].place(spool), what, "was changed here by an action")


@dataclass(frozen=True, kw_only=True)
class _References:
    """The stored customers and products that the rows of a batch refer to."""

    customers: set[str]
    products: dict[str, Product]

    @classmethod
    async def load(cls, connection: Connection, batch: Iterable[OrderRows]) -> _References:
        customer = SLOTS["orders"]["customer"]
        numbers: set[str] = set()
        skus: set[str] = set()
        for rows in batch:
            if rows.entity is not None and rows.entity.values[customer]:
                numbers.add(rows.entity.values[customer])
            skus.update(line.values[0] for line in rows.lines if line.values[0])
        return cls(
            customers={item.number for item in await customers.load(connection, sorted(numbers))},
            products=await products.find(connection, sorted(skus)),
        )


class _OrderBuilder:
    """Builds one order from its rows and from the stored order, customer and products."""

    def __init__(
        self, spool: Spool, outcome: BatchOutcome, references: _References, rows: OrderRows, stored: Order | None
    ) -> None:
        self._spool = spool
        self._outcome = outcome
        self._references = references
        self._rows = rows
        self._stored = stored

    def build(self) -> OrderInput | None:
        """Return the order to store; add a fault and return None if it must be left out."""
        rows, stored = self._rows, self._stored
        if rows.entity is None and stored is None:
            what = f"there is no order {quote_value(rows.key)}; import it, or correct the number"
            for line in rows.lines:
                self._add_fault("lines", self._place(line, "order"), what, UNKNOWN_REFERENCE)
            return None
        if rows.entity is not None and not self._check_order(rows.entity):
            return None
        try:
            lines = number_lines(rows.key, rows.lines, self._file_and_line)
        except LinesError as error:
            self._add_fault("lines", self._place(error.row, error.field), str(error), "an order's rows differ")
            return None
        if [number for number, line in lines.items() if not self._check_line(number, line)]:
            return None
        if not lines and stored is None and self._spool.has_row_without_line(rows.key):
            self._add_fault(
                "orders",
                rows.place(self._spool),
                f"order {quote_value(rows.key)} has no line: none of its rows has one",
            )
            return None
        order_input = _header_input(rows.key, stored, values_of("orders", rows.entity) if rows.entity else {})
        currency = order_input.header.currency
        if lines:
            before = {line.number: line for line in stored.lines} if stored else {}
            inputs = [self._build_line(number, lines[number], currency, before.get(number)) for number in sorted(lines)]
            return replace(order_input, lines=tuple(inputs))
        if stored is None:
            return order_input
        currency_changed = currency != stored.currency
        return replace(order_input, lines=tuple(_repriced(line, currency) if currency_changed else _as_input(line)
                                           for line in stored.lines))  # fmt: skip

    def _check_order(self, entity: Entity) -> bool:
        """Return whether the order has its required fields and its customer is stored; add a fault if not."""
        if missing := missing_value("orders", entity, self._spool, new=self._stored is None):
            self._add_fault("orders", *missing)
            return False
        if self._stored is None:
            try:
                check_new_order_number(self._rows.key)
            except ValueError as error:
                self._add_fault("orders", self._rows.place(self._spool), str(error), "is too long for a new order")
                return False
        customer = entity.values[SLOTS["orders"]["customer"]]
        if customer is None or customer in self._references.customers:
            return True
        if not self._spool.is_spoiled("customers", customer):  # else the customer's row was reported
            what = f"there is no customer {customer!r}; import it, or correct the number"
            self._add_fault("orders", self._rows.place(self._spool, "customer"), what, UNKNOWN_REFERENCE)
        return False

    def _check_line(self, number: int, line: LineRow) -> bool:
        exists = self._stored is not None and any(item.number == number for item in self._stored.lines)
        values = line_values(line)
        for name in KINDS["lines"].required:
            if values.get(name) is None and not (exists and name not in values):
                self._add_fault("lines", self._place(line, name), f"has no {name}; the line is new, and needs one")
                return False
        sku = values.get("sku")
        if sku is None or sku in self._references.products:
            return True
        if not self._spool.is_spoiled("products", sku):
            what = f"there is no product {sku!r}; import it, or correct the SKU"
            self._add_fault("lines", self._place(line, "sku"), what, UNKNOWN_REFERENCE)
        return False

    def _build_line(self, number: int, row: LineRow, currency: str, stored: Line | None) -> LineInput:
        values = line_values(row)
        if values.get("discount") is None:
            values.pop("discount", None)
        line = replace(_as_input(stored), **values) if stored else LineInput(number=number, **values)
        if stored and "unit_price" not in values and (line.sku, currency) != (stored.product.sku, stored.currency):
            line = replace(line, unit_price=None)  # the old price was for something else
        if line.unit_price is None and line.sku in self._references.products:
            return replace(line, unit_price=_list_price(self._references.products[line.sku], currency))
        return line

    def _file_and_line(self, line: LineRow) -> str:
        return self._spool.file_and_line(self._spool.place_number(line.file, line.line))

    def _place(self, line: LineRow, field: str) -> Place:
        return self._spool.place("lines", line.file, line.line, field)

    def _add_fault(self, kind: str, place: Place, what: str, sort: str = "") -> None:
        self._outcome.fault(kind, place, what, sort)


def _header_input(key: str, stored: Order | None, values: Mapping[str, Any]) -> OrderInput:
    """Return the order without its lines: the rows' values, and of a stored order the others."""
    header_values = {name: values[name] for name in HEADER_FIELDS if name in values}
    stage = Stage(values["stage"]) if values.get("stage") is not None else None
    if stored is None:
        header = OrderHeader(number=key, **{name: DEFAULTS[name] if value is None else value
                                            for name, value in header_values.items()})  # fmt: skip
        return OrderInput(header=header, customer=values["customer"], stage=stage or Stage.PLACED)
    return OrderInput(
        header=stored.header.with_values(_without_empty_flags(header_values)),
        customer=values.get("customer", stored.customer.number),
        stage=stage or stored.stage,
    )


def _without_empty_flags(values: Mapping[str, Any]) -> dict[str, Any]:
    """Remove flags without a value: an empty cell clears a field, but leaves a flag as it is."""
    return {
        name: value
        for name, value in values.items()
        if value is not None or HEADER_FIELDS[name].kind is not FieldKind.FLAG
    }


def _repriced(line: Line, currency: str) -> LineInput:
    """Return the line at its product's list price in `currency`."""
    return replace(_as_input(line), unit_price=_list_price(line.product, currency))


def _list_price(product: Product, currency: str) -> Any:
    return next((price.unit_price for price in product.prices if price.currency == currency), None)


def _as_input(line: Line) -> LineInput:
    return LineInput(
        number=line.number,
        sku=line.product.sku,
        quantity=line.quantity,
        unit_price=line.unit_price,
        discount=line.discount,
    )
