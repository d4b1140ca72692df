"""`python -m tests.bench.reconcile`: both sides are compared, with many orders and their lines.

Orders are written into the local org's file and the connector's database directly, as a push would leave them, linked
and equal: the first thousand by the mapping, the others as copies of these with other keys and IDs. One process serves
the org; the comparison is a process of its own, whose calls, time and peak of memory are
printed. The figures are this machine's; most of the time goes into reading and mapping our side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.cli.localorg import our_metadata
from connector.jobs.reconcile import ReconcileOptions
from connector.localorg import ids
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.write_plan import WritePlan
from connector.log import configure
from connector.mapping import MappingSet, load_mappings
from connector.model.customer import Customer
from connector.model.order import LineInput, OrderInput
from connector.model.product import Price, Product
from connector.model.record import Link, MappedRecord
from connector.model.stage import Stage
from connector.service import running_service
from connector.store import customers, links, orders, products, schema
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork
from tests.bench.bulk_pull import run_apart, serving, settings_for
from tests.order_builders import order_input

SKUS = 100
ORDERS_OF_A_CUSTOMER = 10
BATCH = 1000
COPIED = ("N-00000", "C-00000", "001Lo0000000", "801Lo0000000", "802Lo0000000")
"""What the keys and IDs of the first batch begin with: the last five digits are the number of the batch."""
TABLES = {"org": ("Account", "Order", "OrderItem"), "here": ("customers", "orders", "order_lines", "links")}
"""Tables whose rows are copied for further batches."""
PREFIXES = {"customer": "001", "product": "01t", "price": "01u", "order": "801", "line": "802"}
SOBJECTS = {"customer": "Account", "product": "Product2", "price": "PricebookEntry", "order": "Order",
            "line": "OrderItem"}  # fmt: skip


class Silent:
    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def print_line(self, text: str) -> None: ...


class Sides:
    """Writes the same entities into both sides."""

    def __init__(self, org: LocalOrg, mappings: MappingSet) -> None:
        self._org = org.org
        self._mappings = mappings
        self._plans: dict[str, WritePlan] = {}
        self._numbers: dict[str, int] = {}
        self._record_ids: dict[tuple[str, str], str] = {}
        now = datetime.now(UTC) - timedelta(hours=3)
        self._stamps = dict.fromkeys(
            ("CreatedDate", "LastModifiedDate", "SystemModstamp"), f"{now:%Y-%m-%dT%H:%M:%S}.000+0000"
        )
        self.org_id = org.org.auth.identity.organization_id

    def record_id(self, entity: str, key: str) -> str:
        """The ID of the record, a new one if it has none."""
        if (entity, key) not in self._record_ids:
            number = self._numbers[entity] = self._numbers.get(entity, 0) + 1
            self._record_ids[entity, key] = ids.make(PREFIXES[entity], number)
        return self._record_ids[entity, key]

    async def write(self, uow: UnitOfWork, records: Sequence[tuple[MappedRecord, dict[str, Any]]]) -> None:
        """Write these mapped records, with further fields of each, into the org, and link them."""
        stored: list[Link] = []
        for record, more in records:
            values = dict(record.fields) | more
            for name, lookup in record.lookups.items():
                if lookup.entity in PREFIXES:
                    values[name] = self.record_id(lookup.entity, lookup.key)
            record_id = self.record_id(record.entity, record.key)
            self._insert(record.sobject, record_id, values)
            stored.append(
                Link(entity=record.entity, key=record.key, sobject=record.sobject, salesforce_id=record_id,
                     snapshot={name: value for name, value in values.items() if name != "OrderId"})
            )  # fmt: skip
        await links.put(uow, self.org_id, stored)
        uow._changed.clear()

    def _insert(self, sobject: str, record_id: str, values: dict[str, Any]) -> None:
        plan = self._plans.setdefault(sobject, self._org.dml.plan(sobject))
        row = dict.fromkeys(plan.columns) | plan.defaults | self._stamps | {"Id": record_id}
        row |= {name: plan.inputs[name.lower()].coerce(value) for name, value in values.items()}
        self._org.storage.connection.execute(plan.insert_sql, [row[column] for column in plan.columns])


def an_order(number: int, line_count: int) -> OrderInput:
    lines = tuple(
        LineInput(number=n, sku=f"P-{(number * 4 + n) % SKUS:03}", quantity=Decimal(n), unit_price=Decimal("12.50"))
        for n in range(1, line_count + 1)
    )
    return order_input(
        number=f"N-{number:08}", customer=f"C-{number // ORDERS_OF_A_CUSTOMER:07}", currency="USD", lines=lines,
        placed_at=datetime(2026, 3, 1, tzinfo=UTC), stage=Stage.SHIPPED, notes=f"Order {number}",
    )  # fmt: skip


def catalog() -> list[Product]:
    price = (Price(currency="USD", unit_price=Decimal("12.50")),)
    return [Product(sku=f"P-{number:03}", name=f"Product {number}", prices=price) for number in range(SKUS)]


async def fill(folder: Path, count: int, line_count: int) -> None:
    """Both sides with so many orders, equal, and nothing due."""
    data, here = folder / "org.db", folder / "connector.db"
    org = LocalOrg(OrgOptions(data=data, metadata_root=our_metadata()))
    mappings = load_mappings()
    sides, store = Sides(org, mappings), Store.open(f"sqlite:///{here}")
    await schema.upgrade(store)
    storage = org.org.storage
    async with store.transaction() as uow:
        items = catalog()
        await products.save(uow, items)
        with storage.transaction():
            await sides.write(uow, [(record, {}) for item in items if (record := mappings.product.map(item))])
            await links.put(
                uow, sides.org_id,
                [
                    Link(entity="price", key=f"{item.sku}|USD", sobject="PricebookEntry", snapshot={},
                         salesforce_id=sides.record_id("price", f"{item.sku}|USD"))
                    for item in items
                ],
            )  # fmt: skip
    await fill_some(sides, store, storage, mappings, [an_order(n, line_count) for n in range(min(count, BATCH))])
    for entity, number in sides._numbers.items():
        with storage.transaction():
            storage.next_number(SOBJECTS[entity], first=number + 1)
    org.org.close()
    await store.close()
    batches = -(-count // BATCH)
    copy_batch(data, TABLES["org"], batches)
    copy_batch(here, TABLES["here"], batches)


def copy_batch(file: Path, tables: Sequence[str], batches: int) -> None:
    """Copy the rows of the first batch of orders, with keys and IDs of their own, until there are so many batches.

    Batch 7 has the orders `N-00007000` to `N-00007999`, and the same digits within its IDs; digits alone do not change
    the checksum of an ID.
    """
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for table in tables:
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            key = next(name for name in ("External_Key__c", "key", "order_number", "number") if name in columns)
            copied = ", ".join(copied_value(connection, table, name) for name in columns)
            connection.execute(
                f'CREATE TEMP TABLE first_batch AS SELECT * FROM "{table}" WHERE substr("{key}", 1, 2) != ?', ("P-",)
            )
            for number in range(1, batches):
                batch = {"batch": f"{number:05}"}
                connection.execute(f'INSERT INTO "{table}" SELECT {copied} FROM first_batch', batch)
            connection.execute("DROP TABLE first_batch")
    connection.close()


def copied_value(connection: sqlite3.Connection, table: str, column: str) -> str:
    """The SQL of what a copy has in this column."""
    value = f'"{column}"'
    for name in COPIED:
        if connection.execute(f'SELECT 1 FROM "{table}" WHERE "{column}" LIKE ?', (f"%{name}%",)).fetchone():
            value = f"replace({value}, '{name}', '{name[:-5]}' || :batch)"
    return value


async def fill_some(sides: Sides, store: Store, storage: Any, mappings: MappingSet, placed: list[OrderInput]) -> None:
    people = [
        Customer(number=number, name=f"Customer {number}", city="Münster")
        for number in sorted({order.customer for order in placed})
    ]
    async with store.transaction() as uow:
        uow.now -= timedelta(hours=2)
        await customers.save(uow, people)
        await orders.save(uow, placed)
        loaded = await orders.load(uow.connection, [order.number for order in placed])
        with storage.transaction():
            await sides.write(uow, [(record, {}) for one in people if (record := mappings.map_customer(one, None))])
            records: list[tuple[MappedRecord, dict[str, Any]]] = []
            for order in loaded:
                record = mappings.order.map(order)
                assert record is not None
                order_id = sides.record_id("order", order.key)
                records += [(record, {}), *((line, {"OrderId": order_id}) for line in record.children)]
            await sides.write(uow, records)


async def compare(url: str) -> dict[str, Any]:
    """One comparison: what it found, and what that took."""
    configure("ERROR")
    async with running_service(settings_for(url)) as service:
        started = time.perf_counter()
        summary = await service.reconcile(ReconcileOptions(), Silent())
        seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = summary.result
    return {
        "verified": result.verified,
        "total": result.total(),
        "findings": [str(item) for item in result.findings[:3]],
        "calls": summary.calls,
        "expected_calls": summary.expected_calls,
        "plans": {plan.sobject: f"{plan.records} by {'bulk' if plan.bulk else 'query'}" for plan in summary.plans},
        "seconds": round(seconds, 1),
        "records_per_second": round(result.total() / seconds),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reconcile", description=__doc__)
    parser.add_argument("--orders", type=int, nargs="+", default=[1000, 20_000], help="orders, full thousands")
    parser.add_argument("--lines", type=int, default=4, help="lines of each order (4)")
    parser.add_argument("--inside", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(asyncio.run(compare(options.inside))))
        return 0
    figures = []
    for count in options.orders:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            asyncio.run(fill(Path(folder), count, options.lines))
            filled = round(time.perf_counter() - started)
            with serving(Path(folder) / "org.db") as banner:
                url = f"sqlite:///{folder}/connector.db"
                found = run_apart("tests.bench.reconcile", banner, "--inside", url)
            figures.append({"orders": count, "lines": options.lines, "seconds_to_fill": filled, **found})
            print(json.dumps(figures[-1]), file=sys.stderr, flush=True)
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
