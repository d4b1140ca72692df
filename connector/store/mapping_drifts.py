"""What admins changed in an org that concerns the active mappings, and the describe that it is compared with.

open ──found no more──► healed; found again, it is a new one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.mapping_drift import Drift, DriftKind, StoredDrift
from connector.store.mapping_tables import mapping_drifts, org_baselines
from connector.store.sql import upsert
from connector.store.unit_of_work import UnitOfWork

KEPT = timedelta(days=90)
"""How long one that healed is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """The describe of an org when `mapping_version` was new, in the form of `org_metadata`."""

    mapping_version: int
    stored_at: datetime
    body: str


async def get_baseline(connection: AsyncConnection, org_id: str) -> Baseline | None:
    row = (await connection.execute(select(org_baselines).where(org_baselines.c.org_id == org_id))).first()
    if row is None:
        return None
    return Baseline(mapping_version=row.mapping_version, stored_at=row.stored_at, body=row.body)


async def put_baseline(uow: UnitOfWork, org_id: str, mapping_version: int, body: str) -> None:
    row = {"org_id": org_id, "mapping_version": mapping_version, "stored_at": uow.now, "body": body}
    await upsert(uow.connection, org_baselines, [row])


async def list_drifts(
    connection: AsyncConnection, org_id: str | None = None, *, healed: bool = False, limit: int = 200
) -> list[StoredDrift]:
    """The open ones, the oldest first; with `healed`, also those that healed, the newest first."""
    order = mapping_drifts.c.id.desc() if healed else mapping_drifts.c.id
    statement = select(mapping_drifts).order_by(order).limit(limit)
    if not healed:
        statement = statement.where(mapping_drifts.c.healed_at.is_(None))
    if org_id is not None:
        statement = statement.where(mapping_drifts.c.org_id == org_id)
    return [_build(row) for row in await connection.execute(statement)]


async def record(uow: UnitOfWork, org_id: str, found: Sequence[Drift]) -> tuple[int, int]:
    """Store what was found now: new ones begin, and those that were not found are healed. Returns how many of each."""
    table, by_fingerprint = mapping_drifts, {_fingerprint(item): item for item in found}
    statement = select(table.c.fingerprint).where(table.c.org_id == org_id, table.c.healed_at.is_(None))
    known = set((await uow.connection.execute(statement)).scalars())
    gone, new = known - by_fingerprint.keys(), by_fingerprint.keys() - known
    if gone:
        chosen = (table.c.org_id == org_id) & table.c.healed_at.is_(None) & table.c.fingerprint.in_(gone)
        await uow.connection.execute(update(table).where(chosen).values(healed_at=uow.now))
    rows = [
        {
            "org_id": org_id,
            "fingerprint": name,
            "drift": orjson.dumps(asdict(item)).decode(),
            "first_seen": uow.now,
        }
        for name, item in by_fingerprint.items()
        if name in new
    ]
    if rows:
        await uow.connection.execute(insert(table), rows)
    await uow.connection.execute(delete(table).where(table.c.healed_at < uow.now - KEPT))
    return len(new), len(gone)


def _fingerprint(drift: Drift) -> str:
    return sha256(f"{drift.sobject}\n{drift.field}\n{drift.text}".encode()).hexdigest()[:16]


def _build(row: Any) -> StoredDrift:
    drift = orjson.loads(row.drift)
    return StoredDrift(
        id=row.id,
        org_id=row.org_id,
        drift=Drift(**{**drift, "kind": DriftKind(drift["kind"])}),
        first_seen=row.first_seen,
        healed_at=row.healed_at,
    )
