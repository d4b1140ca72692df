"""Workers: the processes of the service, each of which reports itself while it runs.

The table only shows who is there. What a process may do is decided by its leases alone, so a wrong row harms nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import Row, bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.worker import Worker
from connector.store.job_tables import workers
from connector.store.leases import LISTEN, PARTITION, PRODUCTS
from connector.store.scope import DEFAULT
from connector.store.sql import upsert
from connector.store.tables import leases, orgs
from connector.store.unit_of_work import UnitOfWork

KEPT = timedelta(days=1)
"""How long a worker that died is listed."""

_IS_ALIVE = workers.c.expires_at > bindparam("the_now")
_DELETE_OLD = delete(workers).where(workers.c.expires_at <= bindparam("the_time"))


async def report(
    uow: UnitOfWork, worker: Worker, *, ttl: float, troubles: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Store that the worker is alive for `ttl` seconds from now, and forget those that died long ago. `troubles`: why
    roles of it failed lately."""
    row = {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "roles": ",".join(worker.roles),
        "engine": worker.engine,
        "started_at": worker.started_at,
        "seen_at": uow.now,
        "expires_at": uow.now + timedelta(seconds=ttl),
        "troubles": orjson.dumps(dict(troubles)).decode() if troubles else None,
    }
    await upsert(uow.connection, workers, [row])
    await uow.connection.execute(_DELETE_OLD, {"the_time": uow.now - KEPT})


async def remove(uow: UnitOfWork, worker: str) -> None:
    """Forget a worker that has ended."""
    await uow.connection.execute(delete(workers).where(workers.c.id == worker))


async def list_workers(connection: AsyncConnection, now: datetime) -> list[Worker]:
    """Return the workers with what each holds now, those that are alive first, the oldest first."""
    held = await _list_held(connection, now)
    names = {row.org_id: row.name for row in await connection.execute(select(orgs.c.org_id, orgs.c.name))}
    rows = await connection.execute(select(workers).order_by(workers.c.started_at, workers.c.id))
    found = [_build(row, held.get(f"{row.host}:{row.pid}", []), names, now) for row in rows]
    return sorted(found, key=lambda worker: not worker.alive)


_ROLES = select(workers.c.roles).where(_IS_ALIVE)


async def count_alive_by_role(connection: AsyncConnection, now: datetime) -> dict[str, int]:
    """Return how many workers that are alive have each role."""
    rows = (await connection.execute(_ROLES, {"the_now": now})).scalars()
    return dict(sorted(Counter(role for roles in rows for role in roles.split(",")).items()))


_TROUBLES = select(workers.c.troubles).where(_IS_ALIVE, workers.c.troubles.is_not(None)).order_by(workers.c.id)


async def list_troubles(connection: AsyncConnection, now: datetime) -> dict[str, str]:
    """The roles that failed lately in a worker that is alive, and why."""
    found: dict[str, str] = {}
    for document in (await connection.execute(_TROUBLES, {"the_now": now})).scalars():
        found = {**orjson.loads(document), **found}
    return dict(sorted(found.items()))


_ALIVE = select(workers.c.host, workers.c.pid, workers.c.roles).where(_IS_ALIVE)


async def list_alive(connection: AsyncConnection, role: str, now: datetime) -> set[str]:
    """Return the workers with this role that are alive, each as `HOST:PID`."""
    rows = await connection.execute(_ALIVE, {"the_now": now})
    return {f"{row.host}:{row.pid}" for row in rows if role in row.roles.split(",")}


async def _list_held(connection: AsyncConnection, now: datetime) -> dict[str, list[str]]:
    """The names of the held leases by the host and the process ID of their owner."""
    held = defaultdict(list)
    statement = select(leases.c.name, leases.c.owner).where(leases.c.expires_at > now).order_by(leases.c.name)
    for name, owner in await connection.execute(statement):
        host, _, rest = owner.partition(":")
        held[f"{host}:{rest.partition(':')[0]}"].append(name)
    return held


def _build(row: Row[Any], held: list[str], org_names: Mapping[str, str], now: datetime) -> Worker:
    alive = row.expires_at > now
    partitions: dict[str, list[int]] = {DEFAULT: []}
    topics: dict[str, list[str]] = {DEFAULT: []}
    sends_products = False
    for full in held if alive else []:
        org, _, name = full.partition("/") if not full.startswith((PARTITION, LISTEN)) else ("", "", full)
        sends_products |= name == PRODUCTS
        number = name.removeprefix(PARTITION)
        if name.startswith(PARTITION) and number.isdecimal():
            partitions.setdefault(org, []).append(int(number))
        elif name.startswith(LISTEN):
            _, org_id, topic = name.split(":", 2)
            topics.setdefault(org_names.get(org_id, DEFAULT), []).append(topic)
    return Worker(
        id=row.id,
        host=row.host,
        pid=row.pid,
        roles=tuple(row.roles.split(",")),
        engine=row.engine,
        started_at=row.started_at,
        seen_at=row.seen_at,
        alive=alive,
        partitions=tuple(sorted(partitions.pop(DEFAULT))),
        org_partitions={org: tuple(sorted(numbers)) for org, numbers in partitions.items()},
        sends_products=sends_products,
        topics=tuple(topics.pop(DEFAULT)),
        org_topics={org: tuple(listened) for org, listened in topics.items()},
    )
