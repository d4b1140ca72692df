"""Customers without a company: person accounts if the org has them, else business accounts with the full name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from connector.cli.localorg import our_metadata
from connector.demo.sample_orders import orders as sample_orders
from connector.jobs.resync import make_due
from connector.localorg.org import OrgOptions
from connector.localorg.seed import SeedRecords
from connector.localorg.seed_file import read_seed_file
from connector.localorg.server import LocalOrg
from connector.localorg.settings import OrgSettings, RecordType
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.record import LAST_SYNCED
from connector.model.stage import Stage
from connector.service import running_service
from connector.store.tables import org_catalog
from tests.databases import Databases
from tests.flow.conftest import PRODUCTS, World, settings_for
from tests.flow.test_push import an_order
from tests.order_builders import changed

ORGS = Path(__file__).parents[2] / "fixtures" / "orgs"
PERSONS = read_seed_file(ORGS / "person-accounts.yaml").settings
"""An org in which an account is a person's unless it is told otherwise."""

BUSINESS = OrgSettings(person_accounts=True)
"""An org in which an account is a company's unless it is told otherwise."""

COMPANY = Customer(number="C-1", name="Alder & Finch", email="office@alder.example", city="Portland")
ANA = Customer(
    number="C-2", name="Ana Trujillo", first_name="Ana", last_name="Trujillo", email="ana@trujillo.example",
    phone="+52 5 555 4729", street="Avda. 22", city="México D.F.", postal_code="05021", country="Mexico",
)  # fmt: skip


@asynccontextmanager
async def world_of(settings: OrgSettings, url: str, records: SeedRecords | None = None) -> AsyncIterator[World]:
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata(), settings=settings, records=records)) as org,
        running_service(settings_for(org, url)) as service,
    ):
        yield World(org, service)


@pytest.fixture
async def persons(database_url: str) -> AsyncIterator[World]:
    async with world_of(PERSONS, database_url) as world:
        yield world


async def accounts(world: World) -> dict[str, dict[str, Any]]:
    """What the org has, by customer number."""
    rows = await world.query(
        "SELECT Id, External_Key__c, Name, FirstName, LastName, IsPersonAccount, PersonEmail, Phone, BillingCity,"
        " RecordType.DeveloperName, PersonContact.Email FROM Account"
    )
    return {row["External_Key__c"]: row for row in rows}


def crowd(count: int, *, persons: bool = True) -> list[Customer]:
    """Customers, every second of them a person."""
    return [
        Customer(number=f"M-{number:03}", name=f"Eva Berg {number}", first_name="Eva", last_name=f"Berg {number}")
        if persons and number % 2
        else Customer(number=f"M-{number:03}", name=f"Berg {number} Ltd")
        for number in range(count)
    ]


@pytest.mark.parametrize("settings", [PERSONS, BUSINESS], ids=["persons by default", "companies by default"])
async def test_person_becomes_a_person_account_and_company_a_business_account(
    settings: OrgSettings, database_url: str
) -> None:
    async with world_of(settings, database_url) as world:
        await world.save([an_order("A-1"), an_order("A-2", customer="C-2")], some_customers=[COMPANY, ANA])
        assert (await world.push()).in_sync
        found = await accounts(world)
        assert {key: row["IsPersonAccount"] for key, row in found.items()} == {"C-1": False, "C-2": True}
        ana = found["C-2"]
        assert (ana["Name"], ana["FirstName"], ana["LastName"]) == ("Ana Trujillo", "Ana", "Trujillo")
        assert (ana["PersonEmail"], ana["Phone"], ana["BillingCity"]) == (ANA.email, ANA.phone, ANA.city)
        assert ana["PersonContact"]["Email"] == ANA.email
        assert (found["C-1"]["Name"], found["C-1"]["LastName"]) == ("Alder & Finch", None)
        assert (await world.order("A-2"))["Account"]["Name"] == "Ana Trujillo"
        assert (await world.order("A-2"))["Status"] == "Activated"
        [order] = await world.query("SELECT AccountId FROM Order WHERE External_Key__c = 'A-2'")
        assert order["AccountId"] == ana["Id"]


async def test_person_in_an_org_without_person_accounts_is_an_account_with_the_full_name(world: World) -> None:
    await world.save([an_order("A-2", customer="C-2")], some_customers=[ANA])
    assert (await world.push()).in_sync
    rows = await world.query("SELECT Name, Contact_Email__c FROM Account")
    assert [(row["Name"], row["Contact_Email__c"]) for row in rows] == [("Ana Trujillo", ANA.email)]
    await make_due(world.service.store, None, [])
    before = world.writes
    assert (await world.push()).in_sync
    assert world.writes == before


async def test_person_record_type_not_available_to_our_user_is_ignored(database_url: str) -> None:
    types = [RecordType(name="Company", default=True), RecordType(name="Patient", person=True, available=False)]
    async with world_of(OrgSettings(person_accounts=True, record_types={"Account": types}), database_url) as world:
        await world.save([an_order("A-2", customer="C-2")], some_customers=[ANA])
        assert (await world.push()).in_sync
        assert (await accounts(world))["C-2"]["IsPersonAccount"] is False


async def test_company_is_refused_if_our_user_can_create_only_persons(
    database_url: str,
) -> None:
    types = [RecordType(name="Consumer", person=True, default=True), RecordType(name="Company", available=False)]
    async with world_of(OrgSettings(person_accounts=True, record_types={"Account": types}), database_url) as world:
        await world.save([an_order("A-1"), an_order("A-2", customer="C-2")], some_customers=[COMPANY, ANA])
        await world.push()
        [letter] = await world.dead_letters()
        assert (letter.key, letter.refusal.record) == ("A-1", "customer C-1")
        assert "person's" in letter.refusal.message
        assert "Ask an admin" in letter.refusal.fix
        assert (await world.order("A-2"))["Account"]["Name"] == "Ana Trujillo"


async def test_two_hundred_mixed_customers_cost_no_more_calls_than_companies(
    persons: World, databases: Databases
) -> None:
    async def cost(world: World, customers: Sequence[Customer]) -> tuple[int, int]:
        orders = [changed(order, stage=Stage.SHIPPED) for order in sample_orders(customers, PRODUCTS, count=80)]
        await world.save(orders, some_customers=customers)
        summary = await world.push()
        assert summary.in_sync
        assert await world.count("Account") == len(customers)
        return summary.writes, summary.reads

    mixed = await cost(persons, crowd(200))
    async with world_of(PERSONS, databases.migrated()) as other:
        assert mixed == await cost(other, crowd(200, persons=False))
    found = await accounts(persons)
    assert sum(row["IsPersonAccount"] for row in found.values()) == 100
    assert found["M-001"]["Name"] == "Eva Berg 1"
    assert found["M-002"]["RecordType"]["DeveloperName"] == "Company"
    before = persons.writes
    await make_due(persons.service.store, None, [])
    assert (await persons.push()).in_sync
    assert persons.writes == before


async def test_person_account_needed_by_several_orders_is_written_first(persons: World) -> None:
    await persons.save([an_order(f"A-{number}", customer="C-2") for number in range(5)], some_customers=[ANA])
    assert (await persons.push()).in_sync
    assert await persons.count("Account") == 1
    assert (await persons.order("A-4"))["Account"]["Name"] == "Ana Trujillo"


async def test_changed_field_of_a_person_is_sent_alone(persons: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await persons.save([an_order("A-2", customer="C-2")], some_customers=[COMPANY, ANA])
    await persons.push()
    sent: list[Any] = []
    update = persons.service.client.collections_update

    async def spy(rows: Any) -> Any:
        sent.extend({name: value for name, value in fields.items() if name != LAST_SYNCED} for _, _, fields in rows)
        return await update(rows)

    monkeypatch.setattr(persons.service.client, "collections_update", spy)
    before = persons.writes
    married = replace(ANA, last_name="Ortiz", name="Ana Ortiz")
    await persons.save(some_customers=[replace(COMPANY, city="Salem"), married])
    assert (await persons.push()).in_sync
    assert persons.writes == before + 1
    keyed = {"C-1": {"BillingCity": "Salem"}, "C-2": {"LastName": "Ortiz"}}
    assert {fields.pop("External_Key__c"): fields for fields in sent} == keyed
    assert (await accounts(persons))["C-2"]["Name"] == "Ana Ortiz"


async def test_resync_by_key_corrects_a_person_account_changed_in_the_org(persons: World) -> None:
    await persons.save([an_order("A-2", customer="C-2")], some_customers=[ANA])
    await persons.push()
    account = (await accounts(persons))["C-2"]["Id"]
    await persons.service.client.collections_update([("Account", account, {"LastName": "Wrong"})])
    await make_due(persons.service.store, EntityKind.CUSTOMER, ["C-2"])
    assert (await persons.push()).in_sync
    assert (await accounts(persons))["C-2"]["Name"] == "Ana Trujillo"


async def test_second_connector_finds_the_person_by_its_key(persons: World, databases: Databases) -> None:
    await persons.save([an_order("A-2", customer="C-2")], some_customers=[ANA])
    await persons.push()
    async with running_service(settings_for(persons.org, databases.migrated())) as service:
        second = World(persons.org, service)
        await second.save([an_order("A-2", customer="C-2")], some_customers=[ANA])
        assert (await second.push()).in_sync
        assert await second.count("Account") == 1
        assert await second.count("Order") == 1


async def test_dry_run_reports_the_calls_of_the_push_that_follows(persons: World) -> None:
    await persons.save([an_order("A-1"), an_order("A-2", customer="C-2")], some_customers=[COMPANY, ANA])
    forecast = await persons.push(dry_run=True)
    assert await persons.count("Account") == 0
    pushed = await persons.push()
    assert (forecast.writes, forecast.dead_letters) == (pushed.writes, 0)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (COMPANY, replace(COMPANY, first_name="Ana", last_name="Alder", name="Ana Alder"), "is a person by now"),
        (replace(ANA, number="C-1"), COMPANY, "is a company by now"),
    ],
)
async def test_customer_that_changes_its_type_is_refused_with_its_new_orders(
    persons: World, before: Customer, after: Customer, said: str
) -> None:
    await persons.save([an_order("A-1", stage=Stage.CONFIRMED)], some_customers=[before])
    await persons.push()
    writes = persons.writes
    await persons.save(some_customers=[after])
    await persons.push()
    [letter] = await persons.dead_letters()
    assert (letter.entity, letter.key) == (EntityKind.CUSTOMER, "C-1")
    assert said in letter.refusal.message
    assert "customer number of its own" in letter.refusal.fix
    assert "connector resync customer C-1" in letter.refusal.fix
    assert persons.writes == writes

    await persons.save([an_order("A-1", notes="Ring twice"), an_order("A-9")], some_customers=[after])
    await persons.push()
    letters = {letter.key: letter.refusal for letter in await persons.dead_letters()}
    assert said in letters["A-9"].message
    assert letters["A-9"].record == "customer C-1"
    assert (await persons.order("A-1"))["Description"] == "Ring twice"  # what is there goes on

    await persons.save(some_customers=[before])
    assert (await persons.push()).in_sync
    assert (await persons.order("A-9"))["Status"] == "Activated"
    assert persons.writes > writes


async def test_account_converted_in_the_org_is_adopted_by_a_resync(persons: World) -> None:
    await persons.save([an_order("A-1")], some_customers=[COMPANY])
    await persons.push()
    ana = replace(ANA, number="C-1")
    await persons.save([an_order("A-9")], some_customers=[ana])
    await persons.push()
    assert (await persons.dead_letters())[0].key == "A-9"
    convert(persons, "C-1")
    await make_due(persons.service.store, EntityKind.CUSTOMER, ["C-1"])
    await persons.push()
    await persons.replay()
    assert (await persons.push()).in_sync
    found = await accounts(persons)
    assert (found["C-1"]["Name"], found["C-1"]["IsPersonAccount"]) == ("Ana Trujillo", True)
    assert (await persons.order("A-9"))["Account"]["Name"] == "Ana Trujillo"


def convert(world: World, customer: str, to: str = "Consumer") -> None:
    """As an admin can convert an account of one contact (not by our API user, and not in the local org's API)."""
    dml = world.org.org.dml
    with dml.storage.transaction():
        account = dml.scalar('SELECT "Id" FROM "Account" WHERE "External_Key__c" = ?', customer)
        of_persons = dml.scalar('SELECT "Id" FROM "RecordType" WHERE "DeveloperName" = ?', to)
        contact = dml.platform_insert("Contact", LastName="Trujillo", AccountId=account, IsPersonAccount=1)
        values = {"RecordTypeId": of_persons, "IsPersonAccount": 1, "LastName": "Trujillo", "PersonContactId": contact}
        dml.platform_update("Account", account, values)


async def test_key_of_an_account_of_the_other_type_is_refused(database_url: str) -> None:
    records = {"Account": [{"Name": "Trujillo Ltd", "External_Key__c": "C-2"}]}
    async with world_of(BUSINESS, database_url, records=records) as world:
        await world.save([an_order("A-1"), an_order("A-2", customer="C-2")], some_customers=[COMPANY, ANA])
        await world.push()
        [letter] = await world.dead_letters()
        assert (letter.key, letter.refusal.record) == ("A-2", "customer C-2")
        assert "of the other kind (company or person)" in letter.refusal.fix
        assert (letter.refusal.source or "").startswith("mappings/person.yaml:")
        assert [row["Name"] for row in await world.query("SELECT Name FROM Account ORDER BY Name")] == [
            "Alder & Finch", "Trujillo Ltd",
        ]  # fmt: skip


async def test_persons_sent_before_the_org_had_person_accounts_stay_business_accounts(
    database_url: str, tmp_path: Path
) -> None:
    """Nobody's orders stop because an admin has switched something on."""
    kept = tmp_path / "org.db"
    async with org_kept_in(kept) as org, running_service(settings_for(org, database_url)) as service:
        world = World(org, service)
        await world.save([an_order("A-1", customer="C-2")], some_customers=[ANA])
        assert (await world.push()).in_sync
    async with org_kept_in(kept, BUSINESS) as org, running_service(settings_for(org, database_url)) as service:
        world = World(org, service)
        await an_hour_later(world)
        eva = replace(ANA, number="C-3", first_name="Eva", name="Eva Trujillo")
        married = replace(ANA, last_name="Ortiz", name="Ana Ortiz")
        await world.save(
            [an_order("A-2", customer="C-2"), an_order("A-3", customer="C-3")], some_customers=[married, eva]
        )
        assert (await world.push()).in_sync
        found = await accounts(world)
        assert (found["C-2"]["Name"], found["C-2"]["IsPersonAccount"]) == ("Ana Ortiz", False)
        assert (found["C-3"]["Name"], found["C-3"]["IsPersonAccount"]) == ("Eva Trujillo", True)

        convert(world, "C-2", "PersonAccount")
        await world.save(some_customers=[ANA, eva])
        assert (await world.push()).in_sync
        found = await accounts(world)
        assert (found["C-2"]["Name"], found["C-2"]["IsPersonAccount"]) == ("Ana Trujillo", True)


@asynccontextmanager
async def org_kept_in(file: Path, settings: OrgSettings | None = None) -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata(), data=file, settings=settings)) as org:
        yield org


async def an_hour_later(world: World) -> None:
    """What the org said of itself is asked for anew."""
    async with world.service.store.transaction() as uow:
        await uow.connection.execute(delete(org_catalog))
