"""Orders from the spool to the store: each whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connector.model.keys import check_new_order_number
from connector.model.order import Line, LineInput, Order, OrderInput
from connector.model.order_header import DEFAULTS, HEADER_FIELDS, FieldKind, OrderHeader
from connector.model.product import Product
from connector.model.stage import Stage
from connector.orders.importing.fields import KINDS, shown
from connector.orders.importing.order_lines import LineRow, LinesError, line_values, numbered
from connector.orders.importing.outcome import Outcome, incomplete, values_of
from connector.orders.importing.plan import SLOTS
from connector.orders.importing.reader import Place
from connector.orders.importing.spool import Entity, Spool
from connector.store import customers, orders, products
from connector.store.engine import Connection
from connector.store.unit_of_work import UnitOfWork

SORT_UNKNOWN = "names what is not there"


@dataclass(frozen=True, slots=True)
class OrderRows:
    """What the files say of an order; without an entity, only lines name it."""

    key: str
    entity: Entity | None
    lines: list[LineRow]

    def place(self, spool: Spool, field: str = "number") -> Place:
        if self.entity is None:
            return spool.place("lines", self.lines[0].file, self.lines[0].line, "order")
        return spool.place_of("orders", self.entity.places[SLOTS["orders"][field]], field)


async def save_orders(uow: UnitOfWork, spool: Spool, batch: Sequence[OrderRows], outcome: Outcome) -> None:
    """Store those of `batch` of which no row is bad; what else is wrong goes to `outcome`."""
    good = [rows for rows in batch if not spool.spoiled("orders", rows.key)]
    stored = {item.number: item for item in await orders.load(uow.connection, [rows.key for rows in good])}
    known = await _Known.load(uow.connection, good)
    wanted = []
    for rows in good:
        order = _Builder(spool, outcome, known, rows, stored.get(rows.key)).order()
        if order is None:
            outcome.left_out.append(rows.key)
        else:
            wanted.append(order)
    kept: dict[str, list[str]] = {}
    outcome.saved = await orders.save(uow, wanted, kept=kept)
    outcome.lines = sum(len(order.lines) for order in wanted)
    by_key = {rows.key: rows for rows in good}
    for number, differs in sorted(kept.items()):
        what = (
            f"order {shown(number)} was acted on here, and its {', '.join(differs)} stayed as it was; take that out of "
            f"the file, or change the order by `connector act`"
        )
        outcome.fault("orders", by_key[number].place(spool), what, "was acted on here")


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the rows of a batch refer to, as far as it is stored."""

    customers: set[str]
    products: dict[str, Product]

    @classmethod
    async def load(cls, connection: Connection, batch: Iterable[OrderRows]) -> _Known:
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


class _Builder:
    """One order from its rows, what they refer to, and what is stored of it."""

    def __init__(self, spool: Spool, outcome: Outcome, known: _Known, rows: OrderRows, stored: Order | None) -> None:
        self._spool = spool
        self._outcome = outcome
        self._known = known
        self._rows = rows
        self._stored = stored

    def order(self) -> OrderInput | None:
        """As it shall be stored; None, and why is said, if it must be left out."""
        rows, stored = self._rows, self._stored
        if rows.entity is None and stored is None:
            what = f"there is no order {shown(rows.key)}; import it, or correct the number"
            for line in rows.lines:
                self._say("lines", self._place(line, "order"), what, SORT_UNKNOWN)
            return None
        if rows.entity is not None and not self._refers(rows.entity):
            return None
        try:
            lines = numbered(rows.key, rows.lines, self._told_at)
        except LinesError as error:
            self._say("lines", self._place(error.row, error.field), str(error), "an order's rows differ")
            return None
        if [number for number, line in lines.items() if not self._line_refers(number, line)]:
            return None
        if not lines and stored is None and self._spool.empty(rows.key):
            self._say(
                "orders", rows.place(self._spool), f"order {shown(rows.key)} has no line: none of its rows has one"
            )
            return None
        arrives = _arrives(rows.key, stored, values_of("orders", rows.entity) if rows.entity else {})
        currency = arrives.header.currency
        if lines:
            before = {line.number: line for line in stored.lines} if stored else {}
            made = [self._line(number, lines[number], currency, before.get(number)) for number in sorted(lines)]
            return replace(arrives, lines=tuple(made))
        if stored is None:
            return arrives
        moved = currency != stored.currency
        return replace(arrives, lines=tuple(_repriced(line, currency) if moved else _as_input(line)
                                           for line in stored.lines))  # fmt: skip

    def _refers(self, entity: Entity) -> bool:
        """Whether the order has what it needs, and its customer is there."""
        if wrong := incomplete("orders", entity, self._spool, new=self._stored is None):
            self._say("orders", *wrong)
            return False
        if self._stored is None:
            try:
                check_new_order_number(self._rows.key)
            except ValueError as error:
                self._say("orders", self._rows.place(self._spool), str(error), "is too long for a new order")
                return False
        customer = entity.values[SLOTS["orders"]["customer"]]
        if customer is None or customer in self._known.customers:
            return True
        if not self._spool.spoiled("customers", customer):  # else its own row was told
            what = f"there is no customer {customer!r}; import it, or correct the number"
            self._say("orders", self._rows.place(self._spool, "customer"), what, SORT_UNKNOWN)
        return False

    def _line_refers(self, number: int, line: LineRow) -> bool:
        exists = self._stored is not None and any(item.number == number for item in self._stored.lines)
        given = line_values(line)
        for name in KINDS["lines"].required:
            if given.get(name) is None and not (exists and name not in given):
                self._say("lines", self._place(line, name), f"has no {name}; the line is new, and needs one")
                return False
        sku = given.get("sku")
        if sku is None or sku in self._known.products:
            return True
        if not self._spool.spoiled("products", sku):
            what = f"there is no product {sku!r}; import it, or correct the SKU"
            self._say("lines", self._place(line, "sku"), what, SORT_UNKNOWN)
        return False

    def _line(self, number: int, row: LineRow, currency: str, stored: Line | None) -> LineInput:
        given = line_values(row)
        if given.get("discount") is None:
            given.pop("discount", None)
        line = replace(_as_input(stored), **given) if stored else LineInput(number=number, **given)
        if stored and "unit_price" not in given and (line.sku, currency) != (stored.product.sku, stored.currency):
            line = replace(line, unit_price=None)  # the old price was for something else
        if line.unit_price is None and line.sku in self._known.products:
            return replace(line, unit_price=_listed(self._known.products[line.sku], currency))
        return line

    def _told_at(self, line: LineRow) -> str:
        return self._spool.told_at(self._spool.at(line.file, line.line))

    def _place(self, line: LineRow, field: str) -> Place:
        return self._spool.place("lines", line.file, line.line, field)

    def _say(self, kind: str, place: Place, what: str, sort: str = "") -> None:
        self._outcome.fault(kind, place, what, sort)


def _arrives(key: str, stored: Order | None, values: Mapping[str, Any]) -> OrderInput:
    """The order without its lines: what the rows say, and of a stored order the rest."""
    given = {name: values[name] for name in HEADER_FIELDS if name in values}
    stage = Stage(values["stage"]) if values.get("stage") is not None else None
    if stored is None:
        header = OrderHeader(number=key, **{name: DEFAULTS[name] if value is None else value
                                            for name, value in given.items()})  # fmt: skip
        return OrderInput(header=header, customer=values["customer"], stage=stage or Stage.PLACED)
    return OrderInput(
        header=stored.header.with_values(_kept_flags(given)),
        customer=values.get("customer", stored.customer.number),
        stage=stage or stored.stage,
    )


def _kept_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """An empty cell takes a value out, but it says nothing of a flag."""
    return {
        name: value
        for name, value in given.items()
        if value is not None or HEADER_FIELDS[name].kind is not FieldKind.FLAG
    }


def _repriced(line: Line, currency: str) -> LineInput:
    """The line at its product's list price in another currency."""
    return replace(_as_input(line), unit_price=_listed(line.product, currency))


def _listed(product: Product, currency: str) -> Any:
    return next((price.unit_price for price in product.prices if price.currency == currency), None)


def _as_input(line: Line) -> LineInput:
    return LineInput(
        number=line.number,
        sku=line.product.sku,
        quantity=line.quantity,
        unit_price=line.unit_price,
        discount=line.discount,
    )
