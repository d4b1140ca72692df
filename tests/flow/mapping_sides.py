"""Processes on one database, each with a folder of mapping files."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, update

from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.admin import MappingAdmin
from connector.jobs.mappings.views import Applied
from connector.jobs.push_summary import PushSummary
from connector.jobs.resync import resync
from connector.localorg.server import LocalOrg
from connector.mapping import loader
from connector.model.change import EntityKind
from connector.service import running_service
from connector.store import mapping_versions
from connector.store.mapping_tables import mapping_contents
from connector.store.tables import customers, links, orders, products
from tests.flow.conftest import CUSTOMERS, Silent, World, settings_for

NAME = "  Name: "
KEYS = {customer.number for customer in CUSTOMERS[:2]}
NAMES = {customer.name for customer in CUSTOMERS[:2]}


@dataclass
class Side(World):
    """A world with mapping files of its own."""

    folder: Path

    def edit(self, file: str, change: Callable[[str], str]) -> None:
        path = self.folder / file
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    def name_customers_by(self, what: str) -> None:
        """`Name` of accounts is filled by that from now on."""
        lines = (self.folder / "customer.yaml").read_text(encoding="utf-8").splitlines()
        changed = [f"{NAME}{what}" if line.startswith(NAME) else line for line in lines]
        assert changed != lines
        (self.folder / "customer.yaml").write_text("\n".join(changed), encoding="utf-8")

    async def tick(self, times: int = 1) -> PushSummary:
        """The pushes of a running service."""
        for _ in range(times):
            summary = await self.service.push(Silent(), scheduled=True)
        return summary

    async def resync(self, kind: EntityKind | None = None) -> PushSummary:
        return await self.service.push(Silent(), prepare=self.again(kind))

    def again(self, kind: EntityKind | None) -> Any:
        return lambda store: resync(store, self.service.client, self.service.settings, kind, [], recreate=False)

    async def names(self) -> set[str]:
        return {row["Name"] for row in await self.query("SELECT Name FROM Account")}

    async def touch(self, phone: str) -> None:
        await self.save(some_customers=[replace(customer, phone=phone) for customer in CUSTOMERS[:2]])

    async def phones(self) -> set[str]:
        return {row["Phone"] for row in await self.query("SELECT Phone FROM Account")}

    async def active(self) -> int | None:
        async with self.service.store.reader() as connection:
            found = await mapping_versions.get_active(connection)
        return found.number if found else None

    @property
    def admin(self) -> MappingAdmin:
        return MappingAdmin(store=self.service.store, settings=self.service.settings)

    async def texts(self) -> Mapping[str, str]:
        active = await self.admin.get_active()
        assert active is not None
        return active.texts

    async def apply(
        self,
        edit: Callable[[str], str],
        *,
        file: str = "customer.yaml",
        texts: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Applied:
        """Apply the active version with this edit."""
        before = dict(texts or await self.texts())
        return await self.admin.apply({**before, file: edit(before[file])}, Request(actor="ann", **request))

    async def forget_contents(self) -> None:
        async with self.service.store.transaction() as uow:
            await uow.connection.execute(delete(mapping_contents))

    async def problems(self) -> list[str]:
        async with self.service.store.reader() as connection:
            since = self.service.clock.now().replace(year=2000)
            return [item.problem for item in await mapping_versions.list_problems(connection, since)]


@asynccontextmanager
async def open_sides(org: LocalOrg, database_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes processes on one database: with a folder of that name, which is shared by those of the same name."""
    stack: list[Any] = []

    async def open_(name: str = "mappings") -> Side:
        folder = tmp_path / name
        if not folder.exists():
            shutil.copytree(str(loader.shipped_mappings()), folder)
        settings = settings_for(org, database_url).model_copy(update={"mappings_dir": folder})
        context = running_service(settings)
        side = Side(org, await context.__aenter__(), folder)
        stack.append(context)
        return side

    yield open_
    for context in stack:
        await context.__aexit__(None, None, None)


async def make_old(side: Side) -> None:
    """As if all of it had been changed and sent long ago."""
    async with side.service.store.transaction() as uow:
        former = uow.now - timedelta(days=2)
        for table in (customers, products, orders):
            await uow.connection.execute(update(table).values(updated_at=former))
        await uow.connection.execute(update(links).values(synced_at=former))
