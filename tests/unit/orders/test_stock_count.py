"""A stock count concurrent with commands on the same stock: no deadlock, and no reservation is lost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from connector.errors import AbortedError
from connector.model.actions import Action
from connector.model.stock import StockKey
from connector.orders.inventory.allocation import StockCountReport, apply_stock_count
from connector.orders.transaction import OrderTransaction
from connector.store import orders
from connector.store import stock as stocks
from connector.store.engine import Store
from connector.store.retry import retry_on_abort
from connector.store.unit_of_work import UnitOfWork
from tests.unit.orders.test_transaction import act, opened

COUNTED = {("CHAI", "EAST"): Decimal(1)}


@pytest.fixture
async def overtaken(postgres_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Orders 1 and 2 want two of four pieces. Order 1 has them; order 2 gets them after a count has read the orders."""
    store = postgres_store
    await opened(store, "1", "2", on_hand="4")
    await act(store, Action.VERIFY)
    await act(store, Action.ALLOCATE, lines={1: 2})
    real, late = stocks.create_missing_rows, ["2"]

    async def create_missing_rows(uow: UnitOfWork, places: Mapping[StockKey, Decimal]) -> None:
        while late:
            number = late.pop()
            await act(store, Action.VERIFY, number)
            await act(store, Action.ALLOCATE, number, lines={1: 2})
        await real(uow, places)

    monkeypatch.setattr(stocks, "create_missing_rows", create_missing_rows)
    return store


async def count(store: Store) -> StockCountReport:
    async with store.transaction() as uow:
        return await apply_stock_count(OrderTransaction(uow, actor="count"), COUNTED)


async def test_count_is_aborted_if_another_order_gets_the_stock_meanwhile(overtaken: Store) -> None:
    with pytest.raises(AbortedError, match="CHAI in EAST was allocated to another order during the count"):
        await count(overtaken)
    async with overtaken.reader() as connection:
        found = await orders.load(connection, ["1", "2"])
        levels = await stocks.levels(connection, ["CHAI"])
    assert [order.lines[0].state.allocated for order in found] == [2, 2]
    assert (levels["CHAI", "EAST"].on_hand, levels["CHAI", "EAST"].reserved) == (4, 4)


async def test_repeated_count_reduces_the_orders_that_have_the_stock_now(overtaken: Store) -> None:
    done = await retry_on_abort(overtaken.clock, lambda: count(overtaken))
    assert (done.orders_reduced, done.orders_short) == (("1", "2"), ("1", "2"))
    async with overtaken.reader() as connection:
        found = await orders.load(connection, ["1", "2"])
    assert [order.lines[0].state.allocated for order in found] == [1, 0]
