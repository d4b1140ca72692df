"""`python -m tests.bench.queue`: the memory and CPU of a push that finds many orders queued.

Confirmed orders of four lines, their customers and products are stored as they come from an import, and none of them
has been sent. `connector push` then runs in a process of its own, whose memory is read five times a second, against a
local org in a third one. After that, every order is in the org and nothing is left to send; unless `--seconds` ends the
push before, for queues that would take hours on a small machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil

from connector.model.customer import Customer
from connector.model.order import LineInput, OrderInput
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.store import customers, orders, products, schema
from connector.store.engine import Store
from tests.bench.databases import Database, database
from tests.bench.live import local_org
from tests.order_builders import order_input

LOOK_SECONDS = 0.2
BATCH = 1_000
PRODUCTS = 100
LINES = 4
ORDERS_OF_A_CUSTOMER = 20


def queued_orders(first: int, count: int) -> Iterator[OrderInput]:
    for number in range(first, first + count):
        lines = tuple(
            LineInput(
                number=line, sku=f"P-{(number + line) % PRODUCTS}", quantity=Decimal(line), unit_price=Decimal("9.50")
            )
            for line in range(1, LINES + 1)
        )
        yield order_input(
            number=f"Q-{number}",
            customer=f"C-{number // ORDERS_OF_A_CUSTOMER}",
            placed_at=datetime(2026, 2, 3, tzinfo=UTC),
            currency="USD",
            stage=Stage.CONFIRMED,
            lines=lines,
        )


async def fill(url: str, count: int) -> None:
    """Queue so many orders."""
    store = Store.open(url)
    try:
        await schema.upgrade(store)
        price = (Price(currency="USD", unit_price=Decimal("9.50")),)
        async with store.transaction() as uow:
            await products.save(
                uow, [Product(sku=f"P-{number}", name=f"Product {number}", prices=price) for number in range(PRODUCTS)]
            )
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            first, last = start // ORDERS_OF_A_CUSTOMER, (start + size - 1) // ORDERS_OF_A_CUSTOMER
            async with store.transaction() as uow:
                await customers.save(
                    uow,
                    [Customer(number=f"C-{number}", name=f"Customer {number}") for number in range(first, last + 1)],
                )
                await orders.save(uow, list(queued_orders(start, size)))
    finally:
        await store.close()


def push(made: Database, org: dict[str, str], seconds: float | None) -> dict[str, object]:
    """Run a push to its end, or for so many seconds, and say what it took."""
    environment = os.environ | {
        "CONNECTOR_DATABASE_URL": made.url,
        "CONNECTOR_SALESFORCE__LOGIN_URL": org["instance_url"],
        "CONNECTOR_SALESFORCE__CLIENT_ID": org["client_id"],
        "CONNECTOR_SALESFORCE__CLIENT_SECRET": org["client_secret"],
    }
    began = time.perf_counter()
    command = [sys.executable, "-m", "connector", "push", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        seen = psutil.Process(process.pid)
        memory, cpu = [0], 0.0
        is_stopped = False
        while process.poll() is None:
            if seconds is not None and not is_stopped and time.perf_counter() - began > seconds:
                process.terminate()
                is_stopped = True
            try:
                memory.append(seen.memory_info().rss)
                cpu = sum(seen.cpu_times()[:2])
            except psutil.NoSuchProcess:
                break
            time.sleep(LOOK_SECONDS)
        assert process.stdout is not None
        answer = process.stdout.read()
    if process.returncode and not is_stopped:
        raise SystemExit(f"The push ended with exit status {process.returncode}: {answer}")
    quarter = len(memory) // 4
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "is_whole": not is_stopped,
        "cpu_ms_per_order": cpu,
        "memory_mib": {
            "first_quarter": round(max(memory[: quarter + 1]) / 2**20, 1),
            "last_quarter": round(max(memory[-quarter - 1 :]) / 2**20, 1),
            "peak": round(max(memory) / 2**20, 1),
        },
    }


def measure(count: int, *, postgres: bool, seconds: float | None = None) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder, database(Path(folder), postgres=postgres) as made:
        asyncio.run(fill(made.url, count))
        org_file = Path(folder) / "org.db"
        with local_org(org_file, latency_ms=0) as org:
            found = push(made, org, seconds)
        connection = sqlite3.connect(f"file:{org_file}?mode=ro", uri=True)
        [(activated,)] = connection.execute("""SELECT count(*) FROM "Order" WHERE "Status" = 'Activated'""")
        connection.close()
    is_whole = found.pop("is_whole")
    if activated != count and is_whole:
        raise SystemExit(f"{activated} of {count} orders are activated in the org.")
    cpu = found.pop("cpu_ms_per_order")
    assert isinstance(cpu, float)
    kind = "PostgreSQL" if postgres else "SQLite"
    sent = {} if is_whole else {"activated": activated}
    return {"orders": count, **sent, "database": kind, **found, "cpu_ms_per_order": round(cpu * 1000 / activated, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.queue", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, nargs="+", default=[10_000], help="one push for each number (10000)")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL from its wheel instead of SQLite")
    parser.add_argument("--seconds", type=float, help="end each push after so many seconds")
    wanted = parser.parse_args()
    for count in wanted.orders:
        print(json.dumps(measure(count, postgres=wanted.postgres, seconds=wanted.seconds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
