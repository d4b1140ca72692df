"""`python -m tests.bench.actions`: how long a rep waits for the answer to a button.

A local org answers every call after `--latency-ms`. A rep publishes actions by REST, `--rate` a second for `--seconds`:
each puts an order on hold or releases it. The connector's listener carries them out on a SQLite file and publishes the
answers, and the new holds. Latency is from the moment before the rep's call to the moment in which a subscriber of the
org receives the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from decimal import Decimal

from connector.demo.reps import rep_session
from connector.jobs.listen import ListenerRole
from connector.log import configure
from connector.model.customer import Customer
from connector.model.order import LineInput, OrderInput
from connector.model.order_header import OrderHeader
from connector.model.platform_event import ORDER_ACTION, ORDER_ACTION_RESULT, topic_of
from connector.model.product import Product
from connector.orders.placement import Placement
from connector.salesforce.client import SalesforceClient
from connector.salesforce.pubsub.events import ReceivedEvent
from connector.salesforce.pubsub.subscription import PubSubClient
from connector.service import Services, running_service
from connector.store import customers, products
from tests.bench.inbound import local_org, prepare

ORDERS = 100
LONGEST_WAIT = 60.0


async def measure(rate: float, seconds: float, latency_ms: int) -> dict[str, float]:
    configure("ERROR")
    with tempfile.TemporaryDirectory() as folder, local_org(latency_ms) as org:
        settings = await prepare(folder, org)
        async with running_service(settings) as service:
            numbers = await place_orders(service)
            await service.client.connect()
            role = ListenerRole(service.inbound_context)
            assert role.actions is not None
            async with role.running(), rep_session(service) as rep:
                while not role.actions.stats.subscribed:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                calls = service.client.calls_made
                took = sorted(await press_and_wait(service, rep, numbers, rate, seconds))
                after = service.client.calls_made
            return {
                "actions": len(took),
                "p50_ms": round(statistics.median(took) * 1000, 1),
                "p95_ms": round(took[int(len(took) * 0.95)] * 1000, 1),
                "longest_ms": round(took[-1] * 1000, 1),
                "api_calls": after.reads + after.writes - calls.reads - calls.writes,
                "events_published": role.publisher.stats.published,
                "publish_calls": role.publisher.stats.calls,
            }


async def place_orders(service: Services) -> list[str]:
    async with service.store.transaction() as uow:
        await customers.save(uow, [Customer(number="C-1", name="Customer 1")])
        await products.save(uow, [Product(sku="P-1", name="Product 1")])
    now = service.clock.now()
    new = [
        OrderInput(
            header=OrderHeader(number=f"B-{number}", placed_at=now, currency="USD"),
            customer="C-1",
            lines=(LineInput(number=1, sku="P-1", quantity=Decimal(1), unit_price=Decimal(1)),),
        )
        for number in range(ORDERS)
    ]
    await service.orders.place([Placement(order=order) for order in new], actor="bench")
    return [order.number for order in new]


async def press_and_wait(
    service: Services, rep: SalesforceClient, numbers: list[str], rate: float, seconds: float
) -> list[float]:
    """Seconds from each press of the button to its answer."""
    pressed: dict[str, float] = {}
    took: list[float] = []
    total = int(rate * seconds)
    endpoint = service.settings.salesforce.pubsub_endpoint
    async with (
        PubSubClient(endpoint, service.client.tokens) as client,
        client.subscribe(topic_of(ORDER_ACTION_RESULT), None) as stream,
    ):
        await asyncio.sleep(2)  # until the subscription stands

        async def receive() -> None:
            while len(took) < total:
                delivery = await stream.next()
                now = time.perf_counter()
                for event in delivery.events:
                    assert isinstance(event, ReceivedEvent)
                    assert event.payload["Succeeded__c"], event.payload["Message__c"]
                    took.append(now - pressed.pop(str(event.payload["Request_ID__c"])))
                if delivery.pending <= 50:
                    await stream.request(100 - delivery.pending)

        receiving = asyncio.create_task(receive())
        began = time.perf_counter()
        calls: set[asyncio.Task[None]] = set()
        for turn in range(total):
            await asyncio.sleep(max(0.0, began + turn / rate - time.perf_counter()))
            round_number, place = divmod(turn, len(numbers))
            pressed[f"R-{turn}"] = time.perf_counter()
            action = "release" if round_number % 2 else "hold"
            calls.add(asyncio.create_task(press(rep, numbers[place], action, f"R-{turn}")))
        await asyncio.gather(*calls)
        async with asyncio.timeout(LONGEST_WAIT):
            await receiving
    return took


async def press(rep: SalesforceClient, order: str, action: str, request_id: str) -> None:
    fields = {"Order_Number__c": order, "Action__c": action, "Request_ID__c": request_id}
    [outcome] = await rep.collections_create(ORDER_ACTION, [fields])
    assert outcome.success, outcome.errors


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.actions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rate", type=float, default=5, help="actions a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--latency-ms", type=int, default=150, help="added by the org to every call (%(default)s)")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.rate, options.seconds, options.latency_ms)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
