"""Accounts and products that reps create in the org become customers and products here, with the orders of them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.model.change import EntityKind
from connector.model.product import Price, Product
from connector.service import running_service
from connector.settings.inbound import InboundSettings
from connector.settings.webhooks import WebhookSettings
from connector.store import change_notices, links, products
from tests.flow.adoption_steps import add_line, create, order_by_rep, org_order, record_of, update
from tests.flow.conftest import World, settings_for
from tests.flow.test_adoption import orders_here, parked
from tests.flow.test_deletions import PolicyWorld, with_policy  # noqa: F401 - a fixture
from tests.flow.test_inbox import refuse_bad
from tests.flow.test_person_accounts import PERSONS
from tests.flow.test_pull import begin, both_sides_rest, customer_here, journal_of

CREATE = {"adopt_customers": "create", "adopt_products": "create"}


async def new_product(world: World, code: str | None, price: Any = 5, **fields: Any) -> tuple[str, str]:
    """A product that a rep creates with its price; the IDs of both."""
    product = await create(world, "Product2", Name=f"Gift {code}", ProductCode=code, IsActive=True, **fields)
    [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
    given = {"Pricebook2Id": book["Id"], "Product2Id": product, "UnitPrice": price, "IsActive": True}
    return product, await create(world, "PricebookEntry", **given)


async def product_here(world: World, sku: str) -> Product:
    async with world.service.store.reader() as connection:
        [product] = await products.load(connection, [sku])
    return product


async def test_new_account_and_product_are_created_here_with_the_order(with_policy: PolicyWorld) -> None:  # noqa: F811
    """Two orders of one new account, with a product that both have, and one without a code."""
    async with with_policy(**CREATE) as world:
        await begin(world)
        details = {"Phone": "+49 431 1", "BillingCity": "Kiel", "AccountNumber": "4711"}
        account = await create(world, "Account", Name="Newcomer", **details)
        product, entry = await new_product(world, "GIFT", Description="Wrapped")
        nameless, second_entry = await new_product(world, None, "7.50")
        first = await order_by_rep(world, AccountId=account, lines=[], activated=False)
        await add_line(world, first, "GIFT", 2, "4.50", entry=entry)
        await add_line(world, first, "", 1, "7.50", entry=second_entry)
        await update(world, "Order", first, Status="Activated")
        await order_by_rep(world, AccountId=account, lines=[("GIFT", 1, 5), ("P-1", 1, 14)])

        assert (await world.service.pull()).applied.adopted == 2
        before = {name: await world.count(name) for name in ("Account", "Product2", "PricebookEntry", "Order")}
        assert (await world.push()).in_sync

        customer = await customer_here(world, "SF-4711")
        assert (customer.name, customer.phone, customer.city) == ("Newcomer", "+49 431 1", "Kiel")
        gift = await product_here(world, "GIFT")
        assert (gift.name, gift.description, gift.prices[0].unit_price) == ("Gift GIFT", "Wrapped", Decimal(5))
        assert (await product_here(world, f"SF-{nameless}")).name == "Gift None"
        orders = await orders_here(world)
        assert {order.customer.number for order in orders} == {"SF-4711"}
        assert [line.discount for line in orders[0].lines] == [Decimal("0.1"), 0]
        assert {name: await world.count(name) for name in before} == before
        keys = {
            name: (await world.query(f"SELECT External_Key__c FROM {name} WHERE Id = '{record}'"))[0]["External_Key__c"]
            for name, record in (("Account", account), ("Product2", product))
        }
        assert keys == {"Account": "SF-4711", "Product2": "GIFT"}
        assert (await org_order(world, first))["External_Key__c"] is not None
        assert dict(await journal_of(world, "customer", "SF-4711"))["adopted"]["id"] == account
        async with world.service.store.reader() as connection:
            [price] = (await links.get(connection, world.service.client.org_id, "price", ["GIFT|USD"])).values()
        assert price.salesforce_id == entry
        await both_sides_rest(world)

        await update(world, "Account", account, Phone="+49 431 2")
        await world.service.pull()
        assert (await customer_here(world, "SF-4711")).phone == "+49 431 2"


async def test_keys_of_new_accounts_travel_with_their_orders(with_policy: PolicyWorld) -> None:  # noqa: F811
    """In one call. A refused row of an account keeps no order from being settled, not even one with its key."""
    async with with_policy(**CREATE) as world:
        await begin(world)
        accounts = [
            await create(world, "Account", Name=name, AccountNumber=number)
            for name, number in (("Newcomer", "4711"), ("Refused", "00000102"))
        ]
        records = [await order_by_rep(world, AccountId=account) for account in accounts]
        await world.service.pull()
        world.org.org.faults.configure(
            {"rows": {"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "containing": accounts[1], "count": 1}}
        )

        summary = await world.push()

        assert (summary.writes, dict(summary.stats.done), dict(summary.stats.refused)) == (
            1, {EntityKind.ORDER: 2, EntityKind.CUSTOMER: 1}, {EntityKind.CUSTOMER: 1},
        )  # fmt: skip
        letters = [(letter.entity, letter.key) for letter in await world.dead_letters()]
        assert letters == [(EntityKind.CUSTOMER, "SF-00000102")]
        assert (await org_order(world, records[1]))["External_Key__c"] == "SF-00000102"
        await world.replay()
        assert (await world.push()).in_sync
        rows = await world.query("SELECT External_Key__c FROM Account WHERE Name IN ('Newcomer', 'Refused')")
        assert {row["External_Key__c"] for row in rows} == {"SF-4711", "SF-00000102"}
        await both_sides_rest(world)


async def test_price_that_the_org_has_added_comes_with_the_first_order(with_policy: PolicyWorld) -> None:  # noqa: F811
    """For a product of ours that has no price in the currency here; two orders and lines of it at once."""
    async with with_policy(**CREATE) as world:
        await begin(world)
        euro = Price(currency="EUR", unit_price=Decimal(3))
        await world.save(some_customers=[], some_products=[Product(sku="RARE", name="Rare", prices=(euro,))])
        await world.push()
        [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
        given = {"Product2Id": await record_of(world, "Product2", "RARE"), "Pricebook2Id": book["Id"]}
        entry = await create(world, "PricebookEntry", **given, UnitPrice=5, IsActive=True)
        for _ in range(2):
            await order_by_rep(world, lines=[("RARE", 2, 5), ("RARE", 1, "4.50")])

        assert (await world.service.pull()).applied.adopted == 2

        assert (await product_here(world, "RARE")).prices == (euro, Price(currency="USD", unit_price=Decimal(5)))
        assert [line.discount for line in (await orders_here(world))[0].lines] == [0, Decimal("0.1")]
        async with world.service.store.reader() as connection:
            [link] = (await links.get(connection, world.service.client.org_id, "price", ["RARE|USD"])).values()
        assert link.salesforce_id == entry
        before = await world.count("PricebookEntry")
        assert (await world.push()).in_sync
        assert await world.count("PricebookEntry") == before
        await both_sides_rest(world)


async def test_new_product_in_another_price_book_is_parked(with_policy: PolicyWorld) -> None:  # noqa: F811
    """Its list price is not known. The account has a key of its own, which becomes the customer number."""
    async with with_policy(**CREATE) as world:
        await begin(world)
        account = await create(world, "Account", Name="Keyed", External_Key__c="ERP 9")
        book = await create(world, "Pricebook2", Name="Partners", IsActive=True)
        product, _ = await new_product(world, "GIFT")
        entry = await create(world, "PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=4, IsActive=True)
        record = await order_by_rep(world, AccountId=account, lines=[], activated=False, Pricebook2Id=book)
        await add_line(world, record, "GIFT", 1, 4, entry=entry)
        await update(world, "Order", record, Status="Activated")
        await order_by_rep(world, AccountId=account)

        assert (await world.service.pull()).applied.adopted == 1

        [item] = await parked(world)
        assert "Line 1 has a new product, whose list price only an order in the standard price book" in str(item.error)
        assert (await customer_here(world, "ERP 9")).name == "Keyed"
        assert (await world.push()).in_sync
        await both_sides_rest(world)


async def test_person_account_becomes_a_person_here(database_url: str) -> None:
    options = OrgOptions(metadata_root=our_metadata(), settings=PERSONS)
    async with LocalOrg(options) as org:
        settings = settings_for(org, database_url).model_copy(update={"inbound": InboundSettings(**CREATE)})
        async with running_service(settings) as service:
            world = World(org, service)
            await begin(world)
            details = {"PersonEmail": "eva@berg.example", "BillingCity": "Kiel"}
            account = await create(world, "Account", FirstName="Eva", LastName="Berg", **details)
            await order_by_rep(world, AccountId=account)

            assert (await world.service.pull()).applied.adopted == 1
            customer = await customer_here(world, f"SF-{account}")
            assert (customer.name, customer.first_name, customer.last_name) == ("Eva Berg", "Eva", "Berg")
            assert (customer.email, customer.city) == ("eva@berg.example", "Kiel")
            assert (await world.push()).in_sync
            [row] = await world.query(f"SELECT External_Key__c, Name FROM Account WHERE Id = '{account}'")
            assert row == {"External_Key__c": customer.number, "Name": "Eva Berg"}
            await both_sides_rest(world)


async def test_every_new_account_and_product_is_adopted_without_an_order(with_policy: PolicyWorld) -> None:  # noqa: F811
    """Those with a key of somebody else are not; a product without a price has none here either."""
    async with with_policy(adopt_customers="all", adopt_products="all", adopt_orders="off") as world:
        await begin(world)
        account = await create(world, "Account", Name="Newcomer", Phone="1", AccountNumber="4711")
        await create(world, "Account", Name="Of the ERP", External_Key__c="ERP-1")
        product, entry = await new_product(world, "GIFT")
        bare = await create(world, "Product2", Name="Bare", IsActive=False)
        await order_by_rep(world, AccountId=account)

        summary = await world.service.pull()

        assert (summary.applied.adopted, summary.parked, summary.waiting) == (3, 0, 0)
        before = {name: await world.count(name) for name in ("Account", "Product2", "PricebookEntry")}
        assert (await world.push()).in_sync
        assert {name: await world.count(name) for name in before} == before
        assert (await customer_here(world, "SF-4711")).phone == "1"
        gift = await product_here(world, "GIFT")
        assert [(price.currency, price.unit_price) for price in gift.prices] == [("USD", Decimal(5))]
        unpriced = await product_here(world, f"SF-{bare}")
        assert (unpriced.active, unpriced.prices) == (False, ())
        async with world.service.store.reader() as connection:
            found = await links.find(connection, world.service.client.org_id, [account, product, entry])
        assert {link.key for link in found.values()} == {"SF-4711", "GIFT", "GIFT|USD"}
        [row] = await world.query(f"SELECT External_Key__c FROM Account WHERE Id = '{account}'")
        assert row["External_Key__c"] == "SF-4711"
        assert await orders_here(world) == []
        await both_sides_rest(world)


async def test_adoption_is_posted_as_a_notice(org: LocalOrg, database_url: str) -> None:
    webhooks = WebhookSettings(url=SecretStr("https://erp.example/hook"))
    values = {"inbound": InboundSettings(**CREATE), "webhooks": webhooks}
    async with running_service(settings_for(org, database_url).model_copy(update=values)) as service:
        world = World(org, service)
        await begin(world)
        account = await create(world, "Account", Name="Newcomer", AccountNumber="4711")
        record = await order_by_rep(world, AccountId=account)
        await world.service.pull()

        async with world.service.store.reader() as connection:
            notices = await change_notices.list_page(connection, limit=10)
        told = {notice.type: (notice.key, json.loads(notice.body)["data"]["record"]) for notice in notices}
        [order] = await orders_here(world)
        assert told == {"order.adopted": (order.number, record), "customer.adopted": ("SF-4711", account)}


async def test_what_the_database_refuses_is_parked_and_the_others_are_adopted(with_policy: PolicyWorld) -> None:  # noqa: F811
    async with with_policy(adopt_customers="all") as world:
        await begin(world)
        await refuse_bad(world, "customers", "phone")
        await refuse_bad(world, "orders", "notes")
        for number, phone in (("4711", "bad"), ("4712", "good")):
            await create(world, "Account", Name=number, Phone=phone, AccountNumber=number)
        for notes in ("bad", "good"):
            await order_by_rep(world, Description=notes)

        summary = await world.service.pull()

        assert (summary.applied.adopted, summary.parked) == (2, 2)
        assert (await customer_here(world, "SF-4712")).phone == "good"
        assert [order.header.notes for order in await orders_here(world)] == ["good"]
