"""Dead letters of a product, which each of several orgs may have refused for a cause of its own."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from sqlalchemy import Update, insert, select, update

from connector.model.change import ChangeState, EntityKind, Refusal
from connector.store import dead_letters
from connector.store.engine import Store
from connector.store.tables import outbox
from connector.store.unit_of_work import UnitOfWork


def in_org(name: str) -> Update:
    return update(outbox).where(outbox.c.org == name)


async def refuse(uow: UnitOfWork, org: str, code: str) -> None:
    refusal = orjson.dumps(asdict(Refusal(code=code, message=f"{code}!", field=None, source=None, fix="Mend it.")))
    values = {"state": ChangeState.DEAD.value, "refused_at": uow.now, "refusal": refusal.decode()}
    await uow.connection.execute(in_org(org).values(values))


async def groups_of(store: Store, scope: str | None) -> list[tuple[str, str, int, tuple[str, ...]]]:
    async with store.for_org(scope).reader() as connection:
        found = await dead_letters.group_by_cause(connection)
    return sorted((group.code, group.message, group.count, group.keys) for group in found)


async def test_causes_are_those_of_each_org(store: Store) -> None:
    async with store.transaction() as uow:
        uow.changed(EntityKind.PRODUCT, "CHAI", 0)
    async with store.transaction() as uow:
        [row] = (await uow.connection.execute(select(outbox))).all()
        await uow.connection.execute(insert(outbox), [dict(row._mapping) | {"org": "emea"}])
        await refuse(uow, "", "TOO_LONG")
    here, there = ("TOO_LONG", "TOO_LONG!", 1, ("CHAI",)), ("NO_FIELD", "NO_FIELD!", 1, ("CHAI",))
    assert [await groups_of(store, scope) for scope in (None, "", "emea")] == [[here], [here], []]

    async with store.transaction() as uow:
        await refuse(uow, "emea", "NO_FIELD")
    assert [await groups_of(store, scope) for scope in (None, "", "emea")] == [[there, here], [here], [there]]

    async with store.for_org(None).transaction() as uow:
        [name] = [
            item.fingerprint for item in await dead_letters.group_by_cause(uow.connection) if item.code == "NO_FIELD"
        ]
        assert await dead_letters.change_group_by_person(uow, "discard", name, actor="kim") > 0
    assert await groups_of(store, None) == [here]
