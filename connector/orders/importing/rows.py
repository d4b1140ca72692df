"""Read the rows of one file: each section reads its fields from a row and merges them with earlier rows.

For a customer or product the last row with a value wins; for an order all rows must agree. An empty cell counts only
if no other row has a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.model.keys import visible_key
from connector.orders.importing.column_sources import ABSENT, BLANK, DEFAULT, EXPLICIT
from connector.orders.importing.field_parsers import KINDS, BadValueError, NumberAndDateFormat, quote_value
from connector.orders.importing.objects import unnest_order
from connector.orders.importing.plan import (
    KEY,
    NUMERIC,
    SLOTS,
    ColumnValues,
    Fault,
    SectionPlan,
    columns_of,
    make_converter,
)
from connector.orders.importing.reader import Place
from connector.orders.importing.report import ImportReport
from connector.orders.importing.spool import Entity, Spool, merge

CUSTOMER, CURRENCY = SLOTS["orders"]["customer"], SLOTS["orders"]["currency"]
LINE = SLOTS["lines"]
PRODUCT = SLOTS["products"]
CURRENCY_OF_PRICE = PRODUCT["currency"]
"""The last field of a product; a row that has only this one is no product row."""
LINE_SLOTS = [LINE[name] for name in ("sku", "quantity", "unit_price", "discount")]
OF_ORDER = "@"
"""The prefix of a price's `sub` while its currency is that of an order whose currency is not known yet."""

NO_ORDER = (
    "this is a customer or a product: an NDJSON file has one order a line, with its customer and lines; import others"
    " from CSV"
)
_ENTITY_FIELDS = KINDS["customers"].fields.keys() | KINDS["products"].fields.keys()
_ORDER_FIELDS = KINDS["orders"].fields.keys() - _ENTITY_FIELDS


class RowProcessor:
    """Reads the rows of one file, and stores their entities and lines on the spool."""

    def __init__(self, spool: Spool, report: ImportReport, name: str, plans: Mapping[str, SectionPlan]) -> None:
        self._spool = spool
        self._report = report
        self._name = name
        self._plans = plans
        self._file = spool.add_file(name, columns_of(plans))
        self._main = next(kind for kind in ("orders", "lines", "customers", "products") if kind in plans)
        self._faults: list[tuple[str, Fault]] = []
        self._order = ""
        """The order number of the last row that had one."""
        self._line = 0

    def read_row(self, line: int, cells: list[str], problem: str | None) -> None:
        self._line = line
        if problem is not None:
            self._report.fault(self._main, Place(self._name, line), problem)
            for kind, plan in self._plans.items():
                self._spoil_unreadable(kind, plan, cells)
            return
        number = ""
        for kind, plan in self._plans.items():
            if kind == "orders":
                number = self._read_order(plan, cells)
            elif kind == "lines":
                self._store_line(plan, plan.read(cells))
            elif kind == "customers":
                self._read_customer(plan, cells, number)
            else:
                self._read_product(plan, cells, number)
        self._report_faults()

    def read_object(self, line: int, order: dict[str, Any]) -> None:
        self._line = line
        self._order = ""  # an object's lines are its own, also where its number cannot be read
        for kind, values in unnest_order(order):
            plan = self._plans[kind]
            number = order.get("number")
            problem = values if isinstance(values, str) else _unknown_fields(kind, values)
            if problem is not None:
                self._faults.append((kind, Fault(1, "", problem)))
                if problem != NO_ORDER:
                    self._spoil("orders", number.strip() if isinstance(number, str) else "")
                continue
            assert isinstance(values, dict)
            row = _read_fields(plan, values)
            if kind == "lines":
                self._store_line(plan, row)
            elif self._check_row(plan, row):
                self._store_row(plan, row, row.values[0])
        self._report_faults()

    def _report_faults(self) -> None:
        """Report each faulty column once and count the row once: two sections can read the same cell."""
        if not self._faults:
            return
        reported_columns: set[int] = set()
        counted = False
        for kind, fault in self._faults:
            if fault.what and fault.column not in reported_columns:
                reported_columns.add(fault.column)
                if not counted:
                    self._report.bad[kind] += 1
                    counted = True
                self._report.faults.add(
                    Place(self._name, self._line, fault.column, fault.header), fault.what, fault.sort
                )
        self._faults.clear()

    # Reading a row by each section

    def _read_order(self, plan: SectionPlan, cells: list[str]) -> str:
        """Read an order's row, and return its number, or an empty text if it has none."""
        raw = plan.raw(cells)
        hint = cells[plan.columns["number"][0] - 1].strip()
        if plan.seen.get(hint) == raw:
            self._order = hint
            return hint
        row = plan.read(cells)
        number = row.values[0] or ""
        self._order = row.owner_key or self._order
        if self._check_row(plan, row) and self._store_row(plan, row, number):
            _cache_row(plan, hint, raw, number)
        return number

    def _read_customer(self, plan: SectionPlan, cells: list[str], order: str) -> None:
        raw = plan.raw(cells)
        hint = cells[plan.columns["number"][0] - 1].strip()
        if hint and plan.seen.get(hint) == raw:
            return
        row = plan.read(cells)
        if row.ranks[0] >= DEFAULT and "orders" in self._plans:
            entity = self._spool.find("orders", order) if order else None
            if entity is not None and entity.ranks[CUSTOMER] < DEFAULT:
                row.values[0] = entity.values[CUSTOMER]
            elif row.ranks[0] == BLANK and row.fault is None and min(row.ranks[1:], default=BLANK) >= DEFAULT:
                return  # this row has no customer; if no row of the order has one, the order is reported later
        if self._check_row(plan, row) and self._store_row(plan, row, row.values[0]):
            _cache_row(plan, hint, raw, row.values[0])

    def _read_product(self, plan: SectionPlan, cells: list[str], order: str) -> None:
        raw = plan.raw(cells)
        hint = cells[plan.columns["sku"][0] - 1].strip()
        if hint and plan.seen.get(hint) == raw:
            return
        row = plan.read(cells)
        has_no_sku = row.ranks[0] == BLANK and row.fault is None
        if has_no_sku and "lines" in self._plans and _all_empty(row.ranks[1:CURRENCY_OF_PRICE]):
            return
        if not self._check_row(plan, row):
            return
        has_currency = "currency" in plan.fixed or row.ranks[PRODUCT["currency"]] < DEFAULT
        if self._store_row(plan, row, row.values[0], order) and has_currency:
            _cache_row(plan, hint, raw, row.values[0])

    def _store_line(self, plan: SectionPlan, row: ColumnValues) -> None:
        """Store a line's row, or report its fault."""
        order = row.values[KEY] or ""
        above = self._order if row.has_empty_key and row.ranks[LINE["sku"]] < BLANK else ""
        self._order = row.owner_key or self._order
        if row.fault is None:
            row.fault = self._missing_key(plan, row)
        if (
            row.fault is None
            and plan.counted
            and "orders" in self._plans
            and _all_empty([row.ranks[i] for i in LINE_SLOTS])
        ):
            self._spool.mark_row_without_line(order)
            return
        if row.fault is None:
            row.fault = next(
                (
                    plan.fault(name, "is empty; it needs a value")
                    for name in plan.kind.required if row.ranks[LINE[name]] == BLANK
                ),
                None,
            )  # fmt: skip
        if row.fault is not None:
            self._faults.append(("lines", row.fault))
            self._spoil("lines", row.owner_key or above)  # a row without an order may belong to the one above
            return
        values = [False if row.ranks[slot] == ABSENT else row.values[slot] for slot in LINE_SLOTS]
        self._spool.add_line(order, row.values[LINE["line"]], values, self._file, self._line)

    def _missing_key(self, plan: SectionPlan, row: ColumnValues) -> Fault | None:
        for name in plan.kind.keys:
            if row.values[LINE[name]] is None and not (name == "line" and plan.counted):
                return plan.fault(name, f"is empty; it names the {'order' if name == 'order' else 'line'}")
        return None

    def _check_row(self, plan: SectionPlan, row: ColumnValues) -> bool:
        """Return whether the row can be used; if not, report it and mark its entity as spoiled."""
        key = row.values[0]
        if row.fault is None and key is None:
            row.fault = plan.fault(plan.kind.keys[0], f"is empty; it names the {plan.kind.name}")
        if row.fault is None:
            return True
        self._faults.append((plan.name, row.fault))
        self._spoil(plan.name, row.owner_key)
        return False

    def _spoil_unreadable(self, kind: str, plan: SectionPlan, cells: list[str]) -> None:
        """Mark the entity as spoiled that a row which cannot be parsed seems to belong to."""
        key = visible_key(plan.text_of(KEY, cells))
        if kind in {"orders", "lines"}:
            self._order = key or self._order
        if kind == "lines" and not key and plan.text_of(LINE["sku"], cells):
            key = self._order
        self._spoil(kind, key)

    # To the spool

    def _store_row(self, plan: SectionPlan, row: ColumnValues, key: str, order: str = "") -> bool:
        """Merge the row into its entity and, for a product, its price; return whether it was merged."""
        if plan.name != "products":
            return self._merge(plan, plan.name, key, "", row)
        currency, price = PRODUCT["currency"], PRODUCT["unit_price"]
        if row.ranks[price] == ABSENT:
            return self._merge(plan, "products", key, "", row)
        sub = str(row.values[currency] or "")
        if row.ranks[currency] >= DEFAULT and "currency" not in plan.fixed and order and "orders" in self._plans:
            entity = self._spool.find("orders", order)
            has_currency = entity is not None and entity.ranks[CURRENCY] < DEFAULT
            sub = str(entity.values[CURRENCY]) if entity is not None and has_currency else OF_ORDER + order
        if not sub and row.values[price] is not None:
            if all(kind != "orders" for kind, _ in self._faults):  # else its order was reported
                what = "is empty, but there is a price; add its currency"
                self._faults.append(("products", plan.fault("currency", what)))
            self._spoil("products", key)
            return False
        good = self._merge(plan, "products", key, "", row, without=(currency, price))
        return self._merge(plan, "prices", key, sub, row, only=(currency, price)) and good if sub else good

    def _merge(
        self, plan: SectionPlan, kind: str, key: str, sub: str, row: ColumnValues, *,
        without: Sequence[int] = (), only: Sequence[int] = (),
    ) -> bool:  # fmt: skip
        values, ranks = list(row.values), list(row.ranks)
        for slot in range(len(ranks)):
            if slot in without or (only and slot not in only):
                values[slot], ranks[slot] = None, ABSENT
        place = self._spool.place_number(self._file, self._line)
        entity = self._spool.find(kind, key, sub)
        differing = []
        if entity is None:
            entity = Entity(values, ranks, [place] * len(values))
        else:
            numeric = NUMERIC[plan.name]
            differing = merge(entity, values, ranks, place, numeric=numeric, last=kind != "orders")
        for slot, before, where in differing:
            self._report_difference(plan, kind, key, slot, (before, values[slot]), where)
            if kind == "orders":
                entity.ranks[slot] = EXPLICIT - 1  # reported; further rows change nothing
                entity.changed = True
        self._spool.put(kind, key, sub, entity)
        return kind != "orders" or not differing

    def _report_difference(
        self, plan: SectionPlan, kind: str, key: str, slot: int, both: tuple[Any, Any], where: int
    ) -> None:
        field = list(plan.kind.fields)[slot]
        column, header = plan.columns.get(field, (1, ""))
        earlier = self._spool.file_and_line(where)
        before, now = (quote_value(str(value)) for value in both)
        if kind == "orders":
            what = f"order {quote_value(key)} has {now} here and {before} in {earlier}; keep one of the two"
            self._faults.append((kind, Fault(column, header, what, "an order's rows differ")))
            self._spoil(kind, key)
            return
        name = "price" if kind == "prices" else field
        what = f"{plan.kind.name} {quote_value(key)} has {now} here and {before} in {earlier}; the later one is used"
        place = Place(self._name, self._line, column, header)
        self._report.changes.add(place, what, f"another {name} of a {plan.kind.name}")

    def _spoil(self, kind: str, key: str) -> None:
        if visible := visible_key(key):
            self._spool.spoil("orders" if kind == "lines" else kind, visible)


def _all_empty(ranks: Sequence[int]) -> bool:
    """Return whether no cell has a value of its own."""
    return min(ranks, default=BLANK) >= DEFAULT


def _cache_row(plan: SectionPlan, hint: str, raw: Any, key: str) -> None:
    if hint == key:
        if len(plan.seen) >= 50_000:
            plan.seen.clear()
        plan.seen[key] = raw


def plans_of_objects() -> dict[str, SectionPlan]:
    """Return the plans for NDJSON: every field has its own name, and `_read_fields` reads it."""
    form = NumberAndDateFormat()
    return {
        name: SectionPlan(
            kind, name,
            [(SLOTS[name][field], _read_absent, make_converter(kind, field, form), 1, field) for field in kind.fields],
            {field: (1, field) for field in kind.fields},
            lambda _: (),
        )
        for name, kind in KINDS.items()
    }  # fmt: skip


def _read_absent(_: list[str]) -> tuple[None, int]:
    return None, ABSENT


def _read_fields(plan: SectionPlan, texts: Mapping[str, str]) -> ColumnValues:
    size = len(plan.kind.fields)
    row = ColumnValues([None] * size, [ABSENT] * size)
    for slot, _, read, column, name in plan.fields:
        if name not in texts:
            continue
        text = texts[name].strip()
        row.ranks[slot] = EXPLICIT if text else BLANK
        try:
            row.values[slot] = read(text) if text else None
        except BadValueError as error:
            row.ranks[slot] = BLANK
            row.key_text = visible_key(text) if slot == KEY else row.key_text
            row.fault = row.fault or Fault(column, name, str(error), error.kind)
    return row


def _unknown_fields(kind: str, values: Mapping[str, str]) -> str | None:
    unknown = sorted(values.keys() - KINDS[kind].fields)
    if kind == "orders" and set(unknown) & _ENTITY_FIELDS and not values.keys() & _ORDER_FIELDS:
        return NO_ORDER
    return f"unknown: {', '.join(unknown)}; remove it, or correct its name" if unknown else None
