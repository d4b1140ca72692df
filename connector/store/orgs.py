"""The orgs that this database has worked with, and the active one. Links are stored by org, so a former org can be used
again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Row, and_, bindparam, exists, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.scope import DEFAULT, is_in_scope, org_of, scope_of, within_scope
from connector.store.sql import upsert
from connector.store.tables import orgs
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownOrg:
    """An org. `login_url` is the setting by which it was reached, empty if unknown; `seen_at` is when it first answered
    at that address, or first answered again after another org did."""

    org_id: str
    login_url: str
    instance_url: str
    seen_at: datetime
    active: bool


_ACTIVE = select(orgs).where(orgs.c.active, orgs.c.name == bindparam("the_name"))


async def get_active(connection: AsyncConnection) -> KnownOrg | None:
    """Return the active org of the scope; None before the first push."""
    row = (await connection.execute(_ACTIVE, {"the_name": org_of(connection)})).first()
    return None if row is None else _build_org(row)


_OF_LOGIN_URL = (
    select(orgs).where(orgs.c.login_url == bindparam("the_url")).order_by(orgs.c.seen_at.desc(), orgs.c.org_id).limit(1)
)


async def find_by_login_url(connection: AsyncConnection, login_url: str) -> KnownOrg | None:
    """Return the org that last answered at this address."""
    row = (await connection.execute(_OF_LOGIN_URL, {"the_url": login_url})).first()
    return None if row is None else _build_org(row)


_NAMES = select(orgs.c.name).where(orgs.c.active, orgs.c.name != DEFAULT).order_by(orgs.c.name)


async def list_named(connection: AsyncConnection) -> list[str]:
    """Return the names of the active orgs besides the default one."""
    return list((await connection.execute(_NAMES)).scalars())


_ACTIVE_IDS = select(orgs.c.org_id).where(orgs.c.active).order_by(orgs.c.name)


async def list_active_ids(connection: AsyncConnection) -> list[str]:
    """Return the IDs of the active orgs of the scope: one, or those of all names."""
    return list((await connection.execute(within_scope(connection, _ACTIVE_IDS, orgs.c.name))).scalars())


async def list_active_names(connection: AsyncConnection) -> list[tuple[str, str]]:
    """Return the IDs of the active orgs of all names, each with its name."""
    rows = await connection.execute(select(orgs.c.org_id, orgs.c.name).where(orgs.c.active))
    return [(org_id, name) for org_id, name in rows]


def is_of_scope(connection: AsyncConnection, org_id: Column[str]) -> ColumnElement[bool]:
    """Whether the row of a table with IDs of orgs belongs to the scope: to none of another name."""
    return belongs_to(scope_of(connection), org_id)


def belongs_to(scope: str | None, org_id: Column[str]) -> ColumnElement[bool]:
    """Like `is_of_scope`, for a statement that is built once for each scope."""
    if scope is None:
        return true()
    return ~exists().where(orgs.c.org_id == org_id, orgs.c.name != scope)


@dataclass(frozen=True, kw_only=True, slots=True)
class RelatedOrgs:
    """What is known when an org answers: the `active` org of the scope, the `latest` one that answered at this address,
    and the `name` under which the one that answers is active."""

    active: KnownOrg | None
    latest: KnownOrg | None
    name: str | None


_RELATED = (
    select(orgs)
    .where(
        or_(
            orgs.c.login_url == bindparam("the_url"),
            and_(orgs.c.active, or_(orgs.c.name == bindparam("the_name"), orgs.c.org_id == bindparam("the_org"))),
        )
    )
    .order_by(orgs.c.seen_at.desc(), orgs.c.org_id)
)


async def find_related(connection: AsyncConnection, org_id: str, login_url: str) -> RelatedOrgs:
    """Return the orgs to which one that answers at this address is compared."""
    name = org_of(connection)
    rows = (await connection.execute(_RELATED, {"the_url": login_url, "the_name": name, "the_org": org_id})).all()
    active = next((row for row in rows if row.active and row.name == name), None)
    latest = next((row for row in rows if row.login_url == login_url), None)
    return RelatedOrgs(
        active=None if active is None else _build_org(active),
        latest=None if latest is None else _build_org(latest),
        name=next((row.name for row in rows if row.active and row.org_id == org_id), None),
    )


async def list_orgs(connection: AsyncConnection) -> Sequence[KnownOrg]:
    """Return all orgs of the scope, the active one first."""
    statement = (
        select(orgs)
        .where(is_in_scope(connection, orgs.c.name))
        .order_by(orgs.c.active.desc(), orgs.c.seen_at.desc(), orgs.c.org_id)
    )
    return [_build_org(row) for row in await connection.execute(statement)]


_IS_OTHER = (orgs.c.org_id != bindparam("the_org"), orgs.c.name == bindparam("the_name"))
_DEACTIVATE_OTHERS = update(orgs).where(*_IS_OTHER).values(active=False)


async def put(uow: UnitOfWork, org_id: str, *, login_url: str, instance_url: str, is_active: bool) -> None:
    """Store the addresses of the org, and whether it is the active one of the scope. Only one org of a name is."""
    name = org_of(uow.connection)
    if is_active:
        await uow.connection.execute(_DEACTIVATE_OTHERS, {"the_org": org_id, "the_name": name})
    values = {
        "name": name,
        "login_url": login_url,
        "instance_url": instance_url,
        "seen_at": uow.now,
        "active": is_active,
    }
    await upsert(uow.connection, orgs, [{"org_id": org_id, **values}])


def _build_org(row: Row[tuple[str, str, str, datetime, bool]]) -> KnownOrg:
    return KnownOrg(
        org_id=row.org_id,
        login_url=row.login_url,
        instance_url=row.instance_url,
        seen_at=row.seen_at,
        active=row.active,
    )
