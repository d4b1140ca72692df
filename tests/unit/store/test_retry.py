"""Aborted transactions are retried a few times; other errors are not."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from connector.errors import AbortedError, RetryClass, StoreError
from connector.store.engine import Store
from connector.store.retry import REPEATS, retry_on_abort
from connector.store.tables import customers
from tests.conftest import ManualClock
from tests.unit.store import samples


async def test_deadlocked_transactions_are_retried_until_both_commit(postgres_store: Store) -> None:
    await samples.stock(postgres_store)
    met = asyncio.Barrier(2)
    tries: list[str] = []

    async def lock(*numbers: str) -> str:
        tries.append(numbers[0])
        async with postgres_store.transaction() as uow:
            for place, number in enumerate(numbers):
                if place and len(tries) <= 2:
                    await met.wait()
                await uow.connection.execute(select(customers).where(customers.c.number == number).with_for_update())
        return numbers[0]

    asked = [("ALFKI", "BONAP"), ("BONAP", "ALFKI")]
    done = await asyncio.gather(*(retry_on_abort(postgres_store.clock, lambda two=two: lock(*two)) for two in asked))
    assert done == ["ALFKI", "BONAP"]
    assert len(tries) > 2


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (AbortedError("Given up."), REPEATS + 1),
        (StoreError("Cannot be reached.", retry_class=RetryClass.TRANSIENT), 1),
    ],
)
async def test_only_aborted_transactions_are_retried_and_retries_are_limited(
    error: StoreError, times: int, clock: ManualClock
) -> None:
    tries = 0
    began = clock.now()

    async def work() -> None:
        nonlocal tries
        tries += 1
        raise error

    with pytest.raises(StoreError) as caught:
        await retry_on_abort(clock, work)
    assert (caught.value, tries) == (error, times)
    assert (clock.now() - began).total_seconds() < 1
