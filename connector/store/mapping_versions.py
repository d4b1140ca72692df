"""The active mapping version, and the state of each source of mapping files.

Every activation is a row; the one with the highest number is active. A source is a folder of mapping files on one
machine. Its digest is stored, so that a comparison with its files shows whether they were edited since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store import journal
from connector.store.journal import JournalEntry
from connector.store.sql import insert
from connector.store.tables import mapping_sources, mapping_versions
from connector.store.unit_of_work import UnitOfWork

SOURCES_KEPT = timedelta(days=90)
"""How long a source that is no longer seen is kept. Every container is a new source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """One activation; `source` is the folder of its files."""

    number: int
    digest: str
    activated_at: datetime
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceProblem:
    """The reason why a source cannot use its own files, as last reported."""

    source: str
    problem: str
    seen_at: datetime


async def get_active(connection: AsyncConnection) -> Activation | None:
    """Return the active version; None before the first push."""
    statement = select(mapping_versions).order_by(mapping_versions.c.number.desc()).limit(1)
    row = (await connection.execute(statement)).first()
    return None if row is None else Activation(**row._mapping)


async def is_active(connection: AsyncConnection, number: int) -> bool:
    """Return whether no later version was activated."""
    latest: int | None = (await connection.execute(select(func.max(mapping_versions.c.number)))).scalar()
    return latest == number


async def was_active(connection: AsyncConnection, digest: str) -> bool:
    """Return whether files with this digest were ever active."""
    statement = select(mapping_versions.c.number).where(mapping_versions.c.digest == digest).limit(1)
    return (await connection.execute(statement)).first() is not None


async def get_source_digest(connection: AsyncConnection, source: str) -> str | None:
    """Return the digest of the source when it was last seen; None if it is unknown."""
    statement = select(mapping_sources.c.digest).where(mapping_sources.c.source == source)
    return (await connection.execute(statement)).scalar()


async def activate(uow: UnitOfWork, digest: str, source: str) -> int:
    """Make this version the active one, and return its number. Whoever edited the files is known by their place
    only."""
    statement = insert(uow.connection, mapping_versions).values(digest=digest, activated_at=uow.now, source=source)
    number: int = (await uow.connection.execute(statement.returning(mapping_versions.c.number))).scalar_one()
    await record_source(uow, source, digest)
    detail = {"digest": digest, "source": source}
    entry = JournalEntry(entity="mapping", key=str(number), action="activated", detail=detail, actor=source)
    await journal.write(uow, [entry])
    return number


async def record_source(uow: UnitOfWork, source: str, digest: str) -> None:
    """Record that the source has these files, and that they can be used."""
    values = {"digest": digest, "seen_at": uow.now, "problem": None}
    statement = insert(uow.connection, mapping_sources).values(source=source, **values)
    await uow.connection.execute(statement.on_conflict_do_update(index_elements=["source"], set_=values))
    await uow.connection.execute(delete(mapping_sources).where(mapping_sources.c.seen_at < uow.now - SOURCES_KEPT))


async def record_problem(uow: UnitOfWork, source: str, problem: str | None, *, digest: str) -> None:
    """Record why the source cannot use its files. Its digest stays as before; `digest` is stored if the source
    is new."""
    values = {"seen_at": uow.now, "problem": problem}
    statement = insert(uow.connection, mapping_sources).values(source=source, digest=digest, **values)
    await uow.connection.execute(statement.on_conflict_do_update(index_elements=["source"], set_=values))


async def list_problems(connection: AsyncConnection, since: datetime) -> list[SourceProblem]:
    """Return the problems that were reported at `since` or later and still exist."""
    statement = (
        select(mapping_sources.c.source, mapping_sources.c.problem, mapping_sources.c.seen_at)
        .where(mapping_sources.c.problem.is_not(None), mapping_sources.c.seen_at >= since)
        .order_by(mapping_sources.c.source)
    )
    return [SourceProblem(**row._mapping) for row in await connection.execute(statement)]
