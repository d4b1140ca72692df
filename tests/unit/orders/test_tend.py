"""The desk by itself: what was placed is verified or held, what waits is allocated, an old hold is escalated once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from connector.jobs import tend as tending
from connector.jobs.tend import Tended, tend
from connector.model.event import Action
from connector.orders.desk import Desk
from connector.orders.rules import standard
from connector.orders.verification import verify
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


async def test_who_waits_for_what_is_out_keeps_nobody_from_being_served(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await samples.stock(store)
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(5), ("TOFU", "EAST"): Decimal(0)})
        placed = [
            samples.order(number, **WHOLE, service_level=level, lines=(samples.line(1, sku),))
            for number, level, sku in (("1", "same_day", "TOFU"), ("2", "same_day", "TOFU"), ("3", "standard", "CHAI"))
        ]
        await Desk(uow, actor="shop").place(placed)
        await verify(Desk(uow, actor="shop"), ["1", "2", "3"])
    monkeypatch.setattr(tending, "BATCH", 1)
    monkeypatch.setattr(tending, "MOST", 1)
    assert await tend(store, standard()) == Tended(allocated=1)
    async with store.reader() as connection:
        found = await orders.load(connection, ["1", "2", "3"])
    assert [order.lines[0].allocated for order in found] == [0, 0, 2]
