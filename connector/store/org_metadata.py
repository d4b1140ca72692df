"""The cached metadata of each org, so that a start need not query the org again. The caller defines the JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.sql import upsert
from connector.store.tables import org_catalog
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgMetadata:
    """The cached metadata of one org; `body` is JSON text."""

    org_id: str
    fetched_at: datetime
    body: str


_OF_ORG = select(org_catalog).where(org_catalog.c.org_id == bindparam("the_org"))


async def get(connection: AsyncConnection, org_id: str) -> OrgMetadata | None:
    """Return the cached metadata of this org."""
    row = (await connection.execute(_OF_ORG, {"the_org": org_id})).first()
    return None if row is None else OrgMetadata(org_id=row.org_id, fetched_at=row.fetched_at, body=row.body)


async def latest(connection: AsyncConnection) -> OrgMetadata | None:
    """Return the metadata of the org that was discovered last, for use while no org can be reached."""
    statement = select(org_catalog).order_by(org_catalog.c.fetched_at.desc(), org_catalog.c.org_id).limit(1)
    row = (await connection.execute(statement)).first()
    return None if row is None else OrgMetadata(org_id=row.org_id, fetched_at=row.fetched_at, body=row.body)


async def put(uow: UnitOfWork, org_id: str, body: str) -> None:
    """Store `body` as fetched now, in place of an older one."""
    await upsert(uow.connection, org_catalog, [{"org_id": org_id, "fetched_at": uow.now, "body": body}])


async def update_body(uow: UnitOfWork, org_id: str, body: str) -> None:
    """Replace the body without changing when it was fetched."""
    await uow.connection.execute(update(org_catalog).where(org_catalog.c.org_id == org_id).values(body=body))


async def drop(uow: UnitOfWork, org_id: str) -> None:
    """Delete the metadata of this org."""
    await uow.connection.execute(delete(org_catalog).where(org_catalog.c.org_id == org_id))
