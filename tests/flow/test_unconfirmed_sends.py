"""Sends whose outcome is unknown, frozen workers, and values that the org would misread, round or refuse."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.errors import LeaseLostError
from connector.jobs.resync import make_due
from connector.localorg.server import LocalOrg
from connector.mapping import load_mappings
from connector.model.change import EntityKind
from connector.model.order import LineInput
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.service import running_service
from connector.store import leases, orders
from connector.store.engine import Store
from tests.flow.cli_runner import ROOT
from tests.flow.conftest import CUSTOMERS, PRODUCTS, Silent, World, settings_for
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line, settled
from tests.order_builders import changed

ONE = an_order("A-1", stage=Stage.PLACED, lines=(a_line(1),))


async def refusals(world: World) -> list[tuple[str, str, str | None]]:
    return [(letter.key, letter.refusal.code, letter.refusal.record) for letter in await world.dead_letters()]


@pytest.mark.parametrize("then", ["limit", "row_lock", "status_count"])
async def test_refusal_after_an_unanswered_attempt_stays_unconfirmed(world: World, then: str) -> None:
    await world.save([changed(ONE, notes="old")], some_customers=[replace(CUSTOMERS[0], name="old")])
    await world.push()
    await world.save([changed(ONE, notes="new")], some_customers=[replace(CUSTOMERS[0], name="new")])
    faults = world.org.org.faults
    faults.configure({"lost_response": 1})
    send = world.service.client._transport.send

    async def lossy(*values: Any, **named: Any) -> Any:
        try:
            return await send(*values, **named)
        except Exception:
            setattr(faults, then, 3)  # whatever is tried after the lost answer
            raise

    world.service.client._transport.send = lossy  # type: ignore[method-assign]
    await world.push()
    faults.clear()
    await world.save([changed(ONE, notes="old")], some_customers=[replace(CUSTOMERS[0], name="old")])
    await asyncio.sleep(1.1)  # what was put off is due
    await settled(world)
    order = await world.order("A-1")
    assert (order["Description"], order["Account"]["Name"]) == ("old", "old")


async def test_refused_rewrite_is_read_back_and_names_its_line(world: World) -> None:
    confirmed = changed(ONE, stage=Stage.CONFIRMED, lines=(a_line(1), a_line(2, "P-1", 5)))
    await world.save([confirmed])
    await world.push()
    [entry] = await world.query("SELECT Id FROM PricebookEntry WHERE Product2.External_Key__c = 'P-2'")
    await world.service.client.control.run(
        lambda org: org.PricebookEntry.update(entry["Id"], {"IsActive": False})  # type: ignore[attr-defined]
    )
    await world.save([replace(confirmed, lines=(a_line(1, "P-2"), a_line(2, "P-1", 9)))])
    await world.push()
    assert await refusals(world) == [("A-1", "FIELD_INTEGRITY_EXCEPTION", "line A-1-1")]
    order = await world.order("A-1")
    assert {key: line["Quantity"] for key, line in order["lines"].items()} == {"A-1-1": 1, "A-1-2": 5}
    await world.save([confirmed])
    await settled(world)
    order = await world.order("A-1")
    assert {key: line["Quantity"] for key, line in order["lines"].items()} == {"A-1-1": 1, "A-1-2": 5}
    assert order["Status"] == "Activated"


async def test_reference_like_key_refuses_only_its_own_order(world: World) -> None:
    await world.save([an_order("SO-@{x}", stage=Stage.PLACED, lines=(a_line(1),)), ONE])
    forecast = await world.push(dry_run=True)
    assert [letter.key for letter in forecast.refusals] == ["SO-@{x}"]
    await world.push()
    assert await refusals(world) == [("SO-@{x}", "INVALID_INPUT", "order SO-@{x}")]
    assert await world.count("Order") == 1


async def test_worker_frozen_past_its_lease_sends_nothing_more(
    world: World, org: LocalOrg, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.save([ONE])
    await world.push()
    await world.save([changed(ONE, notes="first")])
    real = world.service.client._transport.send
    taken: list[int] = []

    async def frozen(method: str, path: str, **named: Any) -> Any:
        """The first write goes unanswered, and the process sleeps while another one takes over."""
        if method == "PATCH" and not taken:
            taken.append(1)
            org.org.faults.configure({"status": 503, "count": 1})
            answer = await real(method, path, **named)
            renew = leases.renew
            asleep: set[str] = set()

            async def not_by_us(store: Store, owner: str, *terms: Any) -> bool:
                asleep.update([] if asleep else [owner])
                return owner not in asleep and await renew(store, owner, *terms)

            monkeypatch.setattr(leases, "renew", not_by_us)  # it cannot prolong while it sleeps
            await asyncio.sleep(2.2)  # longer than the lease
            await _take_over(world, org, database_url)
            monkeypatch.setattr(leases, "renew", renew)
            return answer
        return await real(method, path, **named)

    monkeypatch.setattr(world.service.client._transport, "send", frozen)
    with pytest.raises(LeaseLostError):
        await world.push()
    monkeypatch.undo()
    assert (await world.order("A-1"))["Description"] == "second"
    await settled(world)
    assert (await world.order("A-1"))["Description"] == "second"


async def test_worker_frozen_but_not_replaced_continues(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.save([ONE])
    real = world.service.client._transport.send
    slept: list[int] = []

    async def frozen(method: str, path: str, **named: Any) -> Any:
        """The whole process stands still before the answer of its first call arrives."""
        answer = await real(method, path, **named)
        if "/composite" in path and not slept:
            slept.append(1)
            time.sleep(2.2)  # noqa: ASYNC251  -- standing still is the point
        return answer

    monkeypatch.setattr(world.service.client._transport, "send", frozen)
    assert (await world.push()).in_sync
    assert slept


async def _take_over(world: World, org: LocalOrg, database_url: str) -> None:
    await world.save([changed(ONE, notes="second")])
    async with running_service(settings_for(org, database_url)) as other:
        await other.push(Silent())


async def test_order_canceled_before_it_was_sent_arrives_canceled(world: World) -> None:
    await world.save([changed(ONE, stage=Stage.CANCELED)])
    await settled(world)
    [row] = await world.query("SELECT Status, Lifecycle_Stage__c FROM Order")
    assert (row["Status"], row["Lifecycle_Stage__c"]) == ("Draft", "canceled")


async def test_status_of_a_canceled_order_is_known_after_a_read_back(world: World) -> None:
    confirmed = changed(ONE, stage=Stage.CONFIRMED, lines=(a_line(1), a_line(2)))
    await world.save([confirmed])
    await world.push()
    await world.save([replace(confirmed, stage=Stage.CANCELED)])
    world.org.org.faults.lost_response = 5
    await world.push()
    world.org.org.faults.clear()
    await settled(world)
    await world.save([replace(confirmed, stage=Stage.CANCELED, lines=(a_line(1),))])
    await settled(world)
    order = await world.order("A-1")
    assert (order["Status"], set(order["lines"])) == ("Activated", {"A-1-1"})


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (LineInput(number=1, sku="P-1", quantity=Decimal("1.555"), unit_price=Decimal(100)), "OrderItem.Quantity"),
        (LineInput(number=1, sku="P-1", quantity=Decimal("0.001"), unit_price=Decimal(100)), "OrderItem.Quantity"),
        (LineInput(number=1, sku="P-1", quantity=Decimal("0.01"), unit_price=Decimal("10.0001"),
                   discount=Decimal("0.12345")), "OrderItem.Discount_Percent__c"),
    ],
)  # fmt: skip
async def test_amount_with_too_many_decimals_is_refused(world: World, line: LineInput, field: str) -> None:
    await world.save([replace(ONE, lines=(line,))])
    await world.push()
    [letter] = await world.dead_letters()
    assert (letter.refusal.code, letter.refusal.field) in {
        ("WOULD_BE_ROUNDED", field), ("WOULD_BE_ROUNDED", "Order.Exact_Total__c"),
    }  # fmt: skip


async def test_totals_with_six_decimals_arrive_exactly(world: World) -> None:
    discount = Decimal("0.12")
    line = LineInput(number=1, sku="P-1", quantity=Decimal("1.55"), unit_price=Decimal("10.01"), discount=discount)
    await world.save([replace(ONE, lines=(line,))])
    await settled(world)
    order = await world.order("A-1")
    assert Decimal(str(order["Exact_Total__c"])) == Decimal("13.653640")
    assert Decimal(str(order["lines"]["A-1-1"]["Exact_Total__c"])) == Decimal("13.653640")


async def test_orders_that_use_customer_values_are_resent_when_the_customer_changes(
    org: LocalOrg, database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "mappings"
    (folder / "values").mkdir(parents=True)
    for file in (ROOT / "mappings").rglob("*.yaml"):
        text = file.read_text()
        if file.name == "order.yaml":
            text = text.replace(
                "Ship_To_Name__c: {path: ship_to_name, owner: newest}", "Ship_To_Name__c: customer.name"
            )
            text = text.replace(
                "      Line_Number__c: number\n", "      Line_Number__c: number\n      Description: product.name\n"
            )
        (folder / file.relative_to(ROOT / "mappings")).write_text(text)
    assert load_mappings(folder).order.depends_on == {"customer", "product"}
    assert load_mappings(ROOT / "mappings").order.depends_on == set()
    settings = settings_for(org, database_url).model_copy(update={"mappings_dir": folder})
    async with running_service(settings) as service:
        world = World(org, service)
        await world.save([ONE])
        await world.push()
        renamed = [replace(CUSTOMERS[0], name="Renamed"), *CUSTOMERS[1:]]
        await world.save(some_customers=renamed, some_products=[replace(PRODUCTS[0], name="Tea"), *PRODUCTS[1:]])
        await settled(world)
        [row] = await world.query("SELECT Ship_To_Name__c, (SELECT Description FROM OrderItems) FROM Order")
        assert row["Ship_To_Name__c"] == "Renamed"
        assert row["OrderItems"]["records"][0]["Description"] == "Tea"


async def test_resync_by_key_corrects_our_fields_and_keeps_what_a_rep_wrote_into_shared_ones(world: World) -> None:
    await world.save([ONE])
    await world.push()
    await world.change_in_org("Order", "A-1", Description="by hand", Exact_Total__c=7)
    await make_due(world.service.store, EntityKind.ORDER, ["A-1"])
    await settled(world)
    order = await world.order("A-1")
    assert (order["Description"], order["Exact_Total__c"]) == ("by hand", 10)
    async with world.service.store.reader() as connection:
        [here] = await orders.load(connection, ["A-1"])
    assert here.header.notes == "by hand"


async def test_removed_price_is_reported_by_a_dry_run_and_its_return_requeues_the_order(world: World) -> None:
    await world.save()
    await world.push()
    without = [Product(sku="P-1", name=PRODUCTS[0].name), *PRODUCTS[1:]]
    await world.save(some_products=without)
    await world.push()
    await world.save([ONE], some_products=without)
    forecast = await world.push(dry_run=True)
    assert [letter.refusal.record for letter in forecast.refusals] == ["product P-1"]
    await world.push()
    assert await refusals(world) == [("A-1", "REQUIRED_FIELD_MISSING", "product P-1")]
    priced = [replace(without[0], prices=(Price(currency="USD", unit_price=Decimal(14)),)), *PRODUCTS[1:]]
    await world.save(some_products=priced)
    await settled(world)
    assert set((await world.order("A-1"))["lines"]) == {"A-1-1"}


async def test_existing_lines_stay_when_their_price_is_removed(world: World) -> None:
    await world.save([ONE])
    await world.push()
    without = [Product(sku="P-1", name=PRODUCTS[0].name), *PRODUCTS[1:]]
    await world.save([changed(ONE, notes="later")], some_products=without)
    await settled(world)
    assert (await world.order("A-1"))["Description"] == "later"
