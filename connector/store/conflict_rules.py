"""Answers to conflicts that are kept as rules: whose value stands whenever both sides change a field."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.conflict import ConflictRule, ConflictState
from connector.store import journal
from connector.store.inbound_tables import conflict_rules
from connector.store.journal import JournalEntry
from connector.store.sql import insert
from connector.store.unit_of_work import UnitOfWork


async def put(uow: UnitOfWork, org_id: str, sobject: str, field: str, choice: ConflictState, *, actor: str) -> None:
    """Keep this answer for a field, in place of an earlier one."""
    statement = insert(uow.connection, conflict_rules)
    names = ("choice", "made_by", "made_at")
    await uow.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["org_id", "sobject", "field"], set_={name: statement.excluded[name] for name in names}
        ),
        {
            "org_id": org_id,
            "sobject": sobject,
            "field": field,
            "choice": choice.value,
            "made_by": actor,
            "made_at": uow.now,
        },
    )
    await _audit(uow, org_id, f"{sobject}.{field}", "made", actor, choice=choice.value)


async def remove(uow: UnitOfWork, org_id: str, sobject: str, field: str, *, actor: str) -> bool:
    """Ask again about this field of an org. False if there was no rule."""
    is_rule = (
        conflict_rules.c.org_id == org_id,
        conflict_rules.c.sobject == sobject,
        conflict_rules.c.field == field,
    )
    if not (await uow.connection.execute(delete(conflict_rules).where(*is_rule))).rowcount:
        return False
    await _audit(uow, org_id, f"{sobject}.{field}", "removed", actor)
    return True


async def _audit(uow: UnitOfWork, org_id: str, field: str, action: str, actor: str, **detail: object) -> None:
    entry = JournalEntry(entity="conflict rule", key=field, action=action, detail=detail, org_id=org_id, actor=actor)
    await journal.write(uow, [entry])


_OF_ORG = (
    select(conflict_rules)
    .where(conflict_rules.c.org_id == bindparam("the_org"))
    .order_by(conflict_rules.c.sobject, conflict_rules.c.field)
)


async def list_all(connection: AsyncConnection, org_id: str) -> list[ConflictRule]:
    """All rules of an org, by object and field."""
    rows = await connection.execute(_OF_ORG, {"the_org": org_id})
    return [ConflictRule(**(dict(row._mapping) | {"choice": ConflictState(row.choice)})) for row in rows]


async def answers(connection: AsyncConnection, org_id: str) -> Mapping[tuple[str, str], ConflictState]:
    """Whose value stands, by object and field."""
    return {(rule.sobject, rule.field): rule.choice for rule in await list_all(connection, org_id)}
