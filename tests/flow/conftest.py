"""A local org, a database and a service on both: real HTTP, real SQL, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from connector.cli.localorg import our_metadata
from connector.jobs.push_summary import PushSummary
from connector.jobs.resync import resync
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.log import configure
from connector.model.change import DeadLetter, EntityKind
from connector.model.customer import Customer
from connector.model.order import OrderInput
from connector.model.product import Price, Product
from connector.salesforce import retry
from connector.service import Services, running_service
from connector.settings import Settings
from connector.settings.salesforce import SalesforceSettings
from connector.settings.sync import SyncSettings
from connector.store import customers, dead_letters, orders, outbox_counts, products
from connector.store.engine import Store
from connector.store.outbox_filters import Selection
from tests.databases import Databases

CUSTOMERS = [Customer(number=f"C-{number}", name=f"Käufer {number}", city="Münster") for number in range(1, 9)]
PRODUCTS = [
    Product(sku=f"P-{number}", name=f"Product {number}", prices=(Price(currency="USD", unit_price=price),))
    for number, price in enumerate([Decimal("14"), Decimal("9.80"), Decimal("34.85"), Decimal("12.75")], start=1)
]


class Silent:
    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def print_line(self, text: str) -> None: ...


@dataclass
class World:
    """Both sides, and the few things a test does with them."""

    org: LocalOrg
    service: Services

    async def save(
        self,
        some_orders: Sequence[OrderInput] = (),
        *,
        some_customers: Sequence[Customer] = CUSTOMERS,
        some_products: Sequence[Product] = PRODUCTS,
    ) -> None:
        async with self.service.store.transaction() as uow:
            await customers.save(uow, some_customers)
            await products.save(uow, some_products)
            await orders.save(uow, some_orders)

    async def push(self, *, dry_run: bool = False) -> PushSummary:
        return await self.service.push(Silent(), dry_run=dry_run)

    async def resync(self, kind: EntityKind, *keys: str, recreate: bool = False, dry_run: bool = False) -> PushSummary:
        service = self.service

        async def first(store: Store) -> Selection | None:
            return await resync(store, service.client, service.settings, kind, keys, recreate=recreate)

        return await service.push(Silent(), prepare=first, dry_run=dry_run)

    async def change_in_org(self, sobject: str, key: str, **fields: Any) -> str:
        """As a rep changes a record; its ID."""
        [row] = await self.query(f"SELECT Id FROM {sobject} WHERE External_Key__c = '{key}'")
        url = f"{self.org.url}/services/data/v66.0/sobjects/{sobject}/{row['Id']}"
        headers = {"Authorization": f"Bearer {self.org.org.auth.issue(user_id=rep_of(self.org))}"}
        async with aiohttp.ClientSession(headers=headers) as rep, rep.patch(url, json=fields) as answer:
            assert answer.status == 204, await answer.text()
        return str(row["Id"])

    async def replay(self) -> None:
        async with self.service.store.transaction() as uow:
            await dead_letters.replay(uow)

    async def dead_letters(self) -> list[DeadLetter]:
        async with self.service.store.reader() as connection:
            return await dead_letters.list_dead_letters(connection)

    async def due(self) -> dict[EntityKind, int]:
        async with self.service.store.reader() as connection:
            return await outbox_counts.due_counts(connection, self.service.clock.now())

    async def query(self, soql: str) -> list[dict[str, Any]]:
        return await self.service.client.query(soql)

    async def order(self, number: str) -> dict[str, Any]:
        """The order in the org with its lines by key."""
        [row] = await self.query(
            "SELECT Id, Status, TotalAmount, Exact_Total__c, Description, PoNumber, EffectiveDate, Account.Name,"
            " (SELECT External_Key__c, Quantity, UnitPrice, Exact_Total__c, Product2.ProductCode FROM OrderItems)"
            f" FROM Order WHERE External_Key__c = '{number}'"
        )
        row["lines"] = {line["External_Key__c"]: line for line in (row.pop("OrderItems") or {}).get("records", [])}
        return row

    async def count(self, sobject: str) -> int:
        return int((await self.query(f"SELECT COUNT(Id) n FROM {sobject}"))[0]["n"])

    @property
    def writes(self) -> int:
        """Write calls as the org counts them."""
        return self.org.org.usage.writes


def rep_of(org: LocalOrg) -> str:
    """The ID of a user of the org who is not the connector's."""
    dml, name = org.org.dml, "rep@local-org.example"
    found = dml.scalar('SELECT "Id" FROM "User" WHERE "Username" = ?', name)
    return str(found or dml.platform_insert("User", Username=name, LastName="Rep", Name="Rep", Email=name, IsActive=1))


def settings_for(org: LocalOrg, database_url: str) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database_url,
        salesforce=SalesforceSettings(login_url=org.url, client_id=org.client_id, client_secret=org.client_secret),
        sync=SyncSettings(lease_seconds=2),
    )


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the tries of a call; how long they really are is for tests/unit/salesforce to say."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(retry, "LONGEST_BACKOFF", 0.4)


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    configure("ERROR")
    yield
    structlog.reset_defaults()


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as started:
        yield started


@pytest.fixture
async def world(org: LocalOrg, database_url: str) -> AsyncIterator[World]:
    async with running_service(settings_for(org, database_url)) as service:
        yield World(org, service)


@pytest.fixture
async def second_world(org: LocalOrg, databases: Databases) -> AsyncIterator[World]:
    """Another connector with an empty database, on the same org."""
    async with running_service(settings_for(org, databases.migrated())) as service:
        yield World(org, service)


@pytest.fixture
async def sides(org: LocalOrg, database_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Opens processes on one database, with mapping files of their own (`mapping_sides.Side`)."""
    from tests.flow.mapping_sides import open_sides  # it imports this module

    async with open_sides(org, database_url, tmp_path) as opened:
        yield opened
