"""Changes, lost responses and deletions that overlap: in the end both sides are equal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.demo.sample_orders import orders as sample_orders
from connector.errors import StoreError
from connector.jobs import push_rounds
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.settings import Currency, OrgSettings
from connector.model.change import EntityKind
from connector.model.order import LineInput
from connector.model.product import Price
from connector.model.stage import Stage
from connector.outbound import drain
from connector.outbound.dependency_faults import PRODUCT_NOT_SENT_YET
from connector.outbound.outcomes import Outcomes
from connector.outbound.repository import SyncRepository
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse
from connector.service import running_service
from connector.store import outbox
from tests.flow.conftest import CUSTOMERS, PRODUCTS, Silent, World, settings_for
from tests.flow.test_push import an_order
from tests.order_builders import changed


def a_line(number: int, sku: str = "P-1", quantity: int = 1) -> LineInput:
    return LineInput(number=number, sku=sku, quantity=Decimal(quantity), unit_price=Decimal(10))


ONE = an_order("A-1", stage=Stage.PLACED, lines=(a_line(1),))


async def settled(world: World) -> None:
    """Push until nothing is waiting, a few times at most."""
    summary = await world.push()
    for _ in range(4):
        if not summary.waiting:
            break
        summary = await world.push()
    assert [letter.refusal for letter in await world.dead_letters()] == []
    assert summary.in_sync


def lose_answers(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, meanwhile: Callable[[], Awaitable[None]]
) -> None:
    """The next call of that name is done by the org; its answer is lost, and something happens meanwhile."""
    real = getattr(world.service.client, name)
    left = [1]

    async def lossy(*values: Any, **named: Any) -> Any:
        answer = await real(*values, **named)
        if left:
            left.clear()
            await meanwhile()
            raise UnreadableResponseError(NoResponse.CONNECTION_LOST)
        return answer

    monkeypatch.setattr(world.service.client, name, lossy)


async def delete(world: World, soql: str) -> None:
    for row in await world.query(soql):
        sobject = soql.split(" FROM ")[1].split()[0]
        await world.service.client.control.run(
            lambda org, name=sobject, record=row["Id"]: getattr(org, name).delete(record)  # type: ignore[misc]
        )


async def test_lost_response_to_an_added_line_is_read_back_once(world: World) -> None:
    await world.save([ONE])
    await world.push()
    await world.save([replace(ONE, lines=(a_line(1), a_line(2, "P-2")))])
    before = world.writes
    world.org.org.faults.lost_response = 1
    await settled(world)
    assert set((await world.order("A-1"))["lines"]) == {"A-1-1", "A-1-2"}
    assert world.writes - before <= 4


async def test_change_during_a_lost_response_leaves_no_extra_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def meanwhile() -> None:
        await world.save([replace(ONE, lines=(a_line(2, "P-2", 2),))])

    await world.save([ONE])
    lose_answers(world, monkeypatch, "graph", meanwhile)
    await settled(world)
    order = await world.order("A-1")
    assert set(order["lines"]) == {"A-1-2"}
    assert order["TotalAmount"] == 20


async def test_reverted_change_with_a_lost_response_is_reverted_in_the_org(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def meanwhile() -> None:
        await world.save([changed(ONE, notes="first")], some_customers=[replace(CUSTOMERS[0], city="first")])

    await world.save([changed(ONE, notes="first")], some_customers=[replace(CUSTOMERS[0], city="first")])
    await world.push()
    await world.save([changed(ONE, notes="second")])
    lose_answers(world, monkeypatch, "collections_update", meanwhile)
    await settled(world)
    assert (await world.order("A-1"))["Description"] == "first"
    await world.save(some_customers=[replace(CUSTOMERS[0], city="second")])
    lose_answers(world, monkeypatch, "collections_update", meanwhile)
    await settled(world)
    [row] = await world.query("SELECT BillingCity FROM Account WHERE External_Key__c = 'C-1'")
    assert row["BillingCity"] == "first"


async def test_order_moved_to_another_customer_is_not_overtaken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its update is in flight in one stream while another one could take it."""
    monkeypatch.setattr(push_rounds, "ORDERS_PER_STREAM", 1)
    monkeypatch.setattr(drain, "ORDERS_PER_CLAIM", 2)
    many = [an_order(f"F-{i}", customer=f"C-{i % 8 + 1}", stage=Stage.PLACED, lines=(a_line(1),)) for i in range(16)]
    await world.save([ONE, *many])
    await world.push()
    await world.save([changed(ONE, notes="old"), *[changed(order, notes="z") for order in many]])
    real = world.service.client.collections_update
    moved = asyncio.Event()

    async def slow(rows: Any) -> Any:
        if moved.is_set() or all(row[2].get("Description") != "old" for row in rows):
            await moved.wait()  # so that another stream looks for more when there is more
        else:
            await world.save([changed(ONE, customer="C-2", notes="new")])
            moved.set()
            await asyncio.sleep(0.5)
        return await real(rows)

    monkeypatch.setattr(world.service.client, "collections_update", slow)
    await settled(world)
    order = await world.order("A-1")
    assert (moved.is_set(), order["Description"], order["Account"]["Name"]) == (True, "new", "Käufer 2")


async def test_amount_too_large_for_its_field_refuses_only_its_order(world: World) -> None:
    huge = LineInput(number=1, sku="P-1", quantity=Decimal(10) ** 17, unit_price=Decimal(10) ** 17)
    await world.save([ONE, an_order("BAD", customer="C-2", lines=(huge,))])
    await world.push()
    [letter] = await world.dead_letters()
    assert (letter.key, letter.refusal.code) == ("BAD", "NUMBER_OUTSIDE_VALID_RANGE")
    assert await world.count("Order") == 1


async def test_product_excluded_by_the_mapping_blocks_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.service.mappings.product, "includes", lambda product: product.sku != "P-2")
    await world.save([ONE])
    await settled(world)
    assert await world.count("Product2") == len(PRODUCTS) - 1


async def test_price_deleted_in_the_org_is_recreated_with_the_next_order(world: World) -> None:
    await world.save()
    await world.push()
    await delete(world, "SELECT Id FROM PricebookEntry WHERE Product2.External_Key__c = 'P-1'")
    await world.save([ONE])
    await settled(world)
    assert set((await world.order("A-1"))["lines"]) == {"A-1-1"}


async def test_order_moved_to_a_new_customer_creates_the_account(world: World) -> None:
    await world.save([ONE], some_customers=CUSTOMERS[:1])
    await settled(world)
    await world.save([replace(ONE, customer="C-8")], some_customers=CUSTOMERS)
    await settled(world)
    assert (await world.order("A-1"))["Account"]["Name"] == "Käufer 8"


async def test_canceled_order_with_many_changes_is_not_left_a_draft(world: World) -> None:
    """The mapping leaves its status to the org, so nothing later would remember to activate it again."""
    order = changed(ONE, stage=Stage.SHIPPED)
    await world.save([order])
    await world.push()
    lines = (a_line(1), a_line(2, "P-2"))
    await world.save([changed(order, stage=Stage.CANCELED, notes="mail @{x}", lines=lines)])
    await settled(world)
    found = await world.order("A-1")
    assert (found["Status"], found["Description"], set(found["lines"])) == (
        "Activated",
        "mail @{x}",
        {"A-1-1", "A-1-2"},
    )


async def test_dry_run_blocks_nobody(org: LocalOrg, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(org, database_url)
    async with running_service(settings) as one, running_service(settings) as two:
        world = World(org, one)
        made = sample_orders(CUSTOMERS, PRODUCTS, count=20)
        await world.save([changed(order, stage=Stage.SHIPPED) for order in made])
        begun, others_ended = asyncio.Event(), asyncio.Event()
        real = two.client.describe_many

        async def slow(*names: Any, **named: Any) -> Any:
            begun.set()
            await others_ended.wait()  # a write that waited for the dry run would wait in vain
            return await real(*names, **named)

        monkeypatch.setattr(two.client, "describe_many", slow)
        dry_run = asyncio.create_task(two.push(Silent(), dry_run=True))
        await begun.wait()
        summary = await world.push()
        await world.save([an_order("LATE")])
        others_ended.set()
        assert summary.stopped is None
        assert (await dry_run).stats.unchanged[EntityKind.ORDER] == 20  # as the push was first
        await settled(world)
        assert await world.count("Order") == 21


async def test_import_during_recorded_outcomes_does_not_deadlock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.save([an_order("A-1"), an_order("A-2")])
    store = world.service.store
    repository = SyncRepository(store, world.service.mappings, org_id="x")
    claim = {item.change.key: item for item in await repository.claim(EntityKind.ORDER, {0}, 1, 10)}
    gate = asyncio.Event()
    real = outbox.postpone

    async def slow(*values: Any, **named: Any) -> Any:
        gate.set()
        await asyncio.sleep(0.3)
        return await real(*values, **named)

    monkeypatch.setattr(outbox, "postpone", slow)

    async def capture() -> None:
        await gate.wait()
        async with store.transaction() as uow:
            for key in ("A-1", "A-2"):
                uow.changed(EntityKind.ORDER, key, 1)

    outcomes = Outcomes(done=[claim["A-2"].change], postponed=[(claim["A-1"], PRODUCT_NOT_SENT_YET)])
    answers = await asyncio.gather(repository.record(outcomes), capture(), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, StoreError)] == []
    assert (await world.due())[EntityKind.ORDER] == 2


async def test_several_currencies(database_url: str) -> None:
    """Another currency replaces the lines; an order that is found again is not reopened for nothing."""
    both = [replace(item, prices=(*item.prices, Price(currency="EUR", unit_price=Decimal(7)))) for item in PRODUCTS]
    settings = OrgSettings(currencies={"USD": Currency(), "EUR": Currency(rate=0.9), "GBP": Currency(rate=0.8)})
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata(), settings=settings)) as org,
        running_service(settings_for(org, database_url)) as service,
    ):
        world = World(org, service)
        await world.save([ONE], some_products=both)
        await settled(world)
        await world.save([changed(ONE, currency="EUR")], some_products=both)
        await settled(world)
        [row] = await world.query("SELECT CurrencyIsoCode FROM Order")
        assert row["CurrencyIsoCode"] == "EUR"
        await world.save([an_order("B-1", customer="C-3")], some_products=both)
        await settled(world)
        async with service.store.transaction() as uow:
            uow.changed(EntityKind.ORDER, "B-1", 1)
        async with service.store.transaction() as uow:
            await outbox.begin_send(uow, await outbox.list_due(
                uow.connection, entity=EntityKind.ORDER, partitions={0}, of=1, now=uow.now, limit=9
            ))  # fmt: skip
        before = world.writes
        await settled(world)
        assert world.writes == before
