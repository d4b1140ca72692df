"""Customers, products and orders are loaded as they were saved; only changed ones are written and captured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from connector.errors import RetryClass, StoreError
from connector.model.change import EntityKind
from connector.model.product import Price
from connector.model.stage import Stage
from connector.store import customers, orders, products
from connector.store.engine import Store
from connector.store.references import UnknownReferenceError
from connector.store.sql import Saved
from tests.unit.store.samples import (
    ALFKI,
    BONAP,
    CHAI,
    TOFU,
    due_keys,
    line,
    order,
    pending,
    place,
    settle_everything,
    stock,
)


async def test_customers_are_loaded_in_the_requested_sequence(store: Store) -> None:
    async with store.transaction() as uow:
        assert await customers.save(uow, [ALFKI, BONAP]) == Saved(created=2)
    async with store.reader() as connection:
        assert await customers.load(connection, ["BONAP", "NOBODY", "ALFKI"]) == [BONAP, ALFKI]
        assert await customers.count(connection) == 2
        assert [key async for key in customers.keys(connection)] == ["ALFKI", "BONAP"]


async def test_saving_equal_entities_writes_and_captures_nothing(store: Store) -> None:
    await stock(store)
    await place(store, order())
    await settle_everything(store)
    async with store.transaction() as uow:
        assert await customers.save(uow, [ALFKI, BONAP]) == Saved(unchanged=2)
        assert await products.save(uow, [CHAI, TOFU]) == Saved(unchanged=2)
        assert await orders.save(uow, [order()]) == Saved(unchanged=1)
    for kind in EntityKind:
        assert await due_keys(store, kind) == []
    async with store.reader() as connection:
        assert (await orders.load(connection, ["10248"]))[0].version == 1


async def test_equal_amount_in_another_notation_is_no_change(store: Store) -> None:
    await stock(store)
    await place(store, order(freight=Decimal("32.380"), placed_at=datetime(2026, 2, 27, 9, 30, tzinfo=UTC)))
    berlin = timezone(timedelta(hours=1))
    same = order(
        freight=Decimal("32.38"),
        placed_at=datetime(2026, 2, 27, 10, 30, tzinfo=berlin),
        lines=(line(2, "TOFU", "1.50", "23.250", "0.150"), line(1, price="18.00")),
    )
    async with store.transaction() as uow:
        assert await orders.save(uow, [same]) == Saved(unchanged=1)


async def test_only_changed_entities_are_written_and_captured(store: Store) -> None:
    await stock(store)
    async with store.transaction() as uow:
        saved = await customers.save(uow, [replace(ALFKI, phone="030-0074321"), BONAP])
    assert saved == Saved(updated=1, unchanged=1)
    assert await due_keys(store, EntityKind.CUSTOMER) == ["ALFKI"]


async def test_last_of_two_entities_with_one_key_wins(store: Store) -> None:
    async with store.transaction() as uow:
        saved = await customers.save(uow, [ALFKI, replace(ALFKI, name="Alfreds")])
    assert saved == Saved(created=1)
    async with store.reader() as connection:
        assert (await customers.load(connection, ["ALFKI"]))[0].name == "Alfreds"


async def test_changed_price_is_a_change_of_its_product(store: Store) -> None:
    await stock(store)
    dearer = replace(CHAI, prices=(Price(currency="USD", unit_price=Decimal("19")),))
    async with store.transaction() as uow:
        assert await products.save(uow, [dearer, TOFU]) == Saved(updated=1, unchanged=1)
    assert await due_keys(store, EntityKind.PRODUCT) == ["CHAI"]
    async with store.reader() as connection:
        assert await products.load(connection, ["TOFU", "CHAI"]) == [TOFU, dearer]


async def test_prices_that_are_no_longer_listed_are_deleted(store: Store) -> None:
    await stock(store)
    async with store.transaction() as uow:
        await products.save(uow, [replace(TOFU, prices=TOFU.prices[:1])])
    async with store.reader() as connection:
        (tofu,) = await products.load(connection, ["TOFU"])
    assert tofu.prices == TOFU.prices[:1]


async def test_order_is_loaded_with_all_its_values(store: Store) -> None:
    await stock(store)
    await place(store, order(), order("10249", customer="BONAP", lines=()))
    async with store.reader() as connection:
        without_lines, whole = await orders.load(connection, ["10249", "missing", "10248"])
    assert without_lines.customer == BONAP
    assert without_lines.lines == ()
    assert whole.customer == ALFKI
    assert whole.header.placed_at == datetime(2026, 2, 27, 9, 30, tzinfo=UTC)
    assert whole.header.placed_at.utcoffset() == timedelta(0)
    assert whole.header.promised_on == order().header.promised_on
    assert whole.header.shipped_on is None
    assert whole.stage is Stage.PLACED
    assert whole.header.freight == Decimal("32.38")
    assert whole.version == 1
    assert [(item.key, item.product, item.quantity, item.discount) for item in whole.lines] == [
        ("10248-1", CHAI, Decimal(2), Decimal(0)),
        ("10248-2", TOFU, Decimal("1.5"), Decimal("0.15")),
    ]
    assert [item.currency for item in whole.lines] == ["USD", "USD"]


async def test_saved_order_replaces_its_lines(store: Store) -> None:
    await stock(store)
    await place(store, order())
    async with store.transaction() as uow:
        saved = await orders.save(uow, [order(lines=(line(2, "CHAI", "7"), line(3)))])
    assert saved == Saved(updated=1)
    async with store.reader() as connection:
        (changed,) = await orders.load(connection, ["10248"])
    assert [(item.number, item.product.sku, item.quantity) for item in changed.lines] == [
        (2, "CHAI", Decimal(7)),
        (3, "CHAI", Decimal(2)),
    ]
    assert changed.version == 2


@pytest.mark.parametrize("amount", ["0.0395", "1000000000", "999999999.999999", "1E+9", "0", "-12.50", "0.1000"])
async def test_stored_amounts_keep_every_digit(store: Store, amount: str) -> None:
    await stock(store)
    await place(
        store,
        order(freight=Decimal(amount), lines=(line(1, quantity=amount.lstrip("-"), price=amount, discount="0.0395"),)),
    )
    async with store.reader() as connection:
        (stored,) = await orders.load(connection, ["10248"])
    assert stored.header.freight == Decimal(amount)
    assert (stored.lines[0].quantity, stored.lines[0].unit_price) == (Decimal(amount.lstrip("-")), Decimal(amount))
    assert stored.lines[0].discount == Decimal("0.0395")


async def test_line_without_a_price_has_no_total(store: Store) -> None:
    await stock(store)
    await place(store, order(lines=(line(1, price=None),)))
    async with store.reader() as connection:
        (stored,) = await orders.load(connection, ["10248"])
    assert stored.lines[0].unit_price is None
    assert stored.exact_total is None


async def test_all_unknown_references_are_reported_and_nothing_is_saved(store: Store) -> None:
    await stock(store)
    with pytest.raises(UnknownReferenceError) as caught:
        await place(
            store,
            order("1"),
            order("2", customer="GHOST"),
            order("3", customer="WRAITH", lines=(line(1, "MIST"), line(2, "CHAI"))),
        )
    assert caught.value.customers == ("GHOST", "WRAITH")
    assert caught.value.skus == ("MIST",)
    assert caught.value.retry_class is RetryClass.DATA
    assert "GHOST, WRAITH and unknown products MIST" in caught.value.message
    async with store.reader() as connection:
        assert await orders.count(connection) == 0
    assert await due_keys(store) == []


async def test_transaction_that_goes_on_after_an_unknown_reference_saves_nothing(store: Store) -> None:
    await stock(store)
    async with store.transaction() as uow:
        with pytest.raises(UnknownReferenceError):
            await orders.save(uow, [order("1"), order("2", customer="GHOST")])
        await orders.save(uow, [order("3")])
    assert await due_keys(store) == ["3"]


async def test_two_lines_with_one_number_are_rejected(store: Store) -> None:
    await stock(store)
    with pytest.raises(StoreError, match="Order 10248 has two lines with the same number"):
        await place(store, order(lines=(line(1), line(1, "TOFU"))))


async def test_orders_are_counted_by_stage_including_zeros(store: Store) -> None:
    await stock(store)
    await place(store, order("1"), order("2"), order("3", stage=Stage.SHIPPED))
    async with store.reader() as connection:
        counts = await orders.counts(connection)
    assert counts[Stage.PLACED] == 2
    assert counts[Stage.SHIPPED] == 1
    assert sum(counts.values()) == 3
    assert set(counts) == set(Stage)


async def test_more_keys_than_one_page_or_statement_are_loaded(store: Store) -> None:
    await stock(store)
    numbers = [f"N{number:05}" for number in range(4321)]
    await place(store, *(order(number, lines=(line(1),)) for number in numbers))
    async with store.reader() as connection:
        assert [key async for key in orders.keys(connection)] == numbers
        backwards = numbers[::-1]
        assert [item.number for item in await orders.load(connection, backwards)] == backwards


async def test_keys_are_sorted_by_byte(store: Store) -> None:
    numbers = ["a", "B", "Ä", "b-1", "b1", "A"]
    async with store.transaction() as uow:
        await customers.save(uow, [replace(ALFKI, number=number) for number in numbers])
    async with store.reader() as connection:
        assert [key async for key in customers.keys(connection)] == ["A", "B", "a", "b-1", "b1", "Ä"]


async def test_order_with_another_customer_moves_to_its_partition(store: Store) -> None:
    await stock(store)
    await place(store, order())
    (before,) = await pending(store, of=64)
    await place(store, order(customer="BONAP"))
    (after,) = await pending(store, of=64)
    assert before.partition != after.partition
    assert after.version == before.version + 1
