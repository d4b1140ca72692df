"""Leases: the exclusive right of one owner to a resource (a partition, a subscription) for a limited time.

Each lease has a term that only rises: when an expired lease is acquired by another owner, its term is one higher. The
time is the clock of the machine that asks, so clocks must differ by much less than a lease. Safety does not depend on
clocks: an owner that was paused past its lease finds its term outdated, because `list_lost` is called in the
transaction that records its work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Delete, Executable, Select, bindparam, case, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.engine import Store
from connector.store.scope import prefixed, unprefixed
from connector.store.sql import Row, insert_into
from connector.store.tables import counters, leases
from connector.store.unit_of_work import UnitOfWork

PARTITION = "drain:"
"""The prefix of the leases of partitions."""

PRODUCTS = f"{PARTITION}catalog"
"""The lease for products and their prices, which one worker at a time sends."""

LISTEN = "listen:"
"""The prefix of the leases of topics: `listen:ORG:TOPIC`."""

_NOBODY = ""
_PARTITION_COUNTER = "partitions"
_EXPIRED_LEASES_KEPT = timedelta(hours=1)
"""How long the expired lease of a killed worker is kept."""


async def acquire(store: Store, name: str, owner: str, ttl: float) -> int | None:
    """Acquire the lease for `ttl` seconds, or renew our own. Returns its term; None while another owner holds it."""
    async with store.transaction() as uow:
        return (await acquire_many(uow, [name], owner, ttl)).get(name)


async def acquire_many(
    uow: UnitOfWork, names: Collection[str], owner: str, ttl: float, *, org: str | None = None
) -> dict[str, int]:
    """Acquire the free leases of `names` for `ttl` seconds and renew our own. Returns the terms of the leases that are
    ours. `org`: whose leases they are, if not those of the transaction's scope."""
    if not names:
        return {}
    until = uow.now + timedelta(seconds=ttl)
    rows = [
        {"name": name, "owner": owner, "term": 1, "expires_at": until, "the_now": uow.now}
        for name in _full_names(uow.connection, names, org)
    ]
    acquired = await uow.connection.execute(_acquire(uow.connection.dialect.name), rows)
    return {unprefixed(uow.connection, row.name, org): row.term for row in acquired}


@lru_cache
def _acquire(dialect: str) -> Executable:
    statement = insert_into(leases, dialect)
    mine = leases.c.owner == statement.excluded.owner
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "owner": statement.excluded.owner,
            "term": case((mine, leases.c.term), else_=leases.c.term + 1),
            "expires_at": statement.excluded.expires_at,
        },
        where=or_(mine, leases.c.expires_at <= bindparam("the_now")),
    ).returning(leases.c.name, leases.c.term)


_HELD_OF = select(leases.c.name).where(
    leases.c.name.in_(bindparam("the_names", expanding=True)), leases.c.expires_at > bindparam("the_now")
)


async def list_free(connection: AsyncConnection, names: Collection[str], now: datetime) -> list[str]:
    """Return those of `names` that nobody holds, in the same sequence."""
    values = {"the_names": _full_names(connection, names), "the_now": now}
    held_names = {unprefixed(connection, name) for name in (await connection.execute(_HELD_OF, values)).scalars()}
    return [name for name in names if name not in held_names]


async def list_held(connection: AsyncConnection, prefix: str | Sequence[str], now: datetime) -> dict[str, int]:
    """Return the terms of the held leases whose names start with `prefix`, or with one of several."""
    prefixes = [prefix] if isinstance(prefix, str) else prefix
    values = {"the_now": now, **_prefix_values(connection, prefixes)}
    rows = await connection.execute(_held(len(prefixes)), values)
    return {unprefixed(connection, row.name): row.term for row in rows}


@lru_cache
def _held(prefixes: int) -> Select[Any]:
    wanted = or_(*(_has_prefix(number) for number in range(prefixes)))
    columns = (leases.c.name, leases.c.term, leases.c.owner)
    return select(*columns).where(wanted, leases.c.expires_at > bindparam("the_now"))


def _has_prefix(number: int) -> ColumnElement[bool]:
    return leases.c.name.startswith(bindparam(f"the_prefix_{number}", type_=leases.c.name.type))


def _prefix_values(connection: AsyncConnection, prefixes: Collection[str]) -> Row:
    return {f"the_prefix_{number}": prefixed(connection, prefix) for number, prefix in enumerate(prefixes)}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredLease:
    """A lease that was not released: it is held, or its owner died."""

    name: str
    owner: str
    expires_at: datetime


async def list_unreleased(connection: AsyncConnection) -> list[StoredLease]:
    """Return the held leases, and the expired ones that nobody has released or acquired."""
    statement = select(leases).where(leases.c.owner != _NOBODY).order_by(leases.c.name)
    return [
        StoredLease(name=row.name, owner=row.owner, expires_at=row.expires_at)
        for row in await connection.execute(statement)
    ]


async def list_owners(connection: AsyncConnection, prefixes: Sequence[str], now: datetime) -> dict[str, str]:
    """Return the owners of the held leases whose names start with one of `prefixes`, by name."""
    values = {"the_now": now, **_prefix_values(connection, prefixes)}
    rows = await connection.execute(_held(len(prefixes)), values)
    return {unprefixed(connection, row.name): row.owner for row in rows}


_END = select(leases.c.expires_at).where(leases.c.name == bindparam("the_name"))


async def seconds_left(connection: AsyncConnection, name: str, now: datetime) -> float:
    """Return for how long the lease is still held; 0 if nobody holds it."""
    expires_at = (await connection.execute(_END, {"the_name": prefixed(connection, name)})).scalar()
    return 0.0 if expires_at is None else max(0.0, (expires_at - now).total_seconds())


@lru_cache
def _start_counter(dialect: str) -> Executable:
    return insert_into(counters, dialect).on_conflict_do_nothing()


_COUNTER = select(counters.c.value).where(counters.c.name == bindparam("the_name")).with_for_update()


async def agree_on_partitions(uow: UnitOfWork, number: int) -> bool:
    """Return whether all workers use `number` partitions; this holds until the transaction ends.

    False while others work with another number: an account would be in one partition for them and in another one for
    us. Every worker calls this before it acquires partitions, and the row lock makes them do so one after the other.
    """
    counter = prefixed(uow.connection, _PARTITION_COUNTER)
    agreed = (await uow.connection.execute(_COUNTER, {"the_name": counter})).scalar()
    if agreed is None:  # the first worker of all; another one may insert it at the same time
        statement = _start_counter(uow.connection.dialect.name)
        await uow.connection.execute(statement, {"name": counter, "value": number})
        agreed = (await uow.connection.execute(_COUNTER, {"the_name": counter})).scalar()
    if agreed == number:
        return True
    if await list_held(uow.connection, PARTITION, uow.now):
        return False
    await uow.connection.execute(update(counters).where(counters.c.name == counter).values(value=number))
    return True


async def delete_leases(uow: UnitOfWork, names: Collection[str], prefixes: Collection[str]) -> None:
    """Delete the leases of `names`, and the long expired leases with these prefixes: their owners never return, and
    nobody needs their terms."""
    values = {"the_names": _full_names(uow.connection, names), "the_time": uow.now - _EXPIRED_LEASES_KEPT}
    values |= _prefix_values(uow.connection, prefixes)
    await uow.connection.execute(_delete(len(prefixes)), values)


@lru_cache
def _delete(prefixes: int) -> Delete:
    old = [_has_prefix(number) & (leases.c.expires_at <= bindparam("the_time")) for number in range(prefixes)]
    return delete(leases).where(or_(leases.c.name.in_(bindparam("the_names", expanding=True)), *old))


_OURS = update(leases).where(
    tuple_(leases.c.name, leases.c.term).in_(bindparam("the_leases", expanding=True)),
    leases.c.owner == bindparam("the_owner"),
)
_RENEW = _OURS.values(expires_at=bindparam("the_end"))
_RELEASE = _OURS.values(owner=_NOBODY, expires_at=bindparam("the_end"))


async def renew(store: Store, owner: str, held_leases: Mapping[str, int], ttl: float) -> bool:
    """Renew our leases for `ttl` seconds from now; False if another owner has acquired one of them.

    A lease that has expired but that nobody acquired is ours again.
    """
    async with store.transaction() as uow:
        await _lock_several(uow, held_leases)
        values = _values_of(uow.connection, held_leases, owner, uow.now + timedelta(seconds=ttl))
        return (await uow.connection.execute(_RENEW, values)).rowcount == len(held_leases)


async def release(store: Store, name: str, owner: str, term: int) -> bool:
    """Release our lease at once; False if it was no longer ours. The row stays, because terms must never repeat."""
    return await release_all(store, owner, {name: term}) == 1


async def release_all(store: Store, owner: str, held_leases: Mapping[str, int]) -> int:
    """`release` for many; returns how many were ours."""
    async with store.transaction() as uow:
        await _lock_several(uow, held_leases)
        values = _values_of(uow.connection, held_leases, owner, uow.now)
        return (await uow.connection.execute(_RELEASE, values)).rowcount


async def is_held(uow: UnitOfWork, name: str, term: int, *, org: str | None = None) -> bool:
    """Return whether `term` is current; it stays so until this transaction ends."""
    return not await list_lost(uow, {name: term}, org=org)


async def list_lost(uow: UnitOfWork, held_leases: Mapping[str, int], *, org: str | None = None) -> list[str]:
    """Return the leases that are no longer ours. The others stay ours until this transaction ends."""
    current = await _lock(uow, held_leases, org)
    return sorted(name for name, term in held_leases.items() if current.get(name) != term)


_LOCK = (
    select(leases.c.name, leases.c.term)
    .where(leases.c.name.in_(bindparam("the_names", expanding=True)), leases.c.owner != _NOBODY)
    .order_by(leases.c.name)
    .with_for_update()
)


async def _lock(uow: UnitOfWork, names: Collection[str], org: str | None = None) -> dict[str, int]:
    """Lock the held leases of `names`, in sorted order to avoid deadlocks, and return their terms.

    In PostgreSQL nobody else can acquire them until the transaction ends. SQLite has only one writer anyway.
    """
    if not names:
        return {}
    rows = await uow.connection.execute(_LOCK, {"the_names": _full_names(uow.connection, names, org)})
    return {unprefixed(uow.connection, row.name, org): row.term for row in rows}


async def _lock_several(uow: UnitOfWork, names: Collection[str]) -> None:
    """Lock leases before a statement that writes all of them, in an order of its own. A single one needs no order, and
    SQLite has only one writer."""
    if len(names) > 1 and uow.connection.dialect.name != "sqlite":
        await _lock(uow, names)


def _full_names(connection: AsyncConnection, names: Collection[str], org: str | None = None) -> list[str]:
    """The names of leases as they are stored, in sorted order: those of each org but the default one have its name."""
    return [prefixed(connection, name, org) for name in sorted(names)]


def _values_of(connection: AsyncConnection, held_leases: Mapping[str, int], owner: str, end: datetime) -> Row:
    named = [(prefixed(connection, name), term) for name, term in held_leases.items()]
    return {"the_leases": named, "the_owner": owner, "the_end": end}
