"""The desk by itself: what was placed is verified or held, what waits is allocated, an old hold is escalated once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import select

from connector.jobs.tend import Tended, tend
from connector.model.event import Action
from connector.orders.desk import Desk
from connector.orders.rules import standard
from connector.store import history, orders, stock
from connector.store.engine import Store
from connector.store.tables import holds
from tests.unit.store import samples

WHOLE = {"ship_to_street": "Rue 1", "ship_to_country": "France"}


async def test_a_round_does_what_can_be_done(store: Store) -> None:
    clock: Any = store.clock
    await samples.stock(store)
    async with store.transaction() as uow:
        await orders.save(uow, [samples.order("imported")])
        await Desk(uow, actor="shop").place([samples.order("1", **WHOLE), samples.order("2")])
    assert await tend(store, standard()) == Tended(verified=1, held=1)
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(5)})
    assert await tend(store, standard()) == Tended(allocated=1)
    assert not await tend(store, standard())
    clock.advance(25 * 3600)
    assert await tend(store, standard()) == Tended(escalated=1)
    assert not await tend(store, standard())
    async with store.reader() as connection:
        entries = await history.read(connection, "2")
        [hold] = (await connection.execute(select(holds))).all()
        [imported] = await orders.load(connection, ["imported"])
    assert [entry.event.action for entry in entries] == [Action.BEGIN, Action.HOLD, Action.ESCALATE]
    assert hold.escalated_at == clock.now()
    assert imported.stage == "placed"
