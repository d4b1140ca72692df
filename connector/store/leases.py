"""Who may act alone on something (a partition, a subscription), until when, and under which term.

A lease that ran out can be taken by another owner, whose term is one higher. The time is that of the machine that
asks, so clocks must agree to well within a lease. Safety does not rest on them: an owner that was frozen past its lease
still finds that its term is over, because `holds` is asked inside the transaction that would record its work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import case, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.engine import Store
from connector.store.sql import insert
from connector.store.tables import counters, leases
from connector.store.unit_of_work import UnitOfWork

PARTITION = "drain:"
"""What the leases of partitions begin with."""

_NOBODY = ""
_PARTITIONS = "partitions"
_KEPT = timedelta(hours=1)
"""How long the row of a worker that was killed stays."""


async def acquire(store: Store, name: str, owner: str, ttl: float) -> int | None:
    """Take the lease for `ttl` seconds, or prolong our own; its term, None while another owner holds it."""
    async with store.transaction() as uow:
        return (await take(uow, [name], owner, ttl)).get(name)


async def take(uow: UnitOfWork, names: Collection[str], owner: str, ttl: float) -> dict[str, int]:
    """Take those of `names` that are free for `ttl` seconds, or prolong our own; the terms of those that are ours."""
    if not names:
        return {}
    until = uow.now + timedelta(seconds=ttl)
    rows = [{"name": name, "owner": owner, "term": 1, "expires_at": until} for name in sorted(names)]
    statement = insert(uow.connection, leases).values(rows)
    mine = leases.c.owner == statement.excluded.owner
    taken = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "owner": statement.excluded.owner,
            "term": case((mine, leases.c.term), else_=leases.c.term + 1),
            "expires_at": statement.excluded.expires_at,
        },
        where=or_(mine, leases.c.expires_at <= uow.now),
    ).returning(leases.c.name, leases.c.term)
    return {row.name: row.term for row in await uow.connection.execute(taken)}


async def free(connection: AsyncConnection, names: Collection[str], now: datetime) -> list[str]:
    """Those of `names` that nobody holds, in their order."""
    statement = select(leases.c.name).where(leases.c.name.in_(sorted(names)), leases.c.expires_at > now)
    held = set((await connection.execute(statement)).scalars())
    return [name for name in names if name not in held]


async def current(connection: AsyncConnection, prefix: str, now: datetime) -> dict[str, int]:
    """The terms of the leases that somebody holds and whose names begin so."""
    statement = select(leases.c.name, leases.c.term).where(leases.c.name.startswith(prefix), leases.c.expires_at > now)
    return {row.name: row.term for row in await connection.execute(statement)}


async def agree_on_partitions(uow: UnitOfWork, number: int) -> bool:
    """Whether work is shared out over so many partitions, until this transaction ends. While others are at work on
    another number it is not: an account would be in one partition for them and in another one for us.

    Whoever takes partitions asks here first, and so they take them one after the other."""
    row = {"name": _PARTITIONS, "value": number}
    await uow.connection.execute(insert(uow.connection, counters).values(row).on_conflict_do_nothing())
    mine = select(counters.c.value).where(counters.c.name == _PARTITIONS).with_for_update()
    if (await uow.connection.execute(mine)).scalar() == number:
        return True
    if await current(uow.connection, PARTITION, uow.now):
        return False
    await uow.connection.execute(update(counters).where(counters.c.name == _PARTITIONS).values(value=number))
    return True


async def forget(uow: UnitOfWork, names: Collection[str], prefixes: Collection[str]) -> None:
    """Remove the leases of `names`, and those with these prefixes that ran out long ago: of owners that never return,
    whose terms nobody asks for."""
    old = [leases.c.name.startswith(prefix) & (leases.c.expires_at <= uow.now - _KEPT) for prefix in prefixes]
    await uow.connection.execute(delete(leases).where(or_(leases.c.name.in_(sorted(names)), *old)))


async def renew(store: Store, owner: str, terms: Mapping[str, int], ttl: float) -> bool:
    """Prolong our leases, by name, by `ttl` seconds from now; False if another owner has taken one of them.

    A lease that has run out but that nobody has taken is ours again.
    """
    async with store.transaction() as uow:
        await _lock(uow, terms)
        prolonged = await uow.connection.execute(
            update(leases)
            .where(tuple_(leases.c.name, leases.c.term).in_(list(terms.items())), leases.c.owner == owner)
            .values(expires_at=uow.now + timedelta(seconds=ttl))
        )
        return prolonged.rowcount == len(terms)


async def release(store: Store, name: str, owner: str, term: int) -> bool:
    """Give our lease back at once; False if it was no longer ours. The row stays, for terms must never repeat."""
    return await release_all(store, owner, {name: term}) == 1


async def release_all(store: Store, owner: str, terms: Mapping[str, int]) -> int:
    """`release` for many; how many were ours."""
    async with store.transaction() as uow:
        await _lock(uow, terms)
        released = await uow.connection.execute(
            update(leases)
            .where(tuple_(leases.c.name, leases.c.term).in_(list(terms.items())), leases.c.owner == owner)
            .values(owner=_NOBODY, expires_at=uow.now)
        )
        return released.rowcount


async def holds(uow: UnitOfWork, name: str, term: int) -> bool:
    """Whether `term` is still the current one, and will be until this transaction ends."""
    return not await lost(uow, {name: term})


async def lost(uow: UnitOfWork, terms: Mapping[str, int]) -> list[str]:
    """Those of our leases that are ours no more; the others stay ours until this transaction ends."""
    current = await _lock(uow, terms)
    return sorted(name for name, term in terms.items() if current.get(name) != term)


async def _lock(uow: UnitOfWork, names: Collection[str]) -> dict[str, int]:
    """The terms of leases that somebody has, locked in one order for all, so that nobody waits for each other.

    PostgreSQL keeps others from taking them until the transaction ends; SQLite has one writer, and this is it."""
    if not names:
        return {}
    statement = (
        select(leases.c.name, leases.c.term)
        .where(leases.c.name.in_(sorted(names)), leases.c.owner != _NOBODY)
        .order_by(leases.c.name)
        .with_for_update()
    )
    return {row.name: row.term for row in await uow.connection.execute(statement)}
