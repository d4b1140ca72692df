"""`python -m tests.bench.inbound`: how long a change in the org takes to be applied here, at a steady rate.

A local org publishes change events by gRPC; `ListenJob` receives them, reads the records and applies them to a SQLite
file. A rep, who has a user of their own (our channel leaves out what the connector's user changes), changes the phone
of one account after the other, `--rate` times a second for `--seconds`. Latency is from the moment before the rep's
call to the moment the value is seen in the database, looked for every 5 ms.
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
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from pydantic import SecretStr

from connector.cli.progress import NullProgress
from connector.clock import SystemClock
from connector.jobs.listen import ListenJob
from connector.log import configure
from connector.model.customer import Customer
from connector.salesforce.client import SalesforceClient
from connector.service import Services, running_service
from connector.settings import AuthMethod, SalesforceSettings, Settings
from connector.store import customers
from connector.store.engine import Store
from connector.store.schema import upgrade

ACCOUNTS = 200
LOOK_SECONDS = 0.005
LONGEST_WAIT = 60.0


@contextmanager
def local_org(latency_ms: int) -> Iterator[dict[str, str]]:
    """A local org in a process of its own; what it says of itself when it accepts connections."""
    command = [sys.executable, "-m", "connector", "localorg", "--port", "0", "--json", "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


async def measure(rate: float, seconds: float, latency_ms: int) -> dict[str, float]:
    configure("ERROR")
    with tempfile.TemporaryDirectory() as folder, local_org(latency_ms) as org:
        url = f"sqlite:///{Path(folder) / 'connector.db'}"
        salesforce = SalesforceSettings(
            login_url=org["instance_url"],
            client_id=org["client_id"],
            client_secret=SecretStr(org["client_secret"]),
            pubsub_endpoint=org["pubsub_endpoint"],
        )
        settings = Settings(_env_file=None, database_url=url, salesforce=salesforce)
        store = Store.open(url)
        await upgrade(store)
        await store.close()
        async with running_service(settings) as service:
            ids = await begin(service)
            reads_before = service.client.calls_made.reads
            job = ListenJob(service.inbound_context)
            listening = asyncio.create_task(job.run())
            try:
                async with signed_in_rep(service) as rep:
                    while not job.stats.subscribed:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                    took = sorted(await change_and_wait(service, rep, ids, rate, seconds))
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            return {
                "changes": len(took),
                "p50_ms": round(statistics.median(took) * 1000, 1),
                "p95_ms": round(took[int(len(took) * 0.95)] * 1000, 1),
                "longest_ms": round(took[-1] * 1000, 1),
                "reads": service.client.calls_made.reads - reads_before,
                "events": job.stats.events,
            }


async def begin(service: Services) -> list[str]:
    """Accounts that both sides know; their record IDs."""
    async with service.store.transaction() as uow:
        some = [Customer(number=f"C-{number}", name=f"Customer {number}") for number in range(ACCOUNTS)]
        await customers.save(uow, some)
    await service.push(NullProgress())
    await service.pull()
    rows = await service.client.query("SELECT Id, External_Key__c FROM Account ORDER BY External_Key__c")
    by_key = {row["External_Key__c"]: str(row["Id"]) for row in rows}
    return [by_key[f"C-{number}"] for number in range(ACCOUNTS)]


@asynccontextmanager
async def signed_in_rep(service: Services) -> AsyncIterator[SalesforceClient]:
    """A new user of the org, with a session of their own."""
    [profile] = await service.client.query("SELECT Id FROM Profile WHERE Name = 'Standard User'")
    fields = {"Username": "rep@bench.example", "LastName": "Rep", "Alias": "rep", "Email": "rep@bench.example"}
    zone = {"TimeZoneSidKey": "UTC", "LocaleSidKey": "en_US", "EmailEncodingKey": "UTF-8", "LanguageLocaleKey": "en_US"}
    [created] = await service.client.collections_create("User", [{**fields, **zone, "ProfileId": profile["Id"]}])
    assert created.success, created.errors
    password = "correct horse 1"
    path = f"sobjects/User/{created.id}/password"
    await service.client.control.run(
        lambda org: org.restful(path, method="POST", data=json.dumps({"NewPassword": password}))
    )
    settings = service.settings.salesforce.model_copy(
        update={"auth": AuthMethod.PASSWORD, "username": fields["Username"], "password": SecretStr(password)}
    )
    async with SalesforceClient(settings, clock=SystemClock(), attempts=1) as rep:
        yield rep


async def change_and_wait(
    service: Services, rep: SalesforceClient, ids: list[str], rate: float, seconds: float
) -> list[float]:
    """Seconds from each change in the org to its being seen here."""
    expected: dict[str, tuple[str, float]] = {}
    took: list[float] = []
    ended = False

    async def look() -> None:
        while expected or not ended:
            await asyncio.sleep(LOOK_SECONDS)
            if not expected:
                continue
            async with service.store.reader() as connection:
                present = await customers.load(connection, list(expected))
            now = time.perf_counter()
            for customer in present:
                phone, since = expected[customer.number]
                if customer.phone == phone:
                    took.append(now - since)
                    del expected[customer.number]
                elif now - since > LONGEST_WAIT:
                    raise TimeoutError(f"{customer.number} did not arrive")

    looking = asyncio.create_task(look())
    began = time.perf_counter()
    calls: set[asyncio.Task[None]] = set()
    for turn in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + turn / rate - time.perf_counter()))
        number = turn % ACCOUNTS
        if f"C-{number}" in expected:
            continue  # still on its way
        phone = f"+49 {turn}"
        expected[f"C-{number}"] = (phone, time.perf_counter())
        calls.add(asyncio.create_task(change(rep, ids[number], phone)))
    ended = True
    await asyncio.gather(*calls)
    await looking
    return took


async def change(rep: SalesforceClient, record_id: str, phone: str) -> None:
    [outcome] = await rep.collections_update([("Account", record_id, {"Phone": phone})])
    assert outcome.success, outcome.errors


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.inbound", description=__doc__)
    parser.add_argument("--rate", type=float, default=50, help="changes a second (50)")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--latency-ms", type=int, default=0, help="added by the org to every call (0)")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.rate, options.seconds, options.latency_ms)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
