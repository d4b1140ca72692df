"""Seed settings of an org (H1, H3, H5, H8, H11, B8): statuses, record types, currencies, rules, records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.seed_file import InvalidSeedFileError, read_seed_file
from connector.localorg.server import LocalOrg
from connector.localorg.settings import (
    Currency,
    DuplicateRule,
    OrderStatusValue,
    OrgSettings,
    RecordType,
    SeedError,
    ValidationRule,
)
from tests.org.conftest import Caller

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def running(settings: OrgSettings | None, **more: Any) -> AsyncIterator[Caller]:
    async with (
        LocalOrg(OrgOptions(**{"metadata_root": our_metadata(), "settings": settings} | more)) as org,
        aiohttp.ClientSession() as http,
    ):
        yield Caller(org, http)


async def record_type(caller: Caller, name: str) -> str:
    [row] = await caller.query(f"SELECT Id FROM RecordType WHERE DeveloperName = '{name}'")
    return str(row["Id"])


async def test_order_statuses_have_the_declared_category() -> None:
    """H3: an administrator adds values for Draft and Activated; the category decides, never the label."""
    names = {"New": "Draft", "In review": "Draft", "Released": "Activated", "Shipped": "Activated"}
    statuses = [OrderStatusValue(name=name, category=category) for name, category in names.items()]  # type: ignore[arg-type]
    async with running(OrgSettings(order_statuses=statuses)) as caller:
        rows = await caller.query("SELECT ApiName, StatusCode FROM OrderStatus ORDER BY SortOrder")
        assert {row["ApiName"]: row["StatusCode"] for row in rows} == names
        account = await caller.create("Account", Name="A")
        body = {"AccountId": account, "EffectiveDate": "2026-01-01", "Status": "Draft"}
        assert (await caller.refusal("POST", "sobjects/Order", body))[1] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
        assert (await caller.refusal("POST", "sobjects/Order", body | {"Status": "Shipped"}))[1] == "FAILED_ACTIVATION"
        _, entry = await caller.priced_product()
        order = await caller.draft(Status="In review")
        await caller.create("OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=1, UnitPrice=1)
        for status, category in (("New", "Draft"), ("Shipped", "Activated"), ("Released", "Activated")):
            assert (await caller.call("PATCH", f"sobjects/Order/{order}", {"Status": status}))[0] == 204
            [row] = await caller.query("SELECT StatusCode FROM Order")
            assert row["StatusCode"] == category


async def test_record_types_are_described_defaulted_and_checked() -> None:
    """B4: recordTypeInfos; H1: RecordTypeId exists only where record types do."""
    types = {"Order": [RecordType(name="Usual", default=True), RecordType(name="Swap", label="Replacement")]}
    async with running(OrgSettings(record_types=types)) as caller:
        _, described = await caller.call("GET", "sobjects/Order/describe")
        assert [(item["developerName"], item["defaultRecordTypeMapping"]) for item in described["recordTypeInfos"]] == [
            ("Swap", False), ("Usual", True), ("Master", False),
        ]  # fmt: skip
        _, other = await caller.call("GET", "sobjects/Contact/describe")
        assert [item["developerName"] for item in other["recordTypeInfos"]] == ["Master"]
        assert "RecordTypeId" not in {field["name"] for field in other["fields"]}
        await caller.draft()
        await caller.draft(RecordTypeId=await record_type(caller, "Swap"))
        rows = await caller.query("SELECT RecordType.Name FROM Order ORDER BY OrderNumber")
        assert [row["RecordType"]["Name"] for row in rows] == ["Usual", "Replacement"]
        unknown = {"RecordTypeId": "012000000000999AAA"}
        [order, _] = await caller.query("SELECT Id FROM Order")
        refused = await caller.refusal("PATCH", f"sobjects/Order/{order['Id']}", unknown)
        assert refused[:2] == (400, "INVALID_CROSS_REFERENCE_KEY")


async def test_unavailable_record_type_cannot_be_assigned() -> None:
    """B4: `available` in recordTypeInfos."""
    types = {
        "Account": [RecordType(name="Company", default=True), RecordType(name="Patient", person=True, available=False)]
    }
    async with running(OrgSettings(person_accounts=True, record_types=types)) as caller:
        _, described = await caller.call("GET", "sobjects/Account/describe")
        usable = {item["developerName"]: item["available"] for item in described["recordTypeInfos"]}
        assert usable == {"Company": True, "Patient": False, "Master": True}
        patient = {"RecordTypeId": await record_type(caller, "Patient"), "LastName": "Trujillo"}
        assert (await caller.refusal("POST", "sobjects/Account", patient))[1] == "INVALID_CROSS_REFERENCE_KEY"


async def test_person_account_has_a_mirrored_contact() -> None:
    """H8: LastName instead of Name, IsPersonAccount and PersonContactId read-only, X__pc for a contact's X__c."""
    async with running(OrgSettings(person_accounts=True)) as caller:
        person_type = await record_type(caller, "PersonAccount")
        given = {
            "RecordTypeId": person_type,
            "FirstName": "Ana",
            "LastName": "Trujillo",
            "PersonEmail": "a@example.com",
        }
        person = await caller.create("Account", **given)
        [row] = await caller.query(
            "SELECT Name, IsPersonAccount, PersonContactId, PersonContact.Email, PersonContact.IsPersonAccount"
            " FROM Account"
        )
        assert (row["Name"], row["IsPersonAccount"]) == ("Ana Trujillo", True)
        assert row["PersonContact"] | {"attributes": 0} == {
            "Email": "a@example.com", "IsPersonAccount": True, "attributes": 0
        }  # fmt: skip
        contact = row["PersonContactId"]
        await caller.call(
            "PATCH", f"sobjects/Account/{person}", {"LastName": "Emparedados", "PersonMailingCity": "Lima"}
        )
        [row] = await caller.query("SELECT Name, MailingCity, AccountId FROM Contact")
        assert (row["Name"], row["MailingCity"], row["AccountId"]) == ("Ana Emparedados", "Lima", person)
        await caller.draft(AccountId=person, BillToContactId=contact)
        for method, path, body, code in (
            ("POST", "sobjects/Account", given | {"Name": "X"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
            ("POST", "sobjects/Account", {"Name": "X", "LastName": "Y"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
            ("POST", "sobjects/Account", {"RecordTypeId": person_type}, "REQUIRED_FIELD_MISSING"),
            ("POST", "sobjects/Account", {}, "REQUIRED_FIELD_MISSING"),
            ("PATCH", f"sobjects/Account/{person}", {"Name": "X"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
            ("PATCH", f"sobjects/Account/{person}", {"IsPersonAccount": False}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
            ("PATCH", f"sobjects/Contact/{contact}", {"LastName": "Z"}, "INSUFFICIENT_ACCESS_OR_READONLY"),
            ("DELETE", f"sobjects/Contact/{contact}", None, "INSUFFICIENT_ACCESS_OR_READONLY"),
        ):
            assert (await caller.refusal(method, path, body))[1] == code, (method, path, body)
        business = await caller.create("Account", Name="Company")
        [row] = await caller.query(
            f"SELECT IsPersonAccount, RecordType.DeveloperName FROM Account WHERE Id = '{business}'"
        )
        assert (row["IsPersonAccount"], row["RecordType"]["DeveloperName"]) == (False, "Business_Account")


async def test_fields_of_person_accounts_are_absent_without_the_setting(caller: Caller) -> None:
    """H8: selecting them is INVALID_FIELD."""
    assert (await caller.refusal("GET", "query?q=SELECT+IsPersonAccount+FROM+Account"))[1] == "INVALID_FIELD"


async def test_row_matching_a_validation_rule_is_rejected_with_its_message() -> None:
    """B8: FIELD_CUSTOM_VALIDATION_EXCEPTION; the condition sees the row after the write, and its parents."""
    rule = ValidationRule(
        name="R", sobject="Order", condition="Account.Name LIKE 'big%' AND (PoNumber = null OR Type = 'x')",
        message="Large customers need a purchase order number.", field="PoNumber",
    )  # fmt: skip
    async with running(OrgSettings(validation_rules=[rule])) as caller:
        small, large = [await caller.create("Account", Name=name) for name in ("Small", "BIG Ltd")]
        await caller.draft(AccountId=small)
        order = await caller.draft(AccountId=large, PoNumber="7")
        for body in ({"PoNumber": None}, {"Type": "X"}):
            status, [error] = await caller.call("PATCH", f"sobjects/Order/{order}", body)
            assert (status, error) == (400, {
                "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": rule.message, "fields": ["PoNumber"],
            })  # fmt: skip
        sent = {"records": [{"attributes": {"type": "Order"}, "id": order, "PoNumber": None}]}
        _, [row] = await caller.call("PATCH", "composite/sobjects", sent)
        assert row["errors"][0]["statusCode"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
        assert (await caller.call("PATCH", f"sobjects/Order/{order}", {"Name": "n"}))[0] == 204


async def test_order_line_in_another_currency_is_rejected() -> None:
    """H3, H11: CurrencyIsoCode exists; a line's entry must be in the order's currency."""
    currencies = {"EUR": Currency(), "JPY": Currency(rate=160, decimal_places=0)}
    async with running(OrgSettings(currency="EUR", currencies=currencies)) as caller:
        rows = await caller.query("SELECT IsoCode, DecimalPlaces, IsCorporate FROM CurrencyType ORDER BY IsoCode")
        assert [(row["IsoCode"], row["DecimalPlaces"], row["IsCorporate"]) for row in rows] == [
            ("EUR", 2, True), ("JPY", 0, False),
        ]  # fmt: skip
        product, euros = await caller.priced_product()
        book = await caller.standard_price_book()
        yen = await caller.create(
            "PricebookEntry",
            Pricebook2Id=book,
            Product2Id=product,
            UnitPrice=1600,
            IsActive=True,
            CurrencyIsoCode="JPY",
        )
        order = await caller.draft(CurrencyIsoCode="JPY")
        line = {"OrderId": order, "Quantity": 1, "UnitPrice": 1600}
        refused = await caller.refusal("POST", "sobjects/OrderItem", line | {"PricebookEntryId": euros})
        assert refused[1] == "FIELD_INTEGRITY_EXCEPTION"
        await caller.create("OrderItem", **line, PricebookEntryId=yen)
        assert (await caller.query("SELECT CurrencyIsoCode FROM OrderItem"))[0]["CurrencyIsoCode"] == "JPY"


async def test_inactive_currency_is_rejected() -> None:
    """B8: INVALID_CURRENCY_ISO; CurrencyType tells which are active."""
    currencies = {"EUR": Currency(), "USD": Currency(active=False)}
    async with running(OrgSettings(currency="EUR", currencies=currencies)) as caller:
        rows = await caller.query("SELECT IsoCode FROM CurrencyType WHERE IsActive = true")
        assert [row["IsoCode"] for row in rows] == ["EUR"]
        dollars = {"Name": "A", "CurrencyIsoCode": "USD"}
        assert (await caller.refusal("POST", "sobjects/Account", dollars))[1] == "INVALID_CURRENCY_ISO"


@pytest.mark.parametrize("off", ["orders", "return_orders"])
async def test_disabled_object_does_not_exist(off: str) -> None:
    """B8, H3, H7: INVALID_TYPE in SOQL, NOT_FOUND as a resource."""
    name = "Order" if off == "orders" else "ReturnOrder"
    async with running(OrgSettings(**{off: False}), metadata_root=None) as caller:  # type: ignore[arg-type]
        assert (await caller.refusal("GET", f"query?q=SELECT+Id+FROM+{name}"))[:2] == (400, "INVALID_TYPE")
        assert (await caller.refusal("POST", f"sobjects/{name}", {}))[:2] == (404, "NOT_FOUND")
        _, described = await caller.call("GET", "sobjects/Account/describe")
        assert name not in {child["childSObject"] for child in described["childRelationships"]}
        account = await caller.create("Account", Name="A")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            for page in (caller.org.page_url, f"{caller.org.url}/accounts/{account}", f"{caller.org.url}/orders"):
                async with http.get(page) as answer:
                    assert answer.status == (404 if off == "orders" and page.endswith("orders") else 200), page
        assert (await caller.call("DELETE", f"sobjects/Account/{account}"))[0] == 204


async def test_reduction_orders_can_be_disabled() -> None:
    """H4: without the setting the field exists and is read-only."""
    async with running(OrgSettings(reduction_orders=False)) as caller:
        order, _ = await caller.active_order()
        body = {"AccountId": await caller.create("Account", Name="A"), "EffectiveDate": "2026-01-01", "Status": "Draft",
                "IsReductionOrder": True, "OriginalOrderId": order}  # fmt: skip
        assert (await caller.refusal("POST", "sobjects/Order", body))[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


async def test_org_in_a_file_keeps_its_settings(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    settings = OrgSettings(person_accounts=True, currencies={"USD": Currency()})
    records = {"Account": [{"Name": "Acme", "External_Key__c": "C-1"}]}
    for given in (settings, None):
        async with running(given, data=file, records=records) as caller:
            assert len(await caller.query("SELECT Id, IsPersonAccount, CurrencyIsoCode FROM Account")) == 1
    with pytest.raises(SeedError, match="cannot be disabled"):
        LocalOrg(OrgOptions(data=file, settings=OrgSettings(currencies={"USD": Currency()})))


async def test_rejected_seed_records_leave_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    records: Mapping[str, list[dict[str, Any]]] = {"Account": [{"Name": "Good"}, {"Nome": "Bad"}]}
    with pytest.raises(SeedError, match=r"records\.Account\.1: INVALID_FIELD"):
        LocalOrg(OrgOptions(data=file, metadata_root=our_metadata(), records=dict(records)))
    async with running(None, data=file, records={"Account": [{"Name": "Good"}]}) as caller:
        assert len(await caller.query("SELECT Id FROM Account")) == 1


SEED = """\
currency: EUR
reduction_order: true
order_statuses:
  - {name: Draft, category: Draught}
validation_rules:
  - name: R
    sobject: Order
    condition: Nothing = 1
"""


def test_invalid_seed_file_reports_every_position(tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text(SEED)
    with pytest.raises(InvalidSeedFileError) as refused:
        read_seed_file(file)
    assert [line.removeprefix(str(file)) for line in refused.value.lines] == [
        ":4:19: order_statuses.0.category: Input should be 'Draft' or 'Activated'",
        ":6:5: validation_rules.0.message: is missing",
        ":2:1: reduction_order: is not a setting of an org",
    ]


@pytest.mark.parametrize("text", ["a: [", "- 1", "'x'", "a: 1\na: 2", "\x00"])
def test_unreadable_seed_file_is_reported_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSeedFileError) as refused:
        read_seed_file(file)
    assert len(refused.value.lines) == 1


def test_rule_of_an_unknown_field_is_reported_with_its_position(tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text(
        "validation_rules:\n"
        "  - {name: R, sobject: Order, condition: Nothing = 1, message: m, field: Nowhere}\n"
        "duplicate_rules:\n"
        "  - {name: D, sobject: Ordre, match: [Name]}\n"
        "currencies: {USD: {rate: 0}}\n"
        "records:\n"
        "  Account: [{Name: A, Since: 2026-01-01}]\n"
    )
    result = read_seed_file(file)
    assert result.records == {"Account": [{"Name": "A", "Since": result.records["Account"][0]["Since"]}]}
    with pytest.raises(SeedError) as refused:
        LocalOrg(OrgOptions(settings=result.settings))
    assert [line.removeprefix(str(file)).partition(" If you")[0] for line in result.problem_lines(refused.value)] == [
        ":5:14: currencies.USD: must have a rate above 0 and between 0 and 6 decimal places",
        ":2:67: validation_rules.0.field: Order has no field Nowhere",
        ":4:15: duplicate_rules.0.sobject: must be an object of this org that can be created: there is no Ordre",
        ":2:31: validation_rules.0.condition: SELECT Id FROM Order WHERE Nothing = 1 ^ ERROR at Row:1:Column:28 "
        "No such column 'Nothing' on entity 'Order'.",
    ]


async def test_example_seed_file_is_valid() -> None:
    result = read_seed_file(ROOT / "fixtures" / "orgs" / "two-currencies.yaml")
    async with running(result.settings, records=result.records) as caller:
        [row] = await caller.query("SELECT Name, Account.Name FROM Contact")
        assert (row["Name"], row["Account"]["Name"]) == ("Yang", "Chop-suey Chinese")
        assert (await caller.refusal("POST", "sobjects/Contact", {"LastName": ""}))[1] == "REQUIRED_FIELD_MISSING"


async def test_permission_set_grants_what_the_profile_lacks() -> None:
    """H3, I5: activation needs ActivateOrder, later changes EditActivatedOrders; ours has both."""
    settings = OrgSettings(profile_lacks=["ActivateOrder", "EditActivatedOrders"])
    async with running(settings) as caller:
        order, line = await caller.active_order()
        changes = [(f"sobjects/Order/{order}", {"PoNumber": "7"}), (f"sobjects/OrderItem/{line}", {"Quantity": 3})]
        for path, body in changes:
            assert (await caller.call("PATCH", path, body))[0] == 204
        [held] = await caller.query("SELECT Id FROM PermissionSetAssignment")
        await caller.call("DELETE", f"sobjects/PermissionSetAssignment/{held['Id']}")
        for path, body in changes:
            refused = await caller.refusal(
                "PATCH", path, {name: None if value == "7" else 4 for name, value in body.items()}
            )
            assert refused[1] == "INSUFFICIENT_ACCESS_OR_READONLY", path
        assert (await caller.call("PATCH", f"sobjects/Order/{order}", {"Status": "Draft"}))[0] == 204
        assert (await caller.call("PATCH", f"sobjects/Order/{order}", {"PoNumber": "8"}))[0] == 204
        refused = await caller.refusal("PATCH", f"sobjects/Order/{order}", {"Status": "Activated"})
        assert refused[1] == "INSUFFICIENT_ACCESS_OR_READONLY"


async def test_validation_rule_sees_hidden_fields() -> None:
    """B8: field-level security hides a field from the user, not from rules."""
    settings = OrgSettings(
        validation_rules=[ValidationRule(name="R", sobject="Account", condition="External_Key__c = 'X'", message="m")],
        duplicate_rules=[DuplicateRule(name="D", sobject="Account", match=["External_Key__c", "Name"])],
    )
    async with running(settings) as caller:
        account = await caller.create("Account", Name="A", External_Key__c="C-1")
        [held] = await caller.query("SELECT Id FROM PermissionSetAssignment")
        assert (await caller.call("DELETE", f"sobjects/PermissionSetAssignment/{held['Id']}"))[0] == 204
        assert (await caller.refusal("GET", "query?q=SELECT+External_Key__c+FROM+Account"))[1] == "INVALID_FIELD"
        assert (await caller.call("PATCH", f"sobjects/Account/{account}", {"Name": "B"}))[0] == 204
        await caller.create("Account", Name="B")
