"""Plans of mapping versions, as people made them, with the files that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.mapping_plan import PlanNumbers, StoredPlan
from connector.store import mapping_versions as versions
from connector.store.mapping_tables import mapping_contents, mapping_plans, mapping_shadows, mapping_versions
from connector.store.unit_of_work import UnitOfWork

KEPT = timedelta(days=7)
"""How long a plan is kept after it expired."""
LONGEST_ACTIVATION = timedelta(hours=1)
"""How long files stay that nothing names yet: a version with them may be under way in another transaction."""


async def put(uow: UnitOfWork, plan: StoredPlan, texts: Mapping[str, str]) -> None:
    """Store a plan, and delete what nobody needs any more: old plans, and files that no plan, version or shadow has."""
    await uow.connection.execute(delete(mapping_plans).where(mapping_plans.c.expires_at < uow.now - KEPT))
    used = [select(table.c.digest) for table in (mapping_versions, mapping_plans, mapping_shadows)]
    unused = [mapping_contents.c.digest.not_in(digests) for digests in used]
    old = mapping_contents.c.stored_at < uow.now - LONGEST_ACTIVATION
    await uow.connection.execute(delete(mapping_contents).where(old, *unused))
    await versions.put_texts(uow, plan.digest, texts)
    document = {**asdict(plan.numbers), _AFFECTED: plan.affected}
    row = {name: getattr(plan, name) for name in _COLUMNS} | {"numbers": orjson.dumps(document).decode()}
    await uow.connection.execute(insert(mapping_plans), [row])


_OF_ID = select(mapping_plans).where(mapping_plans.c.id == bindparam("the_id"))


async def get(connection: AsyncConnection, plan_id: str) -> StoredPlan | None:
    row = (await connection.execute(_OF_ID, {"the_id": plan_id})).first()
    return None if row is None else _build(row)


async def list_latest(connection: AsyncConnection, limit: int) -> list[StoredPlan]:
    """The plans that were made last, the newest first."""
    statement = select(mapping_plans).order_by(mapping_plans.c.created_at.desc(), mapping_plans.c.id).limit(limit)
    return [_build(row) for row in await connection.execute(statement)]


async def mark_applied(uow: UnitOfWork, plan_id: str, number: int) -> None:
    """Record the version that the plan became."""
    await uow.connection.execute(update(mapping_plans).where(mapping_plans.c.id == plan_id).values(applied_as=number))


_AFFECTED = "affected"  # beside the numbers in their document
_COLUMNS = ("id", "created_at", "expires_at", "actor", "base", "digest", "rollback_to", "applied_as")


@cache
def _reader() -> TypeAdapter[PlanNumbers]:
    return TypeAdapter(PlanNumbers)


def _build(row: Any) -> StoredPlan:
    document = orjson.loads(row.numbers)
    affected = document.pop(_AFFECTED, {})
    numbers = _reader().validate_python(document)
    return StoredPlan(**{name: getattr(row, name) for name in _COLUMNS}, numbers=numbers, affected=affected)
