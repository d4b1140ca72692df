"""`python -m tests.bench.local_org`: how fast and how large the local org is, with many orders in it.

Orders are written into its file directly, as its own columns; then everything is asked for over HTTP and gRPC, as
clients do. One process serves, this one asks. The figures are this machine's; their order of magnitude carries over.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import grpc
import psutil

from connector.cli.localorg import our_metadata
from connector.localorg import ids
from connector.localorg.org import OrgOptions
from connector.localorg.pubsub import grpc_codec
from connector.localorg.server import LocalOrg
from tests.acceptance.sides import CONNECTOR

STAMP = "2026-01-05T10:00:00.000+0000"
BASE = "/services/data/v66.0"
CUSTOMERS = 10_000
LINES = 4


def fill(data: Path, orders: int) -> None:
    """An org's file with so many activated orders of four lines."""
    made = LocalOrg(OrgOptions(data=data, metadata_root=our_metadata()))
    dml, connection = made.org.dml, made.org.storage.connection

    def rows(name: str, many: Iterator[dict[str, Any]]) -> None:
        plan = dml.plan(name)
        base = dict.fromkeys(plan.columns) | plan.defaults
        stamps = {
            column: STAMP
            for column in ("CreatedDate", "LastModifiedDate", "SystemModstamp")
            if column in plan.column_names
        }
        with made.org.storage.transaction():
            connection.executemany(
                plan.insert_sql, ([(base | stamps | row)[column] for column in plan.columns] for row in many)
            )

    def account(number: int) -> str:
        return ids.make("001", number % CUSTOMERS + 1)

    rows(
        "Account", ({"Id": account(n), "Name": f"Customer {n}", "External_Key__c": f"C-{n}"} for n in range(CUSTOMERS))
    )
    rows("Order", (
        {"Id": ids.make("801", n + 1), "AccountId": account(n), "Status": "Activated", "StatusCode": "Activated",
         "EffectiveDate": "2026-01-05", "OrderNumber": f"{n:08}", "External_Key__c": f"SO-{n}", "TotalAmount": 40.0,
         "Lifecycle_Stage__c": "shipped"}
        for n in range(orders)
    ))  # fmt: skip
    rows("OrderItem", (
        {"Id": ids.make("802", n * LINES + k + 1), "OrderId": ids.make("801", n + 1), "Quantity": 1.0,
         "UnitPrice": 10.0, "OrderItemNumber": f"{n * LINES + k:010}", "External_Key__c": f"SO-{n}-{k + 1}"}
        for n in range(orders) for k in range(LINES)
    ))  # fmt: skip
    for name, last in (("Account", CUSTOMERS), ("Order", orders), ("OrderItem", orders * LINES)):
        made.org.storage.next_number(name, first=last + 1)
    with made.org.storage.transaction():
        pass
    made.org.close()


async def measure(banner: dict[str, str], orders: int, events: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    headers = {"Authorization": f"Bearer {banner['access_token']}"}
    async with aiohttp.ClientSession(banner["instance_url"], headers=headers) as http:

        async def get(path: str) -> Any:
            async with http.get(f"{BASE}/{path}") as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        keys = [f"SO-{number * 7919 % orders}" for number in range(1_000)]
        started = time.perf_counter()
        for start in range(0, len(keys), 8):
            await asyncio.gather(*(get(f"sobjects/Order/External_Key__c/{key}") for key in keys[start : start + 8]))
        figures["single_reads_per_second"] = len(keys) / (time.perf_counter() - started)
        for name, where in (
            ("soql_by_key", "External_Key__c = 'SO-{}'"),
            ("soql_by_account", "Account.External_Key__c = 'C-{}'"),
        ):
            times = []
            for number in range(50):
                soql = (
                    f"SELECT Id, Status, TotalAmount FROM Order WHERE {where.format(number * 97 % CUSTOMERS)} LIMIT 100"
                )
                started = time.perf_counter()
                found = await get(f"query?q={quote(soql)}")
                times.append(time.perf_counter() - started)
                assert found["totalSize"] >= 1
            figures[f"{name}_p50_ms"] = statistics.median(times) * 1000
        started = time.perf_counter()
        for call in range(10):
            records = [
                {"attributes": {"type": "Account"}, "External_Key__c": f"N-{call}-{n}", "Name": "New"}
                for n in range(200)
            ]
            body = {"allOrNone": False, "records": records}
            async with http.patch(f"{BASE}/composite/sobjects/Account/External_Key__c", json=body) as answer:
                assert all(row["success"] for row in await answer.json())
        figures["collection_upserts_rows_per_second"] = 2_000 / (time.perf_counter() - started)
        figures["events_per_second"] = await _events(banner, http, events)
    return {name: round(value, 1) for name, value in figures.items()}


async def _events(banner: dict[str, str], http: aiohttp.ClientSession, count: int) -> float:
    """Change events of accounts to one subscriber that keeps asking."""
    async with http.get("/services/oauth2/userinfo") as answer:
        organization = (await answer.json())["organization_id"]
    headers = (
        ("accesstoken", banner["access_token"]), ("instanceurl", banner["instance_url"]), ("tenantid", organization),
    )  # fmt: skip
    for start in range(0, count, 200):
        records = [{"attributes": {"type": "Account"}, "Name": f"E {start + n}"} for n in range(200)]
        async with http.post(f"{BASE}/composite/sobjects", json={"records": records}) as answer:
            assert answer.status == 200
    async with grpc.aio.insecure_channel(banner["pubsub_endpoint"]) as channel:
        stream = channel.stream_stream(
            f"/{grpc_codec.SERVICE}/Subscribe",
            request_serializer=grpc_codec.message_class("FetchRequest").SerializeToString,
            response_deserializer=grpc_codec.message_class("FetchResponse").FromString,
        )(metadata=headers)
        ask = grpc_codec.message_class("FetchRequest")
        await stream.write(
            ask(topic_name="/data/AccountChangeEvent", replay_preset=grpc_codec.EARLIEST, num_requested=100)
        )
        got, started = 0, time.perf_counter()
        while got < count:
            got += len((await stream.read()).events)
            await stream.write(ask(num_requested=100))
        seconds = time.perf_counter() - started
        stream.cancel()
    return count / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--orders", type=int, default=100_000, help="with four lines each (100,000)")
    parser.add_argument("--events", type=int, default=10_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "org.db"
        fill(data, wanted.orders)
        started = time.perf_counter()
        process = subprocess.Popen(
            [*CONNECTOR, "localorg", "--port", "0", "--data", data, "--json"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            banner = json.loads(process.stdout.readline())
            ready = time.perf_counter() - started
            figures = asyncio.run(measure(banner, wanted.orders, wanted.events))
            memory = psutil.Process(process.pid).memory_info().rss / 2**20
        finally:
            process.terminate()
            process.communicate(timeout=30)
        size = data.stat().st_size / 2**20
    told = {
        "orders": wanted.orders,
        "start_up_seconds": round(ready, 2),
        "memory_mib": round(memory),
        "file_mib": round(size),
    }
    json.dump(told | figures, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
