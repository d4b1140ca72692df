"""A folder of files, a store, and the shortest way from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.product import Product
from connector.orders.importing import ImportReport, import_files, load_profile
from connector.store import customers, orders, products
from connector.store.engine import Store


class Silent:
    def begin(self, label: str, total: int, *, percent: bool = False) -> None: ...

    def advance(self, count: int = 1) -> None: ...


@dataclass
class Importer:
    """Where files are put and imported from."""

    store: Store
    folder: Path

    def put(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    async def take(self, files: Mapping[str, str | bytes] = {}, *, profile: str | None = None) -> ImportReport:
        """Import the folder with these files in it; `profile` is YAML."""
        self.put(files)
        loaded = None
        if profile is not None:
            path = self.folder / "profile.yaml"
            path.write_text(profile)
            loaded = load_profile(path)
        return await import_files(self.store, [self.folder], loaded, progress=Silent())

    async def order(self, number: str) -> Order | None:
        async with self.store.reader() as connection:
            return next(iter(await orders.load(connection, [number])), None)

    async def customer(self, number: str) -> Customer | None:
        async with self.store.reader() as connection:
            return next(iter(await customers.load(connection, [number])), None)

    async def product(self, sku: str) -> Product | None:
        async with self.store.reader() as connection:
            return next(iter(await products.load(connection, [sku])), None)


@pytest.fixture
def importer(store: Store, tmp_path: Path) -> Importer:
    folder = tmp_path / "files"
    folder.mkdir()
    return Importer(store, folder)


CUSTOMERS = "number,name,city\nC-1,Ärmel & Söhne,Zürich\nC-2,Bold Tea,Leeds\n"
PRODUCTS = "sku,name,unit_price,currency\nTEA,Tea,4.50,USD\nJAM,Jam,3.20,USD\nJAM,Jam,2.95,EUR\n"
ORDERS = "number,customer,placed_at,currency,notes\n1,C-1,2026-03-01,USD,\n2,C-2,2026-03-02T10:00:00+02:00,USD,ring\n"
LINES = "order,line,sku,quantity,unit_price,discount\n1,1,TEA,10,4.50,0.1\n1,2,JAM,2,,\n2,1,TEA,0.5,4.25,\n"
SHOP = {"customers.csv": CUSTOMERS, "products.csv": PRODUCTS, "orders.csv": ORDERS, "order_lines.csv": LINES}


@pytest.fixture
def shop() -> dict[str, str]:
    return dict(SHOP)
