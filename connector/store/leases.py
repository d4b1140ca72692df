"""Who may act alone on something (a partition, a subscription), until when, and under which term.

A lease that ran out can be taken by another owner, whose term is one higher. The time is that of the machine that
asks, so clocks must agree to well within a lease. Safety does not rest on them: an owner that was frozen past its lease
still finds that its term is over, because `holds` is asked inside the transaction that would record its work.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import case, or_, select, tuple_, update

from connector.store.bulk import insert
from connector.store.engine import Store
from connector.store.tables import leases
from connector.store.unit import UnitOfWork

_NOBODY = ""


async def acquire(store: Store, name: str, owner: str, ttl: float) -> int | None:
    """Take the lease for `ttl` seconds, or prolong our own; its term, None while another owner holds it."""
    async with store.transaction() as uow:
        statement = insert(uow.connection, leases).values(
            name=name, owner=owner, term=1, expires_at=uow.now + timedelta(seconds=ttl)
        )
        mine = leases.c.owner == statement.excluded.owner
        taken = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "owner": statement.excluded.owner,
                "term": case((mine, leases.c.term), else_=leases.c.term + 1),
                "expires_at": statement.excluded.expires_at,
            },
            where=or_(mine, leases.c.expires_at <= uow.now),
        ).returning(leases.c.term)
        term: int | None = (await uow.connection.execute(taken)).scalar()
        return term


async def renew(store: Store, owner: str, terms: Mapping[str, int], ttl: float) -> bool:
    """Prolong our leases, by name, by `ttl` seconds from now; False if another owner has taken one of them.

    A lease that has run out but that nobody has taken is ours again.
    """
    async with store.transaction() as uow:
        prolonged = await uow.connection.execute(
            update(leases)
            .where(tuple_(leases.c.name, leases.c.term).in_(list(terms.items())), leases.c.owner == owner)
            .values(expires_at=uow.now + timedelta(seconds=ttl))
        )
        return prolonged.rowcount == len(terms)


async def release(store: Store, name: str, owner: str, term: int) -> bool:
    """Give our lease back at once; False if it was no longer ours. The row stays, for terms must never repeat."""
    async with store.transaction() as uow:
        released = await uow.connection.execute(
            update(leases)
            .where(leases.c.name == name, leases.c.owner == owner, leases.c.term == term)
            .values(owner=_NOBODY, expires_at=uow.now)
        )
        return released.rowcount == 1


async def holds(uow: UnitOfWork, name: str, term: int) -> bool:
    """Whether `term` is still the current one, and will be until this transaction ends."""
    # PostgreSQL keeps others from taking the lease until then by the row lock; SQLite has one writer, and this is it.
    statement = select(leases.c.term).where(leases.c.name == name, leases.c.owner != _NOBODY).with_for_update()
    current: int | None = (await uow.connection.execute(statement)).scalar()
    return current == term
