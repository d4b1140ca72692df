"""Several pushes at once share the work, and each says in the end how it stands: no account in two streams, no product
twice, and nobody gives up because others are at work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from connector.demo.sample_orders import orders as sample_orders
from connector.errors import StoreError
from connector.jobs import push_rounds
from connector.jobs.push_rounds import PushRounds
from connector.localorg.server import LocalOrg
from connector.model.change import EntityKind
from connector.model.order import OrderInput
from connector.model.stage import Stage
from connector.outbound import drain
from connector.outbound.lease_keeper import PRODUCT_LEASE, lease_name
from connector.service import running_service
from connector.store import leases
from connector.store.outbox_counts import DueChanges
from connector.store.partitions import slot_of_key
from tests.flow.conftest import CUSTOMERS, PRODUCTS, Silent, World, settings_for
from tests.order_builders import changed


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_rounds, "POLL_SECONDS", 0.02)


@pytest.fixture
async def three(org: LocalOrg, database_url: str) -> AsyncIterator[list[World]]:
    async with AsyncExitStack() as stack:
        settings = settings_for(org, database_url)
        yield [World(org, await stack.enter_async_context(running_service(settings))) for _ in range(3)]


def made(count: int) -> list[OrderInput]:
    return [changed(item, stage=Stage.SHIPPED) for item in sample_orders(CUSTOMERS, PRODUCTS, count=count)]


@contextmanager
def watched(worlds: Sequence[World], monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[int]]:
    """How many orders each of them sent as graphs; fails if two calls in flight touch one account."""
    in_flight: Counter[str] = Counter()
    sent: Counter[int] = Counter()

    def watch(number: int, world: World) -> None:
        real = world.service.client.graph

        async def graph(graphs: Sequence[Any]) -> Any:
            accounts = {
                str(node.body.get("AccountId")) for item in graphs for node in item.nodes if "AccountId" in node.body
            }
            in_flight.update(accounts)
            sent[number] += len(graphs)
            try:
                assert max(in_flight.values(), default=0) <= 1
                return await real(graphs)
            finally:
                in_flight.subtract(accounts)

        monkeypatch.setattr(world.service.client, "graph", graph)

    with monkeypatch.context():
        for number, world in enumerate(worlds):
            watch(number, world)
        yield sent


async def test_three_pushes_at_once_share_the_work_and_all_end_in_sync(
    three: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    await three[0].save(made(60))
    with watched(three, monkeypatch) as sent:
        summaries = await asyncio.gather(*(world.push() for world in three))
    assert [summary.in_sync for summary in summaries] == [True, True, True]
    assert len(sent) > 1
    assert sum(summary.stats.created["Order"] for summary in summaries) == 60
    assert sum(summary.stats.created["Product2"] for summary in summaries) == len(PRODUCTS)
    assert await three[0].count("Order") == 60
    assert await three[0].count("Account") == len(CUSTOMERS)


async def test_push_that_comes_later_is_given_a_part_of_a_large_backlog(
    three: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "ORDERS_PER_CLAIM", 4)
    first, second, _ = three
    await first.save(made(48))
    first.org.org.faults.latency_ms = 30
    with watched(three, monkeypatch) as sent:
        pushing = asyncio.create_task(first.push())
        while not sent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        summaries = [await second.push(), await pushing]
    assert [summary.in_sync for summary in summaries] == [True, True]
    assert sent[1] > 0
    assert await first.count("Order") == 48


async def test_push_sends_free_partitions_and_reports_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_rounds, "PATIENCE_SECONDS", 0.3)
    orders = made(30)
    await world.save(orders)
    partition = slot_of_key("C-1") % 8
    assert await leases.acquire(world.service.store, lease_name(partition), "a living one", 60) is not None
    summary = await world.push()
    assert not summary.in_sync
    assert summary.others_at_work
    assert summary.stopped is None
    there = [order for order in orders if slot_of_key(order.customer) % 8 != partition]
    assert await world.count("Order") == len(there)
    assert 0 < len(there) < 30
    assert (await world.due())[EntityKind.ORDER] == 30 - len(there)


async def test_partitions_of_a_killed_push_are_taken_when_its_leases_end(world: World) -> None:
    await world.save(made(10))
    for number in range(8):
        assert await leases.acquire(world.service.store, lease_name(number), "a dead one", 0.5) is not None
    summary = await world.push()
    assert summary.in_sync
    assert not summary.others_at_work
    assert await world.count("Order") == 10


async def test_scheduled_push_leaves_partitions_of_others_alone(world: World) -> None:
    await world.save(made(10))
    for number in range(8):
        assert await leases.acquire(world.service.store, lease_name(number), "a living one", 60) is not None
    summary = await world.service.push(Silent(), scheduled=True)
    assert summary.others_at_work
    assert summary.seconds < 20
    assert await world.count("Order") == 0
    assert await world.count("Product2") == len(PRODUCTS)


async def test_products_are_sent_by_one_push_at_a_time(world: World) -> None:
    await world.save(made(3))
    store = world.service.store
    term = await leases.acquire(store, PRODUCT_LEASE, "another", 60)
    assert term is not None
    pushing = asyncio.create_task(world.push())
    await asyncio.wait({pushing}, timeout=0.3)
    assert world.writes == 0
    assert await leases.release(store, PRODUCT_LEASE, "another", term)
    assert (await pushing).in_sync
    assert await world.count("Product2") == len(PRODUCTS)


async def test_service_of_an_earlier_release_sends_nothing_after_an_upgrade(world: World) -> None:
    await world.save(made(1))
    async with world.service.store.transaction() as uow:
        await uow.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="made by a newer release"):
        await world.service.push(Silent(), scheduled=True)
    assert world.writes == 0


async def test_push_goes_on_while_others_keep_saving_up_to_a_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three more rounds than it may spend on waiting. What is left at the bound stays due."""
    [order] = made(1)
    await world.save([order])
    saves = 0
    run_round = PushRounds._run_round

    async def saved_meanwhile(rounds: PushRounds, due: DueChanges) -> bool:
        nonlocal saves
        worked = await run_round(rounds, due)
        if saves < push_rounds.MAX_ROUNDS + 3:
            saves += 1
            await world.save([changed(order, notes=f"Change {saves}")])
        return worked

    monkeypatch.setattr(PushRounds, "_run_round", saved_meanwhile)
    assert (await world.push()).in_sync
    assert saves == push_rounds.MAX_ROUNDS + 3
    assert (await world.order(order.header.number))["Description"] == f"Change {saves}"

    saves = 0
    await world.save([changed(order, notes="Anew")])
    monkeypatch.setattr(push_rounds, "MAX_BUSY_ROUNDS", 3)
    assert not (await world.push()).in_sync
    assert (await world.order(order.header.number))["Description"] == "Change 2"
    assert (saves, await world.due()) == (3, {EntityKind.ORDER: 1})
