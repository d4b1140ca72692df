"""The versions of the mappings with their files, and the state of each source of mapping files.

Every activation is a row; the one with the highest number is active. A source is a folder of mapping files on one
machine. Its digest is stored, so that a comparison with its files shows whether they were edited since.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.mapping_version import Activation, Origin, SourceProblem, SourceState, StoredVersion
from connector.store import journal
from connector.store.journal import JournalEntry
from connector.store.mapping_tables import mapping_contents, mapping_sources, mapping_versions
from connector.store.sql import insert, insert_into, insert_missing, upsert
from connector.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

SOURCES_KEPT = timedelta(days=90)
"""How long a source that is no longer seen is kept. Every container is a new source."""


_ACTIVE = select(mapping_versions).order_by(mapping_versions.c.number.desc()).limit(1)


async def get_active(connection: AsyncConnection) -> Activation | None:
    """Return the active version; None before the first push."""
    row = (await connection.execute(_ACTIVE)).first()
    return None if row is None else _activation(row)


_OF_NUMBER = select(mapping_versions).where(mapping_versions.c.number == bindparam("the_number"))


async def get(connection: AsyncConnection, number: int) -> StoredVersion | None:
    """Return a version with its files; None if there is none of this number."""
    row = (await connection.execute(_OF_NUMBER, {"the_number": number})).first()
    if row is None:
        return None
    return StoredVersion(activation=_activation(row), texts=await get_texts(connection, row.digest))


async def list_page(connection: AsyncConnection, *, before: int | None = None, limit: int) -> list[Activation]:
    """Return versions with a number below `before`, the newest first."""
    statement = select(mapping_versions).order_by(mapping_versions.c.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(mapping_versions.c.number < before)
    return [_activation(row) for row in await connection.execute(statement)]


_BODY = select(mapping_contents.c.body).where(mapping_contents.c.digest == bindparam("the_digest"))


async def get_texts(connection: AsyncConnection, digest: str) -> Mapping[str, str] | None:
    """Return the files with this digest; None if they are not stored."""
    body = (await connection.execute(_BODY, {"the_digest": digest})).scalar()
    return None if body is None else orjson.loads(body)


async def list_texts(connection: AsyncConnection, digests: Collection[str]) -> dict[str, Mapping[str, str]]:
    """Return the files of these digests that are stored."""
    statement = select(mapping_contents).where(mapping_contents.c.digest.in_(list(digests)))
    return {row.digest: orjson.loads(row.body) for row in await connection.execute(statement)}


async def is_active(connection: AsyncConnection, number: int) -> bool:
    """Return whether no later version was activated."""
    return await find_latest(connection) == number


_LATEST = select(func.max(mapping_versions.c.number))


async def find_latest(connection: AsyncConnection) -> int | None:
    """Return the number of the active version; None before the first push."""
    number: int | None = (await connection.execute(_LATEST)).scalar()
    return number


async def was_active(connection: AsyncConnection, digest: str) -> bool:
    """Return whether files with this digest were ever active."""
    statement = select(mapping_versions.c.number).where(mapping_versions.c.digest == digest).limit(1)
    return (await connection.execute(statement)).first() is not None


_SOURCE = select(mapping_sources.c.digest, mapping_sources.c.number).where(
    mapping_sources.c.source == bindparam("the_source")
)


async def get_source(connection: AsyncConnection, source: str) -> SourceState | None:
    """Return the source as it was last seen valid; None if it is unknown, or never was."""
    row = (await connection.execute(_SOURCE, {"the_source": source})).first()
    return SourceState(digest=row.digest, number=row.number) if row is not None and row.digest else None


async def activate(
    uow: UnitOfWork,
    digest: str,
    source: str,
    *,
    base: int | None,
    texts: Mapping[str, str] | None = None,
    origin: Origin = Origin.FILES,
    author: str | None = None,
    note: str | None = None,
) -> int | None:
    """Make this version the active one in place of the version `base`, and return its number. None if `base` is no
    longer the active one: of two activations at a time the first one counts, because their numbers would be the same.
    """
    if await find_latest(uow.connection) != base:
        return None
    number = (base or 0) + 1
    row = {
        "number": number,
        "digest": digest,
        "activated_at": uow.now,
        "source": source,
        "origin": origin.value,
        "author": author,
        "note": note,
        "base": base,
    }
    if not await insert_missing(uow.connection, mapping_versions, [row]):
        return None
    if texts is not None:
        await put_texts(uow, digest, texts)
    if origin is Origin.FILES:
        await record_source(uow, source, digest, number)
    detail = {"digest": digest, "source": source, "origin": origin.value, "base": base, "note": note}
    entry = JournalEntry(
        entity="mapping", key=str(number), action="activated", detail=detail, actor=author if author else source
    )
    await journal.write(uow, [entry])
    return number


async def put_texts(uow: UnitOfWork, digest: str, texts: Mapping[str, str]) -> None:
    """Store the files of a version. Those that are stored count as stored now: whoever deletes what nobody needs waits
    for this transaction, and leaves them (`mapping_plans.put`)."""
    row = {"digest": digest, "stored_at": uow.now, "body": orjson.dumps(dict(texts)).decode()}
    await uow.connection.execute(_put_texts(uow.connection.dialect.name), row)


@cache
def _put_texts(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_into(mapping_contents, dialect)
    again = {"stored_at": statement.excluded.stored_at}
    return statement.on_conflict_do_update(index_elements=["digest"], set_=again)


_DELETE_SOURCES = delete(mapping_sources).where(mapping_sources.c.seen_at < bindparam("the_last"))


async def record_source(uow: UnitOfWork, source: str, digest: str, number: int | None) -> None:
    """Record that the source has these files, and that they can be used. `number`: the active version, if they are it;
    a later version with the same files is another one."""
    row = {"source": source, "digest": digest, "number": number, "seen_at": uow.now, "problem": None}
    await upsert(uow.connection, mapping_sources, [row])
    await uow.connection.execute(_DELETE_SOURCES, {"the_last": uow.now - SOURCES_KEPT})


async def record_problem(uow: UnitOfWork, source: str, problem: str | None) -> None:
    """Record why the source cannot use its files. Its digest stays as before; that of a new source is empty."""
    values = {"seen_at": uow.now, "problem": problem}
    statement = insert(uow.connection, mapping_sources).values(source=source, digest="", **values)
    await uow.connection.execute(statement.on_conflict_do_update(index_elements=["source"], set_=values))


async def list_problems(connection: AsyncConnection, since: datetime) -> list[SourceProblem]:
    """Return the problems that were reported at `since` or later and still exist."""
    statement = (
        select(mapping_sources.c.source, mapping_sources.c.problem, mapping_sources.c.seen_at)
        .where(mapping_sources.c.problem.is_not(None), mapping_sources.c.seen_at >= since)
        .order_by(mapping_sources.c.source)
    )
    return [SourceProblem(**row._mapping) for row in await connection.execute(statement)]


def _activation(row: Any) -> Activation:
    return Activation(
        number=row.number,
        digest=row.digest,
        activated_at=row.activated_at,
        source=row.source,
        origin=Origin(row.origin),
        author=row.author,
        note=row.note,
        base=row.base,
    )
