"""The rows of one file: what each section makes of a row, and how that goes together with earlier rows.

Of a customer or product the last row that says something stands; of an order all rows must agree. An empty cell says
nothing where another row does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.model.keys import visible_key
from connector.orders.importing.fields import KINDS, BadValueError, Form, shown
from connector.orders.importing.objects import unnested
from connector.orders.importing.plan import KEY, NUMERIC, SLOTS, ColumnValues, Fault, SectionPlan, columns_of, convert
from connector.orders.importing.reader import Place
from connector.orders.importing.report import ImportReport
from connector.orders.importing.spool import Entity, Spool, merge
from connector.orders.importing.values import ABSENT, BLANK, DEFAULT, SAID

CUSTOMER, CURRENCY = SLOTS["orders"]["customer"], SLOTS["orders"]["currency"]
LINE = SLOTS["lines"]
PRODUCT = SLOTS["products"]
CURRENCY_OF_PRICE = PRODUCT["currency"]
"""The last field of a product; it alone says nothing."""
GOODS = [LINE[name] for name in ("sku", "quantity", "unit_price", "discount")]
OF_ORDER = "@"
"""What a price's `sub` begins with while its currency is that of an order which has not said it yet."""


class Rows:
    """The rows of one file, on their way to the spool."""

    def __init__(self, spool: Spool, report: ImportReport, name: str, plans: Mapping[str, SectionPlan]) -> None:
        self._spool = spool
        self._report = report
        self._name = name
        self._plans = plans
        self._file = spool.file(name, columns_of(plans))
        self._main = next(kind for kind in ("orders", "lines", "customers", "products") if kind in plans)
        self._faults: list[tuple[str, Fault]] = []
        self._order = ""
        """Of the last row that named one."""
        self._line = 0

    def take(self, line: int, cells: list[str], problem: str | None) -> None:
        self._line = line
        if problem is not None:
            self._report.fault(self._main, Place(self._name, line), problem)
            for kind, plan in self._plans.items():
                self._broken(kind, plan, cells)
            return
        number = ""
        for kind, plan in self._plans.items():
            if kind == "orders":
                number = self._keyed(plan, cells)
            elif kind == "lines":
                self._goods(plan, plan.read(cells))
            elif kind == "customers":
                self._customer(plan, cells, number)
            else:
                self._product(plan, cells, number)
        self._tell()

    def take_object(self, line: int, order: dict[str, Any]) -> None:
        self._line = line
        self._order = ""  # an object's lines are its own, also where its number cannot be read
        for kind, values in unnested(order):
            plan = self._plans[kind]
            number = order.get("number")
            wrong = values if isinstance(values, str) else _unknown(kind, values)
            if wrong is not None:
                self._faults.append((kind, Fault(1, "", wrong)))
                self._spoil("orders", number.strip() if isinstance(number, str) else "")
                continue
            assert isinstance(values, dict)
            said = _read_object(plan, values)
            if kind == "lines":
                self._goods(plan, said)
            elif self._sound(plan, said):
                self._keep(plan, said, said.values[0])
        self._tell()

    def _tell(self) -> None:
        """Each column once, and the row once: two sections may have read the same cell."""
        if not self._faults:
            return
        told: set[int] = set()
        counted = False
        for kind, fault in self._faults:
            if fault.what and fault.column not in told:
                told.add(fault.column)
                if not counted:
                    self._report.bad[kind] += 1
                    counted = True
                self._report.faults.add(
                    Place(self._name, self._line, fault.column, fault.header), fault.what, fault.sort
                )
        self._faults.clear()

    # What each section makes of a row

    def _keyed(self, plan: SectionPlan, cells: list[str]) -> str:
        """An order's row. Its number, if the row has one."""
        raw = plan.raw(cells)
        hint = cells[plan.columns["number"][0] - 1].strip()
        if plan.seen.get(hint) == raw:
            self._order = hint
            return hint
        said = plan.read(cells)
        number = said.values[0] or ""
        self._order = said.whose or self._order
        if self._sound(plan, said) and self._keep(plan, said, number):
            _remember(plan, hint, raw, number)
        return number

    def _customer(self, plan: SectionPlan, cells: list[str], order: str) -> None:
        raw = plan.raw(cells)
        hint = cells[plan.columns["number"][0] - 1].strip()
        if hint and plan.seen.get(hint) == raw:
            return
        said = plan.read(cells)
        if said.ranks[0] >= DEFAULT and "orders" in self._plans:
            entity = self._spool.find("orders", order) if order else None
            if entity is not None and entity.ranks[CUSTOMER] < DEFAULT:
                said.values[0] = entity.values[CUSTOMER]
            elif said.ranks[0] == BLANK and said.fault is None and min(said.ranks[1:], default=BLANK) >= DEFAULT:
                return  # the order says nothing of its customer here, and will be told if it never does
        if self._sound(plan, said) and self._keep(plan, said, said.values[0]):
            _remember(plan, hint, raw, said.values[0])

    def _product(self, plan: SectionPlan, cells: list[str], order: str) -> None:
        raw = plan.raw(cells)
        hint = cells[plan.columns["sku"][0] - 1].strip()
        if hint and plan.seen.get(hint) == raw:
            return
        said = plan.read(cells)
        unnamed = said.ranks[0] == BLANK and said.fault is None
        if unnamed and "lines" in self._plans and _silent(said.ranks[1:CURRENCY_OF_PRICE]):
            return
        if not self._sound(plan, said):
            return
        known = "currency" in plan.fixed or said.ranks[PRODUCT["currency"]] < DEFAULT
        if self._keep(plan, said, said.values[0], order) and known:
            _remember(plan, hint, raw, said.values[0])

    def _goods(self, plan: SectionPlan, said: ColumnValues) -> None:
        """A line's row."""
        order = said.values[KEY] or ""
        above = self._order if said.names_none and said.ranks[LINE["sku"]] < BLANK else ""
        self._order = said.whose or self._order
        if said.fault is None:
            said.fault = self._wrong_line(plan, said)
        if said.fault is None and plan.counted and "orders" in self._plans and _silent([said.ranks[i] for i in GOODS]):
            self._spool.mark_empty(order)
            return
        if said.fault is None:
            said.fault = next(
                (
                    plan.fault(name, "is empty; it needs a value")
                    for name in plan.kind.required if said.ranks[LINE[name]] == BLANK
                ),
                None,
            )  # fmt: skip
        if said.fault is not None:
            self._faults.append(("lines", said.fault))
            self._spoil("lines", said.whose or above)  # a row that names no order may belong to the one above it
            return
        values = [False if said.ranks[slot] == ABSENT else said.values[slot] for slot in GOODS]
        self._spool.line(order, said.values[LINE["line"]], values, self._file, self._line)

    def _wrong_line(self, plan: SectionPlan, said: ColumnValues) -> Fault | None:
        for name in plan.kind.keys:
            if said.values[LINE[name]] is None and not (name == "line" and plan.counted):
                return plan.fault(name, f"is empty; it names the {'order' if name == 'order' else 'line'}")
        return None

    def _sound(self, plan: SectionPlan, said: ColumnValues) -> bool:
        """Whether the row can be used; if not, that is noted and its entity spoiled."""
        key = said.values[0]
        if said.fault is None and key is None:
            said.fault = plan.fault(plan.kind.keys[0], f"is empty; it names the {plan.kind.name}")
        if said.fault is None:
            return True
        self._faults.append((plan.name, said.fault))
        self._spoil(plan.name, said.whose)
        return False

    def _broken(self, kind: str, plan: SectionPlan, cells: list[str]) -> None:
        """A row that is none: what it seems to be of is spoiled."""
        key = visible_key(plan.text_of(KEY, cells))
        if kind in {"orders", "lines"}:
            self._order = key or self._order
        if kind == "lines" and not key and plan.text_of(LINE["sku"], cells):
            key = self._order
        self._spoil(kind, key)

    # To the spool

    def _keep(self, plan: SectionPlan, said: ColumnValues, key: str, order: str = "") -> bool:
        """Whether what the row says stands."""
        if plan.name != "products":
            return self._merge(plan, plan.name, key, "", said)
        currency, price = PRODUCT["currency"], PRODUCT["unit_price"]
        if said.ranks[price] == ABSENT:
            return self._merge(plan, "products", key, "", said)
        sub = str(said.values[currency] or "")
        if said.ranks[currency] >= DEFAULT and "currency" not in plan.fixed and order and "orders" in self._plans:
            entity = self._spool.find("orders", order)
            known = entity is not None and entity.ranks[CURRENCY] < DEFAULT
            sub = str(entity.values[CURRENCY]) if entity is not None and known else OF_ORDER + order
        if not sub and said.values[price] is not None:
            if all(kind != "orders" for kind, _ in self._faults):  # else its order was told already
                what = "is empty, but there is a price; say in which currency"
                self._faults.append(("products", plan.fault("currency", what)))
            self._spoil("products", key)
            return False
        good = self._merge(plan, "products", key, "", said, without=(currency, price))
        return self._merge(plan, "prices", key, sub, said, only=(currency, price)) and good if sub else good

    def _merge(
        self, plan: SectionPlan, kind: str, key: str, sub: str, said: ColumnValues, *,
        without: Sequence[int] = (), only: Sequence[int] = (),
    ) -> bool:  # fmt: skip
        values, ranks = list(said.values), list(said.ranks)
        for slot in range(len(ranks)):
            if slot in without or (only and slot not in only):
                values[slot], ranks[slot] = None, ABSENT
        place = self._spool.at(self._file, self._line)
        entity = self._spool.find(kind, key, sub)
        differing = []
        if entity is None:
            entity = Entity(values, ranks, [place] * len(values))
        else:
            numeric = NUMERIC[plan.name]
            differing = merge(entity, values, ranks, place, numeric=numeric, last=kind != "orders")
        for slot, before, where in differing:
            self._differs(plan, kind, key, slot, (before, values[slot]), where)
            if kind == "orders":
                entity.ranks[slot] = SAID - 1  # told; whatever more rows say changes nothing
                entity.changed = True
        self._spool.put(kind, key, sub, entity)
        return kind != "orders" or not differing

    def _differs(self, plan: SectionPlan, kind: str, key: str, slot: int, both: tuple[Any, Any], where: int) -> None:
        field = list(plan.kind.fields)[slot]
        column, header = plan.columns.get(field, (1, ""))
        earlier = self._spool.told_at(where)
        before, now = (shown(str(value)) for value in both)
        if kind == "orders":
            what = f"order {shown(key)} has {now} here and {before} in {earlier}; keep one of the two"
            self._faults.append((kind, Fault(column, header, what, "an order's rows differ")))
            self._spoil(kind, key)
            return
        name = "price" if kind == "prices" else field
        what = f"{plan.kind.name} {shown(key)} has {now} here and {before} in {earlier}; the later one stands"
        place = Place(self._name, self._line, column, header)
        self._report.changes.add(place, what, f"another {name} of a {plan.kind.name}")

    def _spoil(self, kind: str, key: str) -> None:
        if visible := visible_key(key):
            self._spool.spoil("orders" if kind == "lines" else kind, visible)


def _silent(ranks: Sequence[int]) -> bool:
    """Whether no cell says anything."""
    return min(ranks, default=BLANK) >= DEFAULT


def _remember(plan: SectionPlan, hint: str, raw: Any, key: str) -> None:
    if hint == key:
        if len(plan.seen) >= 50_000:
            plan.seen.clear()
        plan.seen[key] = raw


def plans_of_objects() -> dict[str, SectionPlan]:
    """Of NDJSON: every field by its own name, read by `_read_object`."""
    form = Form()
    return {
        name: SectionPlan(
            kind, name,
            [(SLOTS[name][field], _nothing, convert(kind, field, form), 1, field) for field in kind.fields],
            {field: (1, field) for field in kind.fields},
            lambda _: (),
        )
        for name, kind in KINDS.items()
    }  # fmt: skip


def _nothing(_: list[str]) -> tuple[None, int]:
    return None, ABSENT


def _read_object(plan: SectionPlan, texts: Mapping[str, str]) -> ColumnValues:
    size = len(plan.kind.fields)
    said = ColumnValues([None] * size, [ABSENT] * size)
    for slot, _, read, column, name in plan.fields:
        if name not in texts:
            continue
        text = texts[name].strip()
        said.ranks[slot] = SAID if text else BLANK
        try:
            said.values[slot] = read(text) if text else None
        except BadValueError as error:
            said.ranks[slot] = BLANK
            said.named = visible_key(text) if slot == KEY else said.named
            said.fault = said.fault or Fault(column, name, str(error), error.kind)
    return said


def _unknown(kind: str, values: Mapping[str, str]) -> str | None:
    unknown = sorted(values.keys() - KINDS[kind].fields)
    return f"unknown: {', '.join(unknown)}; take it out, or correct its name" if unknown else None
