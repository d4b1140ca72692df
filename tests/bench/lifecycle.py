"""`python -m tests.bench.lifecycle`: orders through their whole life on one database, placement to completion.

Each round takes `--batch` orders through placement, verification by the rules, authorization, confirmation, allocation,
picking, packing, labeling, shipping, delivery, invoice, capture and completion; every working step of a batch is a
few transactions. Nothing is sent to an org. The figure is orders completed a second, over all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from connector.demo import sample_orders
from connector.demo.simulation import WAREHOUSES, advance
from connector.model.customer import Customer
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.orders.policy.rules import standard
from connector.orders.service import OrderService
from connector.service import tune_garbage_collection
from connector.store import customers, order_history, orders, products, schema, stock
from connector.store.engine import Store
from tests.unit.store.samples import placements

MOST_STEPS = 20


async def live(store: Store, count: int, batch: int) -> dict[str, float]:
    who = [
        Customer(number=f"C-{number}", name=f"Customer {number}", street="Main Street 1", city="Oslo", country="Norway")
        for number in range(500)
    ]
    what = [
        Product(sku=f"P-{number}", name=f"Product {number}", prices=(Price(currency="USD", unit_price=Decimal(9)),))
        for number in range(200)
    ]
    async with store.transaction() as uow:
        await customers.save(uow, who)
        await products.save(uow, what)
        await stock.count(uow, {(item.sku, place): Decimal(10**7) for item in what for place in WAREHOUSES})
    service = OrderService(store, standard)
    new = list(sample_orders.orders(who, what, count=count))
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, count, batch):
        mine = new[start : start + batch]
        under_way = [placed.order for placed in await service.place(placements(mine), actor="bench")]
        for _ in range(MOST_STEPS):
            found = await advance(service, under_way)
            under_way = [order for order in found if order.stage is not Stage.COMPLETED]
            if not under_way:
                break
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    async with store.reader() as connection:
        stages = await orders.counts(connection)
        events = sum((await order_history.count_by_event(connection)).values())
    done = stages[Stage.COMPLETED]
    return {
        "orders": count,
        "completed": done,
        "events": events,
        "seconds": round(seconds, 2),
        "cpu_ms_per_order": round(cpu * 1000 / count, 3),
        "orders_per_second": round(done / seconds, 1),
        "events_per_second": round(events / seconds),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.lifecycle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--orders", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=500, help="orders that take a step together (%(default)s)")
    parser.add_argument("--database", help="URL; without it a SQLite file made for the purpose")
    parser.add_argument("--status-events", action="store_true", help="capture each new stage for the org, too")
    chosen = parser.parse_args()
    tune_garbage_collection()  # as the services do
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(chosen.database or f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            await schema.upgrade(store)
            store.publishes_status = chosen.status_events
            print(json.dumps(await live(store, chosen.orders, chosen.batch), indent=1))
        finally:
            await store.close()


if __name__ == "__main__":
    asyncio.run(main())
