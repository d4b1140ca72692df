"""`python -m tests.bench.bulk_pull`: many changed accounts brought back, page by page and by a bulk query.

The accounts are written into the local org's file and the connector's database directly, linked, with another phone in
the org. Then one pull reads and applies them. One process serves the org; each pull is a process of its own. The
figures are this machine's; the two ways are compared with each other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connector.cli.localorg import our_metadata
from connector.inbound import poll
from connector.localorg import ids
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.log import configure
from connector.model.customer import Customer
from connector.model.record import Link
from connector.service import running_service
from connector.settings import Settings
from connector.settings.salesforce import SalesforceSettings
from connector.store import customers, links, schema
from connector.store.engine import Store
from connector.store.sql import chunks
from tests.acceptance.sides import CONNECTOR
from tests.bench.extractors import EXTRACTORS, measure

WAYS = ("poll", "bulk")


def fill_org(data: Path, accounts: int) -> None:
    """An org's file with so many accounts, each changed at another moment of the last hour."""
    made = LocalOrg(OrgOptions(data=data, metadata_root=our_metadata()))
    plan = made.org.dml.plan("Account")
    base = dict.fromkeys(plan.columns) | plan.defaults
    now = datetime.now(UTC)
    with made.org.storage.transaction():
        for number in range(accounts):
            moment = now - timedelta(seconds=3000 * (accounts - number) / accounts)
            stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.000+0000"
            row = base | {
                "Id": ids.make("001", number + 1), "Name": f"Customer {number}", "External_Key__c": f"C-{number:07}",
                "Phone": f"+49 {number}", "CreatedDate": stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp,
            }  # fmt: skip
            made.org.storage.connection.execute(plan.insert_sql, [row[column] for column in plan.columns])
        made.org.storage.next_number("Account", first=accounts + 1)
    made.org.close()


async def fill_store(url: str, org_id: str, accounts: int) -> None:
    """The connector's database with the same customers, linked before they were changed, and nothing due."""
    store = Store.open(url)
    await schema.upgrade(store)
    for some in chunks(range(accounts), 5000):
        people = [Customer(number=f"C-{n:07}", name=f"Customer {n}") for n in some]
        async with store.transaction() as uow:
            await customers.save(uow, people)
            uow.now -= timedelta(hours=2)
            await links.put(
                uow, org_id,
                [
                    Link(entity="customer", key=f"C-{n:07}", sobject="Account", salesforce_id=ids.make("001", n + 1),
                         snapshot={"External_Key__c": f"C-{n:07}", "Name": f"Customer {n}"})
                    for n in some
                ],
            )  # fmt: skip
            uow._changed.clear()
    await store.close()


async def pull(url: str, way: str) -> dict[str, Any]:
    """One pull of a process: what it read and applied, and what that took."""
    configure("ERROR")
    if way == "poll":
        poll.BULK_FROM_PAGES = 1_000_000
    settings = settings_for(url)
    async with running_service(settings) as service:
        started = time.perf_counter()
        summary = await service.pull()
        seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "way": way,
        "rows": sum(report.rows for report in summary.polls),
        "bulk_rows": sum(report.bulk_rows for report in summary.polls),
        "taken": sum(summary.applied.taken.values()),
        "calls": summary.reads,
        "seconds": round(seconds, 1),
        "rows_per_second": round(sum(report.rows for report in summary.polls) / seconds),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


def settings_for(url: str) -> Settings:
    org = json.loads(os.environ["ORG_BANNER"])
    return Settings(
        _env_file=None,
        database_url=url,
        salesforce=SalesforceSettings(
            login_url=org["instance_url"], client_id=org["client_id"], client_secret=org["client_secret"]
        ),
    )


@contextmanager
def serving(data: Path) -> Iterator[dict[str, str]]:
    """The local org on `data`, served by a process of its own; its banner."""
    command = [*CONNECTOR, "localorg", "--port", "0", "--data", str(data), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=30)


def run_apart(module: str, banner: dict[str, str], *arguments: str) -> Any:
    """The JSON that `python -m module` prints, in a process whose peak of memory is its own."""
    environment = os.environ | {"ORG_BANNER": json.dumps(banner)}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout)


async def org_id_of(banner: dict[str, str]) -> str:
    os.environ["ORG_BANNER"] = json.dumps(banner)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/look.db"
        store = Store.open(url)
        await schema.upgrade(store)
        await store.close()
        async with running_service(settings_for(url)) as service:
            return await service.client.connect()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bulk_pull", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000, help="changed accounts (100,000)")
    parser.add_argument(
        "--beside", action="store_true", help="also tap-salesforce and airbyte-source-salesforce on the same org"
    )
    parser.add_argument("--inside", nargs=2, metavar=("WAY", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(asyncio.run(pull(options.inside[1], options.inside[0]))))
        return 0
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "org.db"
        fill_org(data, options.accounts)
        for way in WAYS:
            with serving(data) as banner:
                url = f"sqlite:///{folder}/{way}.db"
                asyncio.run(fill_store(url, asyncio.run(org_id_of(banner)), options.accounts))
                figures.append(run_apart("tests.bench.bulk_pull", banner, "--inside", way, url))
        if options.beside:
            with serving(data) as banner:
                figures += [measure(extractor, Path(folder), banner) for extractor in EXTRACTORS]
    print(json.dumps({"accounts": options.accounts, "ways": figures}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
