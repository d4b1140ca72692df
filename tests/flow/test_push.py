"""From a stored order to the org and back to zero: what a push writes, what it costs, and what it leaves unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from weakref import ref

import pytest

from connector.demo.sample_orders import orders as sample_orders
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.order import LineInput, OrderInput
from connector.model.product import Price, Product
from connector.model.record import LAST_SYNCED
from connector.model.stage import Stage
from connector.outbound import drain
from connector.outbound.batches import graph_calls
from connector.outbound.order_planner import OrderContext
from connector.outbound.plan_types import OrderGraph, PendingEntity, Plan
from connector.outbound.repository import SyncRepository
from connector.outbound.results import WriteResult
from connector.outbound.writer import Writer
from tests.flow.conftest import CUSTOMERS, PRODUCTS, World
from tests.order_builders import changed, order_input


def an_order(number: str, **values: Any) -> OrderInput:
    given: dict[str, Any] = {
        "number": number,
        "customer": "C-1",
        "placed_at": datetime(2026, 2, 3, tzinfo=UTC),
        "currency": "USD",
        "stage": Stage.SHIPPED,
        "lines": (
            LineInput(number=1, sku="P-1", quantity=Decimal(12), unit_price=Decimal(14), discount=Decimal("0.15")),
            LineInput(number=2, sku="P-4", quantity=Decimal(3), unit_price=Decimal("12.75"), discount=Decimal("0.15")),
        ),
    }
    return order_input(**given | values)


async def test_orders_arrive_with_accounts_lines_and_status(world: World) -> None:
    await world.save([an_order("A-1"), an_order("A-2", customer="C-2", stage=Stage.PLACED)])
    summary = await world.push()
    assert summary.in_sync
    assert await world.count("Account") == len(CUSTOMERS)
    assert await world.count("Product2") == len(PRODUCTS)
    assert (await world.order("A-1"))["Status"] == "Activated"
    assert (await world.order("A-2"))["Status"] == "Draft"
    assert (await world.order("A-1"))["Account"]["Name"] == "Käufer 1"


async def test_exact_totals_arrive_unrounded(
    world: World,
) -> None:
    await world.save([an_order("A-1")])
    await world.push()
    order = await world.order("A-1")
    exact = Decimal("142.80") + Decimal("32.5125")
    assert order["Exact_Total__c"] == exact
    assert order["lines"]["A-1-2"]["UnitPrice"] == Decimal("10.84")
    assert order["lines"]["A-1-2"]["Exact_Total__c"] == Decimal("32.5125")
    assert abs(order["TotalAmount"] - exact) <= Decimal("0.005") * 15


async def test_many_orders_cost_few_calls_and_a_second_push_none(world: World) -> None:
    await world.save([changed(order, stage=Stage.SHIPPED) for order in sample_orders(CUSTOMERS, PRODUCTS, count=201)])
    summary = await world.push()
    assert summary.in_sync
    # 2 for products and prices, 1 for accounts, 3 for 201 graphs, 2 for 201 activations.
    assert world.writes == 8
    assert await world.count("Order") == 201
    again = await world.push()
    assert again.in_sync
    assert world.writes == 8


async def test_kind_is_claimed_again_only_if_more_of_it_may_be_due(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[tuple[str, int]] = []
    claim = SyncRepository.claim

    async def noted(self: SyncRepository, entity: EntityKind, *arguments: Any, **more: Any) -> list[PendingEntity]:
        found = await claim(self, entity, *arguments, **more)
        claimed.append((entity.value, len(found)))
        return found

    monkeypatch.setattr(SyncRepository, "claim", noted)
    monkeypatch.setattr(drain, "ORDERS_PER_CLAIM", 2)
    await world.save([an_order(f"A-{number}") for number in range(3)])
    assert (await world.push()).in_sync
    assert claimed == [("product", len(PRODUCTS)), ("order", 2), ("order", 1), ("customer", len(CUSTOMERS) - 1)]


async def test_orders_are_let_go_as_they_are_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim is planned as a whole, and its orders are in memory no longer than until their own call."""
    claimed: list[ref[PendingEntity]] = []
    planned: list[ref[OrderGraph]] = []
    alive: list[tuple[int, int]] = []
    plan_orders, write = drain.plan_orders, Writer.write_graphs

    def noted_entity(item: PendingEntity) -> PendingEntity:
        claimed.append(ref(item))
        return item

    def noted(claim: Iterable[PendingEntity], context: OrderContext) -> Plan:
        plan = plan_orders(map(noted_entity, claim), context)
        planned.extend(map(ref, plan.graphs))
        assert [graph.pending.entity for graph in plan.graphs] == [None] * len(planned)
        return plan

    async def counted(self: Writer, call: Sequence[OrderGraph]) -> list[WriteResult]:
        alive.append((sum(item() is not None for item in claimed), sum(graph() is not None for graph in planned)))
        return await write(self, call)

    monkeypatch.setattr(drain, "plan_orders", noted)
    monkeypatch.setattr(Writer, "write_graphs", counted)
    await world.save([an_order(f"A-{number}") for number in range(7)])
    monkeypatch.setattr(drain, "graph_calls", partial(graph_calls, graphs=1))
    await world.push()
    assert [graphs for _, graphs in alive] == [7, 7, 6, 5, 4, 3, 2]  # also the one before, which was just recorded
    assert {entities for entities, _ in alive} == {0}


async def test_one_changed_field_is_one_write_call_with_that_field_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.save([an_order("A-1")])
    await world.push()
    sent: list[Any] = []
    update = world.service.client.collections_update

    async def spy(rows: Any) -> Any:
        sent.extend(rows)
        return await update(rows)

    monkeypatch.setattr(world.service.client, "collections_update", spy)
    before = world.writes
    await world.save([an_order("A-1", notes="Leave at the gate")])
    await world.push()
    assert world.writes == before + 1
    [(_, _, fields)] = sent
    assert fields.keys() - {LAST_SYNCED} == {"Description"}
    assert (await world.order("A-1"))["Description"] == "Leave at the gate"


async def test_predictable_refusal_becomes_a_dead_letter_and_others_arrive(
    world: World,
) -> None:
    priceless = Product(sku="P-9", name="Not yet priced")
    long = Customer(number="C-9", name="x" * 300)
    await world.save(
        [
            an_order("A-1"),
            an_order("A-2", lines=(LineInput(number=1, sku="P-9", quantity=Decimal(1), unit_price=Decimal(5)),)),
            an_order("A-3", customer="C-9"),
            an_order("A-4", currency="EUR"),
            an_order("A-5", customer="C-2"),
        ],
        some_customers=[*CUSTOMERS, long],
        some_products=[*PRODUCTS, priceless],
    )
    summary = await world.push()
    letters = {letter.key: letter.refusal for letter in await world.dead_letters()}
    assert set(letters) == {"A-2", "A-3", "A-4"}
    assert summary.dead_letters == 3
    assert not summary.in_sync
    assert "P-9 has no price in USD" in letters["A-2"].message
    assert letters["A-3"].code == "STRING_TOO_LONG"
    assert letters["A-3"].field == "Account.Name"
    assert letters["A-3"].source is not None
    assert letters["A-3"].source.startswith("mappings/customer.yaml:")
    assert letters["A-3"].record == "customer C-9"
    assert "EUR" in letters["A-4"].message
    assert all(refusal.fix for refusal in letters.values())
    assert await world.count("Order") == 2


async def test_fixed_order_arrives_after_a_replay(world: World) -> None:
    long = Customer(number="C-9", name="x" * 300)
    await world.save([an_order("A-3", customer="C-9")], some_customers=[*CUSTOMERS, long])
    await world.push()
    await world.save(some_customers=[replace(long, name="Shorter")])
    await world.replay()
    summary = await world.push()
    assert summary.in_sync
    assert (await world.order("A-3"))["Account"]["Name"] == "Shorter"
    assert await world.dead_letters() == []


async def test_refusal_of_the_org_is_reported_with_its_message(world: World) -> None:
    await world.save([an_order("A-1", customer="C-1"), an_order("A-2", customer="C-2")])
    stolen = {"Name": "Somebody else", "External_Key__c": "C-1"}
    await world.service.client.collections_create("Account", [stolen])
    bad = replace(CUSTOMERS[1], email="not an address")
    await world.save(some_customers=[bad])
    await world.push()
    [letter] = await world.dead_letters()
    assert letter.key == "A-2"
    assert letter.refusal.code == "INVALID_EMAIL_ADDRESS"
    assert letter.refusal.field == "Account.Contact_Email__c"


async def test_dry_run_reports_the_calls_and_changes_neither_side(world: World) -> None:
    await world.save([an_order(f"A-{number}") for number in range(1, 6)])
    due = await world.due()
    rehearsed = await world.push(dry_run=True)
    assert rehearsed.stats.created["Order"] == 5
    assert await world.due() == due
    assert world.writes == 0
    await world.push()
    assert world.writes == rehearsed.writes


async def test_line_changed_after_activation_reopens_and_activates_in_one_call(world: World) -> None:
    await world.save([an_order("A-1")])
    await world.push()
    before = world.writes
    first, second = an_order("A-1").lines
    added = LineInput(number=3, sku="P-3", quantity=Decimal(2), unit_price=Decimal("34.85"))
    await world.save([an_order("A-1", lines=(replace(first, quantity=Decimal(10)), added))])
    assert second.number == 2
    summary = await world.push()
    assert summary.in_sync
    assert world.writes == before + 1
    order = await world.order("A-1")
    assert order["Status"] == "Activated"
    assert set(order["lines"]) == {"A-1-1", "A-1-3"}
    assert order["lines"]["A-1-1"]["Quantity"] == 10
    assert (await world.push()).writes == 0


async def test_changed_product_replaces_the_line(world: World) -> None:
    await world.save([an_order("A-1", stage=Stage.PLACED)])
    await world.push()
    first, second = an_order("A-1").lines
    await world.save([an_order("A-1", stage=Stage.PLACED, lines=(replace(first, sku="P-2"), second))])
    assert (await world.push()).in_sync
    order = await world.order("A-1")
    assert order["lines"]["A-1-1"]["Product2"]["ProductCode"] == "P-2"
    assert order["Status"] == "Draft"


async def test_changed_customer_moves_an_activated_order(world: World) -> None:
    await world.save([an_order("A-1")])
    await world.push()
    await world.save([an_order("A-1", customer="C-3")])
    assert (await world.push()).in_sync
    order = await world.order("A-1")
    assert order["Account"]["Name"] == "Käufer 3"
    assert order["Status"] == "Activated"


async def test_order_larger_than_a_graph_arrives_completely(world: World) -> None:
    lines = tuple(
        LineInput(number=number, sku="P-1", quantity=Decimal(1), unit_price=Decimal(14)) for number in range(1, 1201)
    )
    await world.save([an_order("A-1", lines=lines)])
    summary = await world.push()
    assert summary.in_sync
    assert await world.count("OrderItem") == 1200
    assert (await world.order("A-1"))["Status"] == "Activated"


async def test_reference_like_text_arrives_as_text(world: World) -> None:
    odd = Customer(number="C-9", name="Us @{order.id} Ltd")
    await world.save(
        [an_order("A-1", notes="call @{order.id} first", customer="C-9")], some_customers=[*CUSTOMERS, odd]
    )
    assert (await world.push()).in_sync
    order = await world.order("A-1")
    assert order["Description"] == "call @{order.id} first"
    assert order["Account"]["Name"] == "Us @{order.id} Ltd"
    assert order["Status"] == "Activated"


async def test_changed_list_price_updates_the_price_book_entry(world: World) -> None:
    await world.save()
    await world.push()
    before = world.writes
    dearer = replace(PRODUCTS[0], prices=(Price(currency="USD", unit_price=Decimal("15.50")),))
    await world.save(some_products=[dearer])
    assert (await world.push()).in_sync
    assert world.writes == before + 1
    [entry] = await world.query("SELECT UnitPrice FROM PricebookEntry WHERE Product2.External_Key__c = 'P-1'")
    assert entry["UnitPrice"] == Decimal("15.5")


async def test_removed_list_price_deactivates_its_entry(world: World) -> None:
    await world.save()
    await world.push()
    before = world.writes
    await world.save(some_products=[replace(PRODUCTS[0], prices=())])
    assert (await world.push()).in_sync
    assert world.writes == before + 1
    soql = "SELECT IsActive, UnitPrice FROM PricebookEntry WHERE Product2.External_Key__c = 'P-1'"
    assert [(row["IsActive"], row["UnitPrice"]) for row in await world.query(soql)] == [(False, Decimal(14))]
    await world.save(some_products=[PRODUCTS[0]])
    assert (await world.push()).in_sync
    assert [row["IsActive"] for row in await world.query(soql)] == [True]
    assert world.writes == before + 2


async def test_order_without_lines_is_refused_only_when_it_must_be_activated(world: World) -> None:
    await world.save([an_order("A-1", lines=()), an_order("A-2", lines=(), stage=Stage.PLACED)])
    await world.push()
    [letter] = await world.dead_letters()
    assert (letter.key, letter.refusal.code) == ("A-1", "FAILED_ACTIVATION")
    assert (await world.order("A-2"))["Status"] == "Draft"
