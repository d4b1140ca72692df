"""Shadows of the mappings, one at a time, and what they would have mapped otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.mapping_shadow import Shadow, ShadowField, ShadowSample
from connector.store import mapping_versions as versions
from connector.store.mapping_tables import mapping_shadow_fields, mapping_shadows
from connector.store.sql import upsert
from connector.store.unit_of_work import UnitOfWork

MOST_SAMPLES = 10
"""Samples that are kept of a field."""


_IS_OPEN = mapping_shadows.c.ended_at.is_(None)
_OPEN = select(mapping_shadows).where(_IS_OPEN).order_by(mapping_shadows.c.id.desc()).limit(1)


async def get_open(connection: AsyncConnection, *, with_fields: bool = False) -> Shadow | None:
    """The shadow that is computed now; None if there is none."""
    row = (await connection.execute(_OPEN)).first()
    if row is None:
        return None
    return Shadow(**row._mapping, fields=await _load_fields(connection, row.id) if with_fields else ())


async def start(
    uow: UnitOfWork, digest: str, texts: Mapping[str, str], *, base: int, actor: str, note: str | None
) -> None:
    """Begin a shadow with these files, in place of another one."""
    await end(uow, actor=actor, outcome="discarded")
    await versions.put_texts(uow, digest, texts)
    row = {"digest": digest, "base": base, "started_at": uow.now, "started_by": actor, "note": note}
    await uow.connection.execute(insert(mapping_shadows), [row])


async def end(uow: UnitOfWork, *, actor: str, outcome: str) -> None:
    """End the shadow, if there is one."""
    table = mapping_shadows
    values = {"ended_at": uow.now, "ended_by": actor, "outcome": outcome}
    await uow.connection.execute(update(table).where(table.c.ended_at.is_(None)).values(values))


async def add(uow: UnitOfWork, shadow_id: int, *, computed: int, differing: int, fields: Sequence[ShadowField]) -> None:
    """Add what a process has computed, if the shadow has not ended."""
    table = mapping_shadows
    counted = (
        update(table)
        .where(table.c.id == shadow_id, table.c.ended_at.is_(None))
        .values(computed=table.c.computed + computed, differing=table.c.differing + differing)
    )
    if not (await uow.connection.execute(counted)).rowcount:  # it also locks the row: others wait
        return
    known = {(item.sobject, item.field): item for item in await _load_fields(uow.connection, shadow_id)}
    rows = []
    for item in fields:
        former = known.get((item.sobject, item.field))
        samples = [*(() if former is None else former.samples), *item.samples][:MOST_SAMPLES]
        rows.append(
            {
                "shadow": shadow_id,
                "sobject": item.sobject,
                "field": item.field,
                "count": item.count + (0 if former is None else former.count),
                "samples": orjson.dumps([asdict(sample) for sample in samples]).decode(),
            }
        )
    await upsert(uow.connection, mapping_shadow_fields, rows)


async def _load_fields(connection: AsyncConnection, shadow_id: int) -> list[ShadowField]:
    table = mapping_shadow_fields
    statement = select(table).where(table.c.shadow == shadow_id).order_by(table.c.count.desc(), table.c.field)
    return [_field(row) for row in await connection.execute(statement)]


def _field(row: Any) -> ShadowField:
    samples = [ShadowSample(**sample) for sample in orjson.loads(row.samples)]
    return ShadowField(sobject=row.sobject, field=row.field, count=row.count, samples=samples)
