"""Orders that reps create in the org become orders here: by which rule, with what, and what happens if they cannot."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from connector.inbound.intake import IntakeReport
from connector.jobs.inbound_run import InboundRun, take_in
from connector.model.customer import Customer
from connector.model.inbound_change import InboxItem, Source
from connector.model.order import Order
from connector.model.outcome import Outcome, RowError
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.service import running_service
from connector.store import inbox, links, orders, products
from tests.flow.adoption_steps import TWO_LINES, add_line, create, order_by_rep, org_order, update
from tests.flow.conftest import World
from tests.flow.test_deletions import PolicyWorld, with_policy  # noqa: F401 - a fixture
from tests.flow.test_pull import begin, both_sides_rest, journal_of
from tests.flow.test_push import an_order


async def orders_here(world: World) -> list[Order]:
    async with world.service.store.reader() as connection:
        numbers = [number async for number in orders.keys(connection) if number.startswith("SF-")]
        return await orders.load(connection, numbers)


async def parked(world: World) -> list[InboxItem]:
    async with world.service.store.reader() as connection:
        return await inbox.list_parked(connection)


async def test_activated_order_becomes_an_order_here_and_gets_our_keys_by_one_call(world: World) -> None:
    await begin(world)
    record = await order_by_rep(world, Description="Call before delivery", ShippingCity="Kiel", PoNumber="PO-9")

    summary = await world.service.pull()

    [order] = await orders_here(world)
    number = order.number
    assert (summary.applied.adopted, summary.in_sync) == (1, True)
    assert number == f"SF-{(await org_order(world, record))['OrderNumber']}"
    assert (order.customer.number, order.currency, order.stage) == ("C-1", "USD", Stage.PLACED)
    header = order.header
    assert (header.channel, header.notes, header.po_number) == ("salesforce", "Call before delivery", "PO-9")
    assert (header.ship_to_city, header.placed_at.date().isoformat()) == ("Kiel", "2026-03-04")
    assert [(line.product.sku, line.quantity, line.unit_price, line.discount) for line in order.lines] == [
        ("P-1", 2, Decimal(14), Decimal("0.1")),
        ("P-2", 3, Decimal("9.8"), 0),
    ]

    before = world.writes
    assert (await world.push()).in_sync
    assert world.writes == before + 1
    there = await org_order(world, record)
    assert (there["External_Key__c"], there["Status"], there["Lifecycle_Stage__c"]) == (number, "Activated", "placed")
    assert (there["Channel__c"], there["TotalAmount"], there["Exact_Total__c"]) == (
        "salesforce",
        Decimal("54.6"),
        Decimal("54.6"),
    )
    assert [line["External_Key__c"] for line in there["lines"]] == [f"{number}-1", f"{number}-2"]
    assert [line["Discount_Percent__c"] for line in there["lines"]] == [10, 0]
    assert await world.count("Order") == 2
    await both_sides_rest(world)
    assert dict(await journal_of(world, "order", number))["adopted"]["record"] == record


async def test_adopted_order_lives_on_and_is_not_set_back_to_draft(world: World) -> None:
    await begin(world)
    address = {"ShippingStreet": "Quay 1", "ShippingPostalCode": "24103", "ShippingCity": "Kiel"}
    record = await order_by_rep(world, ShippingCountry="Germany", **address)
    await world.service.pull()
    await world.push()
    [order] = await orders_here(world)

    await world.service.orders.verify([order.number], actor="automation")
    assert (await world.push()).in_sync
    await world.change_in_org("Order", order.number, Description="still mine")
    assert (await world.service.pull()).applied.taken == {"Order.Description": 1}
    assert (await world.push()).in_sync

    there = await org_order(world, record)
    assert (there["Status"], there["Lifecycle_Stage__c"]) == ("Activated", "verified")
    await both_sides_rest(world)


async def test_draft_reduction_and_foreign_key_are_not_adopted(world: World) -> None:
    await begin(world)
    await order_by_rep(world, activated=False)
    await order_by_rep(world, External_Key__c="ERP-7")

    summary = await world.service.pull()

    assert (summary.applied.adopted, summary.parked, await orders_here(world)) == (0, 0, [])
    assert summary.in_sync


async def test_crash_after_the_commit_neither_creates_nor_loses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies before the keys are written, and again after they were written and before that is recorded."""
    await begin(world)
    record = await order_by_rep(world)
    await world.service.pull()
    async with running_service(world.service.settings) as second:
        other = World(world.org, second)
        assert (await other.service.pull()).applied.adopted == 0
        update_rows = other.service.client.collections_update

        async def written_but_not_recorded(rows: object) -> object:
            await update_rows(rows)  # type: ignore[arg-type]
            raise RuntimeError("the process is gone")

        monkeypatch.setattr(other.service.client, "collections_update", written_but_not_recorded)
        with pytest.raises(RuntimeError, match="gone"):
            await other.push()
    assert (await world.push()).in_sync

    [order] = await orders_here(world)
    assert (await org_order(world, record))["External_Key__c"] == order.number
    assert await world.count("Order") == 2
    await both_sides_rest(world)


async def test_two_processes_adopt_an_order_once(world: World) -> None:
    await begin(world)
    await order_by_rep(world)
    await order_by_rep(world, "C-2")
    async with running_service(world.service.settings) as second:
        await asyncio.gather(world.service.pull(), second.pull())
    await world.service.pull()

    assert [order.customer.number for order in await orders_here(world)] == ["C-1", "C-2"]
    assert (await world.push()).in_sync
    assert await world.count("Order") == 3
    await both_sides_rest(world)


async def test_order_that_cannot_be_adopted_is_parked_and_tried_again_when_it_changes(world: World) -> None:
    """Its first line is of a product that is not known here, its account is not linked, a line has no price here."""
    await begin(world)
    account = await create(world, "Account", Name="Newcomer")
    product = await create(world, "Product2", Name="Gift", ProductCode="GIFT", IsActive=True)
    [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
    await create(world, "PricebookEntry", Pricebook2Id=book["Id"], Product2Id=product, UnitPrice=5, IsActive=True)
    unknown = await order_by_rep(world, lines=[("P-1", 1, 14), ("GIFT", 1, 5)])
    stranger = await order_by_rep(world, AccountId=account)
    fine = await order_by_rep(world)

    summary = await world.service.pull()

    assert (summary.applied.adopted, summary.parked, summary.in_sync) == (1, 2, False)
    errors = {item.record_id: (item.error, item.fix) for item in await parked(world)}
    assert errors.keys() == {unknown, stranger}
    assert (
        errors[unknown][0]
        == f"Order {unknown} was not adopted: Line 2 has a product GIFT that is not known in the order system."
    )
    assert f"connector link product SKU {product}" in str(errors[unknown][1])
    assert "is not known as a customer" in str(errors[stranger][0])
    assert f"connector link customer NUMBER {account}" in str(errors[stranger][1])
    assert (await world.service.pull()).parked == 2  # nothing has changed

    await update(world, "Account", account, External_Key__c="C-9")
    await world.save(some_customers=[])
    await update(world, "Order", unknown, Status="Draft")
    [line] = await world.query(f"SELECT Id FROM OrderItem WHERE OrderId = '{unknown}' AND UnitPrice = 5")
    world.org.org.dml.delete([line["Id"]])
    await update(world, "Order", unknown, Status="Activated")
    summary = await world.service.pull()
    assert (summary.applied.adopted, summary.parked) == (1, 1)
    assert {order.lines[0].product.sku for order in await orders_here(world)} == {"P-1"}
    await update(world, "Order", stranger, Status="Draft")
    assert (await world.service.pull()).in_sync  # no longer a candidate
    assert (await world.push()).in_sync
    assert (await org_order(world, fine))["External_Key__c"] is not None


async def test_replay_adopts_an_order_whose_product_has_come(world: World) -> None:
    await begin(world)
    rare = Product(sku="RARE", name="Rare", prices=(Price(currency="EUR", unit_price=Decimal(3)),))
    await world.save(some_customers=[], some_products=[rare])
    await world.push()
    [product] = await world.query("SELECT Id FROM Product2 WHERE External_Key__c = 'RARE'")
    [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
    await create(world, "PricebookEntry", Pricebook2Id=book["Id"], Product2Id=product["Id"], UnitPrice=5, IsActive=True)
    record = await order_by_rep(world, lines=[("RARE", 2, 5)])
    await world.service.pull()
    [item] = await parked(world)
    assert (
        item.error == f"Order {record} was not adopted: Line 1: product RARE has no price in USD in the order system."
    )

    prices = (*rare.prices, Price(currency="USD", unit_price=Decimal(5)))
    async with world.service.store.transaction() as uow:
        await products.save(uow, [Product(sku="RARE", name="Rare", prices=prices)])
        assert await inbox.replay(uow) == 1
    summary = await world.service.pull()

    assert (summary.applied.adopted, summary.parked) == (1, 0)
    assert (await world.push()).in_sync
    await both_sides_rest(world)


async def test_checkbox_and_filter_decide_which_orders_are_adopted(with_policy: PolicyWorld) -> None:  # noqa: F811
    """A Draft with its box ticked is adopted, unless the filter excludes it; lines that are added before count."""
    rules = {"adopt_orders": "checkbox", "adopt_checkbox": "Ship_Complete__c", "adopt_filter": "PoNumber != 'ERP'"}
    async with with_policy(**rules) as world:
        await begin(world)
        chosen = await order_by_rep(world, activated=False, Ship_Complete__c=True)
        await order_by_rep(world, activated=False, Ship_Complete__c=True, PoNumber="ERP")
        await order_by_rep(world, activated=True)
        await add_line(world, chosen, "P-4", 1, "12.75")

        summary = await world.service.pull()

        assert (summary.applied.adopted, summary.parked, summary.waiting) == (1, 0, 0)
        [order] = await orders_here(world)
        assert (len(order.lines), order.header.ship_complete) == (len(TWO_LINES) + 1, True)
        assert (await world.push()).in_sync
        there = await org_order(world, chosen)
        assert (there["External_Key__c"], there["Status"]) == (order.number, "Draft")
        await both_sides_rest(world)


async def test_product_is_found_by_its_code_and_account_by_its_key(with_policy: PolicyWorld) -> None:  # noqa: F811
    """The records were created in the org and never sent from here: both get linked, the product its key."""
    async with with_policy(adopt_products="product_code", adopt_prefix="REP-") as world:
        await begin(world)
        own = Product(sku="OWN", name="Own", prices=(Price(currency="USD", unit_price=Decimal(5)),))
        account = await create(world, "Account", Name="By key", External_Key__c="C-50")
        product = await create(world, "Product2", Name="Own, there", ProductCode="OWN", IsActive=True)
        [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
        await create(world, "PricebookEntry", Pricebook2Id=book["Id"], Product2Id=product, UnitPrice=5, IsActive=True)
        await world.save(some_customers=[Customer(number="C-50", name="By key")], some_products=[own])
        record = await order_by_rep(world, AccountId=account, lines=[("OWN", 1, 5)])
        taken = f"REP-{(await org_order(world, record))['OrderNumber']}"
        await world.save([an_order(taken)], some_customers=[], some_products=[])

        assert (await world.service.pull()).applied.adopted == 1
        assert (await world.push()).in_sync

        there = await org_order(world, record)
        assert there["External_Key__c"] == f"REP-{record}"  # the shop has used the shorter number itself
        [row] = await world.query(f"SELECT External_Key__c FROM Product2 WHERE Id = '{product}'")
        assert row["External_Key__c"] == "OWN"
        async with world.service.store.reader() as connection:
            found = await links.find(connection, world.service.client.org_id, [account, product])
        assert {link.key for link in found.values()} == {"C-50", "OWN"}
        assert await world.count("Product2") == 5
        await both_sides_rest(world)


async def test_order_in_another_price_book_keeps_its_entries(world: World) -> None:
    await begin(world)
    book = await create(world, "Pricebook2", Name="Partners", IsActive=True)
    [product] = await world.query("SELECT Id FROM Product2 WHERE External_Key__c = 'P-1'")
    entry = await create(
        world, "PricebookEntry", Pricebook2Id=book, Product2Id=product["Id"], UnitPrice=10, IsActive=True
    )
    record = await order_by_rep(world, lines=[], activated=False, Pricebook2Id=book)
    await add_line(world, record, "P-1", 2, 9, entry=entry)
    await update(world, "Order", record, Status="Activated")

    assert (await world.service.pull()).applied.adopted == 1
    assert (await world.push()).in_sync

    [line] = (await org_order(world, record))["lines"]
    assert (line["PricebookEntryId"], line["UnitPrice"], line["External_Key__c"] is not None) == (entry, 9, True)
    await both_sides_rest(world)


async def test_event_of_an_order_or_of_a_line_of_a_parked_one_leads_to_adoption(world: World) -> None:
    await begin(world)
    record = await order_by_rep(world)
    [line, *_] = (await org_order(world, record))["lines"]
    org_id = world.service.client.org_id

    async def hear_of(sobject: str, record_id: str) -> IntakeReport:
        async with world.service.store.transaction() as uow:
            await inbox.put(uow, org_id, [(sobject, record_id)], Source.EVENT)
        return await take_in(world.service.inbound_context)

    assert (await hear_of("OrderItem", line["Id"])).applied.adopted == 0  # nobody has heard of the order yet
    async with world.service.store.transaction() as uow:
        await inbox.park(uow, org_id, ("Order", record), Source.EVENT, error="Line 1 was wrong.", fix="Correct it.")
    assert (await hear_of("OrderItem", line["Id"])).applied.adopted == 1
    another = await order_by_rep(world)
    heard = await hear_of("Order", another)

    assert (heard.applied.adopted, heard.calls) == (1, 2)
    assert (await world.service.pull()).in_sync
    assert len(await orders_here(world)) == 2


async def test_parked_order_is_tried_again_after_what_was_missing_has_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customer of its account is imported later; the order itself does not change, and is not read by the poll."""
    monkeypatch.setattr(inbox, "FIRST_RETRY", timedelta())
    await begin(world)
    account = await create(world, "Account", Name="Later", External_Key__c="C-90")
    await order_by_rep(world, AccountId=account)
    assert (await world.service.pull()).parked == 1
    await world.save(some_customers=[Customer(number="C-90", name="Later")])

    run = await InboundRun.begin(world.service.inbound_context)
    await run.poll(["Product2"])
    assert (await run.intake()).applied.adopted == 1
    assert await parked(world) == []


@pytest.mark.parametrize(
    ("condition", "problem", "named"),
    [
        ("Type = ", "CONNECTOR_INBOUND__ADOPT_FILTER is refused by the org", False),
        ("PoNumber != 'Foo = 1' AND Nope__c = 1", "ADOPT_FILTER: Order has no field Nope__c in the org.", True),
    ],
    ids=["malformed", "unknown field"],
)
async def test_filter_that_the_org_refuses_parks_the_order_and_stops_nothing_else(
    with_policy: PolicyWorld,  # noqa: F811
    condition: str,
    problem: str,
    named: bool,
) -> None:
    async with with_policy(adopt_filter=condition) as world:
        await begin(world)
        await order_by_rep(world)
        await world.change_in_org("Order", "N-1", Description="theirs")

        summary = await world.service.pull()

        assert summary.applied.taken == {"Order.Description": 1}
        [item] = await parked(world)
        assert problem in str(item.error)
        expected = await world.service.pull(dry_run=True)
        assert (problem in summary.filter_problem, problem in expected.filter_problem) == (named, named)
        await world.change_in_org("Order", "N-1", Description="theirs, later")
        await take_in(world.service.inbound_context)
        assert (await world.service.pull()).applied.taken == {"Order.Description": 1}


async def test_message_that_the_org_does_not_let_us_clear_is_tried_again_after_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(world)
    record = await order_by_rep(world, lines=(("P-1", 1, "14"),), Sync_Message__c="This order was not taken over: …")
    calls = 0

    async def locked(rows: object) -> list[Outcome]:
        nonlocal calls
        calls += 1
        error = RowError(code="ENTITY_IS_LOCKED", message="This record is locked.")
        return [Outcome(success=False, id=row[1], errors=(error,)) for row in rows]  # type: ignore[attr-defined]

    async with world.service.store.transaction() as uow:
        org_id = world.service.client.org_id
        await inbox.park(uow, org_id, ("Order", record), Source.POLL, error="no account", fix="link it")
    await update(world, "Order", record, Status="Draft")
    monkeypatch.setattr(world.service.client, "collections_update", locked)

    await world.service.pull()
    await take_in(world.service.inbound_context)

    assert calls <= 2


async def test_order_activated_before_our_first_work_with_the_org_is_history(
    with_policy: PolicyWorld,  # noqa: F811
) -> None:
    async with with_policy() as world:
        await begin(world)
        old = await order_by_rep(world)
        dml, long_ago = world.org.org.dml, {"ActivatedDate": "2009-01-31T10:00:00.000+0000"}
        with dml.storage.transaction():
            dml.platform_update("Order", old, long_ago, touch=True)
        recent = await order_by_rep(world)
        await update(world, "Order", old, Description="touched by a data load")

        assert (await world.service.pull()).applied.adopted == 1

        assert (await org_order(world, recent))["External_Key__c"] is None  # adopted, and written by the next push
        assert [order.header.notes for order in await orders_here(world)] == [None]
    async with with_policy(adopt_since="2009-01-01") as world:
        await update(world, "Order", old, Description="wanted after all")
        assert (await world.service.pull()).applied.adopted == 1
