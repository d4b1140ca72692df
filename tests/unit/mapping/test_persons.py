"""The two mappings of customers, for companies and for persons: which one is used, and the problems of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connector.mapping import check, load_mappings
from connector.model.customer import Customer
from connector.model.describe import RecordTypeDescribe
from connector.model.record import IS_PERSON, FieldValue, Link
from tests.unit.mapping.conftest import Folder, Org, field, reference

PERSON = "mappings/person.yaml"
TEXT = """\
entity: customer
sobject: Account
external_id: External_Key__c
fields:
  External_Key__c: number
  RecordType: {lookup: record_type, const: person}
  FirstName: first_name
  LastName: last_name
  PersonEmail: email
"""
CONSUMER, COMPANY = "012000000000001AAA", "012000000000002AAA"
PERSON_TYPES = frozenset({CONSUMER})
ANA = Customer(number="C-2", name="Ana Trujillo", first_name="Ana", last_name="Trujillo")
ALDER = Customer(number="C-1", name="Alder & Finch")


@pytest.fixture
def persons(folder: Folder) -> Folder:
    return folder.write("person.yaml", TEXT)


@pytest.fixture
def org(org: Org) -> Org:
    """An org with person accounts."""
    org.put(
        "Account",
        reference("RecordTypeId", "RecordType"),
        *(field(name) for name in ("FirstName", "LastName", "PersonEmail", "Nickname__pc")),
        field(IS_PERSON, "boolean", createable=False, updateable=False),
    )
    given = {"active": True, "available": True, "default": False, "master": False}
    types = (
        RecordTypeDescribe(id=CONSUMER, name="Consumer", **given),
        RecordTypeDescribe(id=COMPANY, name="Company", **given),
        RecordTypeDescribe(id="012000000000003AAA", name="Staff", **(given | {"available": False})),
        RecordTypeDescribe(id="012000000000000AAA", name="Master", **(given | {"master": True, "default": True})),
    )
    org.describes["Account"] = replace(org.describes["Account"], record_types=types)
    return org


def problems(folder: Folder, org: Org) -> list[str]:
    return check(folder.load().with_persons(True), org.describes, person_types=PERSON_TYPES)


def link(**snapshot: FieldValue) -> Link:
    return Link(entity="customer", key="C-2", sobject="Account", salesforce_id="001", snapshot=snapshot)


def test_company_and_person_mappings_fit_an_org_with_person_accounts(persons: Folder, org: Org) -> None:
    assert problems(persons, org) == []


def test_person_mapping_is_not_checked_in_an_org_without_person_accounts(persons: Folder, org: Org) -> None:
    for name in ("FirstName", "LastName", "PersonEmail", "RecordTypeId"):
        org.hide("Account", name)
    assert check(persons.load().with_persons(False), org.describes) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("PersonEmail:", "PersonEmial:", ":9:3: PersonEmial: is not a field of Account, or this"),
        ("FirstName:", "Name:", ":7:3: Name: is made of first and last name in a person's account: remove it."),
        ("  LastName: last_name\n", "", ":1:1: LastName: is required to create a person's account, and nothing maps"),
        ("const: person", "const: Persons", ":6:3: RecordType: `Persons` is no active record type of Account that this"
         " user may use: there are `Company`, `Consumer`."),
        ("const: person", "const: Staff", ":6:3: RecordType: `Staff` is no active record type"),
        ("const: person", "const: Company", ":6:3: RecordType: `Company` is for companies: name one for persons."),
    ],
)  # fmt: skip
def test_problem_of_the_person_mapping_is_reported_with_its_position(
    persons: Folder, org: Org, old: str, new: str, expected: str
) -> None:
    persons.edit("person.yaml", old, new)
    found = problems(persons, org)
    assert [problem for problem in found if problem.startswith(f"{PERSON}{expected}")], found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FirstName: first_name", ":6:3: FirstName: belongs to accounts of persons: map it in `person.yaml`."),
        ("Nickname__pc: tier", ":6:3: Nickname__pc: belongs to accounts of persons"),
        ("RecordType: {lookup: record_type, const: person}", ":6:3: RecordType: `person` is no active record type"),
        ("RecordType: {lookup: record_type, const: Consumer}", ":6:3: RecordType: `Consumer` is for persons: name one"),
    ],
)
def test_person_field_in_the_company_mapping_is_rejected(persons: Folder, org: Org, line: str, expected: str) -> None:
    persons.add_field(line, "customer.yaml")
    found = problems(persons, org)
    assert [problem for problem in found if problem.startswith(f"mappings/customer.yaml{expected}")], found


def test_person_mapping_with_another_object_or_key_is_rejected(persons: Folder) -> None:
    persons.edit("person.yaml", "sobject: Account", "sobject: Contact")
    assert persons.problems() == (f"{PERSON}:2:10: sobject: is not `Account`, as in customer.yaml: write the same.",)


def test_invalid_path_in_the_person_mapping_is_rejected_at_load(persons: Folder) -> None:
    [problem] = persons.edit("person.yaml", "last_name", "surname").problems()
    assert problem.startswith(f"{PERSON}:8:13: LastName: has the wrong path `surname`")


@pytest.mark.parametrize(
    ("customer", "made", "has", "person"),
    [
        (ANA, None, True, True),
        (ALDER, None, True, False),
        (ANA, None, False, None),
        (ANA, link(IsPersonAccount=True), True, True),
        (
            ANA,
            link(IsPersonAccount=True),
            False,
            True,
        ),  # our user cannot create person accounts any more, but this record is one
        (ANA, link(IsPersonAccount=False), True, True),  # refused later: a company has become a person
        (ALDER, link(IsPersonAccount=True), True, False),
        (ANA, link(Name="Ana Trujillo"), True, None),  # linked before the org had person accounts
    ],
)
def test_customer_is_mapped_by_the_mapping_of_its_account_type(
    persons: Folder, customer: Customer, made: Link | None, has: bool, person: bool | None
) -> None:
    record = persons.load().with_persons(has).map_customer(customer, made)
    assert record is not None
    assert record.person is person
    assert ("LastName" in record.fields, "Name" in record.fields) == (bool(person), not person)


def test_person_without_a_person_mapping_is_mapped_like_a_company(folder: Folder) -> None:
    record = folder.load().with_persons(True).map_customer(ANA, None)
    assert record is not None
    assert (record.fields["Name"], record.person) == ("Ana Trujillo", None)


def test_field_position_names_the_file_it_comes_from() -> None:
    shipped = load_mappings(Path(__file__).parents[3] / "mappings").with_persons(True)
    assert (shipped.source("Account", "Phone") or "").startswith("mappings/customer.yaml:")
    assert (shipped.source("Account", "Phone", person=True) or "").startswith(f"{PERSON}:")
