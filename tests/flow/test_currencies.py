"""Orders in several currencies: one price book entry each, whole yen, and refusals for missing currencies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.errors import CommandError
from connector.jobs.org_deploy import deploy_metadata
from connector.jobs.resync import make_due
from connector.localorg.org import OrgOptions
from connector.localorg.seed_file import read_seed_file
from connector.localorg.server import LocalOrg
from connector.localorg.settings import Currency, OrgSettings
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.customer import Customer
from connector.model.events import (
    ApproveReturn,
    Capture,
    Confirm,
    Deliver,
    Event,
    InspectReturn,
    ReceiveReturn,
    RequestReturn,
    Verify,
)
from connector.model.order import LineInput, OrderInput
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.service import running_service
from connector.settings.salesforce import Returns
from connector.store import orders, stock
from tests.flow.conftest import World, settings_for
from tests.order_builders import order_input
from tests.unit.store.samples import placements

SEED = read_seed_file(Path(__file__).parents[2] / "fixtures" / "orgs" / "two-currencies.yaml")
CUSTOMERS = [
    Customer(number="C-1", name="Chop-suey Chinese", postal_code="3012"),  # the org has it already
    Customer.named_by_order(number="C-2", first_name="Ana", last_name="Trujillo"),
]
TEA = Product(
    sku="TEA",
    name="Tea",
    prices=tuple(
        Price(currency=currency, unit_price=Decimal(price))
        for currency, price in (("EUR", "12.50"), ("USD", "13.75"), ("JPY", "1999.5"), ("GBP", "11"))
    ),
)


def tea(number: str, currency: str, price: str, *, customer: str = "C-1", **values: Any) -> OrderInput:
    line = LineInput(number=1, sku="TEA", quantity=Decimal(3), unit_price=Decimal(price), discount=Decimal("0.15"))
    given: dict[str, Any] = {"placed_at": datetime(2026, 3, 1, tzinfo=UTC), "stage": Stage.CONFIRMED, "lines": (line,)}
    return order_input(number=number, customer=customer, currency=currency, **given | values)


async def world_in(url: str, settings: OrgSettings, **more: Any) -> AsyncIterator[World]:
    returns = more.pop("returns", Returns.AUTO)
    async with LocalOrg(OrgOptions(metadata_root=our_metadata(), settings=settings, **more)) as org:
        ours = settings_for(org, url)
        chosen = ours.model_copy(update={"salesforce": ours.salesforce.model_copy(update={"returns": returns})})
        async with running_service(chosen) as service:
            yield World(org, service)


@pytest.fixture
async def seeded(database_url: str) -> AsyncIterator[World]:
    async for world in world_in(database_url, SEED.settings, records=SEED.records):
        yield world


async def in_org(world: World) -> dict[str, dict[str, Any]]:
    rows = await world.query(
        "SELECT External_Key__c, CurrencyIsoCode, TotalAmount, Amount_Due__c, Exact_Total__c, Status, Account.Name,"
        " (SELECT UnitPrice, CurrencyIsoCode, PricebookEntry.CurrencyIsoCode, PricebookEntry.UnitPrice FROM OrderItems)"
        " FROM Order WHERE IsReductionOrder = false"
    )
    return {row["External_Key__c"]: row | {"line": row["OrderItems"]["records"][0]} for row in rows}


async def test_order_has_its_currency_and_matching_price_book_entry(seeded: World) -> None:
    some = [tea("A-1", "EUR", "12.50"), tea("A-2", "USD", "13.75", customer="C-2"), tea("A-3", "JPY", "1999")]
    await seeded.save(some, some_customers=CUSTOMERS, some_products=[TEA])
    assert (await seeded.push()).in_sync
    found = await in_org(seeded)
    assert {key: row["CurrencyIsoCode"] for key, row in found.items()} == {"A-1": "EUR", "A-2": "USD", "A-3": "JPY"}
    for row in found.values():
        line = row["line"]
        assert {line["CurrencyIsoCode"], line["PricebookEntry"]["CurrencyIsoCode"]} == {row["CurrencyIsoCode"]}
        assert row["Status"] == "Activated"
    assert found["A-2"]["Account"]["Name"] == "Ana Trujillo"
    assert [row["Name"] for row in await seeded.query("SELECT Name FROM Account WHERE External_Key__c = 'C-1'")] == [
        "Chop-suey Chinese"
    ]
    assert await seeded.count("PricebookEntry") == 3  # none in pounds: the org has none
    before = seeded.writes
    await make_due(seeded.service.store, None, [])
    assert (await seeded.push()).in_sync
    assert seeded.writes == before


async def test_yen_amounts_have_no_decimals(seeded: World) -> None:
    """1,999 less 15 % is 1,699.15: the unit price is 1,699, the exact total 5,097.45, to be paid are 5,097."""
    await seeded.save([tea("A-3", "JPY", "1999")], some_customers=CUSTOMERS, some_products=[TEA])
    await seeded.push()
    [row] = (await in_org(seeded)).values()
    assert (row["line"]["UnitPrice"], row["TotalAmount"]) == (1699, 5097)
    assert (row["Exact_Total__c"], row["Amount_Due__c"]) == (Decimal("5097.45"), 5097)
    assert row["line"]["PricebookEntry"]["UnitPrice"] == 2000  # 1,999.5 in the catalog


async def test_payments_in_yen_add_up_to_the_amount_due(seeded: World) -> None:
    await seeded.save([], some_customers=CUSTOMERS, some_products=[TEA])
    transaction = seeded.service.store.transaction
    async with transaction() as uow:
        await stock.count(uow, {("TEA", "EAST"): Decimal(9)})
        [order] = await OrderTransaction(uow, actor="anna").place(
            placements([tea("A-3", "JPY", "1999", stage=Stage.PLACED)])
        )
        state = order.state
    assert state.due == Decimal(5097)
    with pytest.raises(CommandError, match=r"amount 0\.5") as refused:
        await act(seeded, Capture(amount=Decimal("0.5")))
    assert "whole units" in str(refused.value)
    await act(seeded, Verify(), Confirm())
    await act(seeded, *(make_event(action, amount=state.due) for action in (Action.INVOICE, Action.CAPTURE)))
    async with seeded.service.store.reader() as connection:
        [order] = await orders.load(connection, ["A-3"])
    assert (order.amount_due, order.payment_status) == (0, "paid")


async def act(world: World, *events: Event) -> None:
    async with world.service.store.transaction() as uow:
        await OrderTransaction(uow, actor="anna").execute_all(
            [OrderCommand(number="A-3", event=event) for event in events]
        )


async def test_currency_missing_in_the_org_refuses_only_its_orders_without_a_call(seeded: World) -> None:
    await seeded.save([tea("A-1", "EUR", "12.50")], some_customers=CUSTOMERS, some_products=[TEA])
    await seeded.push()
    before = seeded.writes
    await seeded.save([tea("A-4", "GBP", "11")], some_customers=CUSTOMERS, some_products=[TEA])
    await seeded.push()
    assert seeded.writes == before
    [letter] = await seeded.dead_letters()
    assert (letter.key, letter.refusal.code) == ("A-4", "INVALID_CURRENCY_ISO")
    assert letter.refusal.message == "The org has no currency GBP; it has EUR, JPY, USD."
    assert letter.refusal.fix.startswith("Ask an admin to activate GBP in the org")


async def test_inactive_currency_is_refused(database_url: str) -> None:
    asleep = OrgSettings(currency="EUR", currencies={"EUR": Currency(), "USD": Currency(rate=1.1, active=False)})
    async for world in world_in(database_url, asleep):
        some = [tea("A-1", "USD", "13.75"), tea("A-2", "EUR", "12.50")]
        await world.save(some, some_customers=CUSTOMERS, some_products=[TEA])
        await world.push()
        [letter] = await world.dead_letters()
        assert (letter.key, letter.refusal.message) == ("A-1", "The org has no currency USD; it has EUR.")
        assert await world.count("PricebookEntry") == 1
        assert list(await in_org(world)) == ["A-2"]


async def test_single_currency_org_refusal_names_the_currency_setting(world: World) -> None:
    await world.save([tea("A-1", "USD", "13.75")], some_customers=CUSTOMERS, some_products=[TEA])
    await world.push()
    before = world.writes
    await world.save([tea("A-2", "EUR", "12.50")], some_customers=CUSTOMERS, some_products=[TEA])
    await world.push()
    assert world.writes == before
    [letter] = await world.dead_letters()
    assert letter.refusal.message == "The org has no currency EUR; it has USD."
    assert "CONNECTOR_SALESFORCE__CURRENCY" in letter.refusal.fix


async def test_price_with_more_decimals_than_the_currency_is_refused(database_url: str) -> None:
    coarse = OrgSettings(currency="EUR", currencies={"EUR": Currency(), "USD": Currency(rate=1.1, decimal_places=0)})
    async for world in world_in(database_url, coarse):
        await world.save(
            [tea("A-1", "USD", "13.75"), tea("A-2", "EUR", "12.50")], some_customers=CUSTOMERS, some_products=[TEA]
        )
        await world.push()
        [letter] = await world.dead_letters()
        assert (letter.key, letter.refusal.code, letter.refusal.field) == (
            "A-1",
            "WOULD_BE_ROUNDED",
            "OrderItem.UnitPrice",
        )
        assert "more decimals than the 0 it has in the org" in letter.refusal.message
        assert letter.refusal.source is not None
        assert list(await in_org(world)) == ["A-2"]


@pytest.mark.parametrize("returns", [Returns.AUTO, Returns.RETURN_ORDER])
async def test_return_has_the_currency_of_its_order(database_url: str, returns: Returns) -> None:
    several = OrgSettings(
        currency="USD", currencies={"USD": Currency(), "EUR": Currency(rate=0.9)}, person_accounts=True
    )
    async for world in world_in(database_url, several, returns=returns):
        if returns is Returns.RETURN_ORDER:
            await return_orders_deployed(world)
        await world.save([], some_customers=CUSTOMERS, some_products=[TEA])
        async with world.service.store.transaction() as uow:
            await stock.count(uow, {("TEA", "EAST"): Decimal(9)})
            [order] = await OrderTransaction(uow, actor="anna").place(
                placements([tea("A-3", "EUR", "12.50", customer="C-2", stage=Stage.PLACED)])
            )
            state = order.state
        three = {1: Decimal(3)}
        await act(
            world,
            *(make_event(action) for action in (Action.VERIFY, Action.CONFIRM)),
            *(make_event(action, lines=three) for action in (Action.ALLOCATE, Action.PICK, Action.SHIP)),
            Deliver(),
            *(make_event(action, amount=state.due) for action in (Action.INVOICE, Action.CAPTURE)),
            RequestReturn(lines={1: Decimal(1)}),
            ApproveReturn(),
            ReceiveReturn(lines={1: Decimal(1)}),
            InspectReturn(lines={1: Decimal(1)}, warehouse="EAST"),
        )
        assert (await world.push()).in_sync
        assert (await world.push()).in_sync
        whence = "ReturnOrder" if returns is Returns.RETURN_ORDER else "Order WHERE IsReductionOrder = true"
        rows = await world.query(f"SELECT CurrencyIsoCode, Account.Name FROM {whence}")
        assert [(row["CurrencyIsoCode"], row["Account"]["Name"]) for row in rows] == [("EUR", "Ana Trujillo")]


async def return_orders_deployed(world: World) -> None:
    deployed = await deploy_metadata(
        world.service.client,
        our_metadata(return_orders=True),
        version="66.0",
        clock=world.service.clock,
        on_progress=lambda done, total: None,
    )
    assert deployed.deployed.succeeded, deployed.deployed.problems
