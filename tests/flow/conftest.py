"""A local org, a database and a service on both: real HTTP, real SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connector.cli.org import our_metadata
from connector.localorg.server import LocalOrg
from connector.model.customer import Customer
from connector.model.product import Price, Product
from connector.orders.sample import orders as sample_orders
from connector.service import Service, running
from connector.settings import SalesforceSettings, Settings, SyncSettings
from connector.store import customers, orders, products, schema
from connector.store.engine import Store


class Silent:
    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def say(self, text: str) -> None: ...


def settings_for(org: LocalOrg, database_url: str) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database_url,
        salesforce=SalesforceSettings(login_url=org.url, client_id=org.client_id, client_secret=org.client_secret),
        sync=SyncSettings(lease_seconds=2),
    )


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(metadata_root=our_metadata()) as running_org:
        yield running_org


@pytest.fixture
async def database_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'connector.db'}"
    store = Store.open(url)
    await schema.upgrade(store)
    await store.close()
    return url


@pytest.fixture
async def service(org: LocalOrg, database_url: str) -> AsyncIterator[Service]:
    async with running(settings_for(org, database_url)) as started:
        yield started


CUSTOMERS = [
    Customer(number=f"C-{number}", name=f"Company {number}", city="Münster", country="Germany") for number in range(1, 8)
]
PRODUCTS = [
    Product(sku=f"P-{number}", name=f"Product {number}", prices=(Price(currency="USD", unit_price=price),))
    for number, price in enumerate(map(lambda cents: cents / 100, []), start=1)
]


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield
