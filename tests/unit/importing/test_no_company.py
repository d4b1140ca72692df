"""Customers without a company name: called by first and last name, else by their number; never a row lost for it."""

from __future__ import annotations

import pytest

from connector.model.customer import Customer
from tests.unit.importing.conftest import Importer


@pytest.mark.parametrize(
    ("header", "row", "name", "person"),
    [
        ("number,name", "C-1,", "C-1", False),
        ("number", "C-1", "C-1", False),
        ("number,name,first_name,last_name", "C-1,,Ana,Trujillo", "Ana Trujillo", True),
        ("number,name,first_name,last_name", "C-1,,,Trujillo", "Trujillo", True),
        ("number,name,first_name,last_name", "C-1,,Ana,", "Ana", False),
        ("number,last_name", "C-1,Trujillo", "Trujillo", True),
        ("number,name,first_name,last_name", "C-1,Alder & Finch,,", "Alder & Finch", False),
        ("number,name,first_name,last_name", 'C-1,"  "," "," "', "C-1", False),
    ],
)
async def test_customer_name_is_built_from_company_person_or_number(
    importer: Importer, header: str, row: str, name: str, person: bool
) -> None:
    report = await importer.take({"customers.csv": f"{header}\n{row}\n"})
    assert report.problems == []
    found = await importer.customer("C-1")
    assert found is not None
    assert (found.name, found.person) == (name, person)


async def test_built_customer_name_follows_its_parts_and_an_imported_one_stays(importer: Importer) -> None:
    header = "number,name,first_name,last_name"
    await importer.take({"customers.csv": f"{header}\nC-1,,Ana,Trujillo\nC-2,Mr B,Bo,Berg\nC-3,,,\n"})
    await importer.take({"customers.csv": "number,last_name\nC-1,Ortiz\nC-2,Holm\nC-3,Chang\n"})
    found = {number: await importer.customer(number) for number in ("C-1", "C-2", "C-3")}
    assert {number: item.name for number, item in found.items() if item} == {
        "C-1": "Ana Ortiz", "C-2": "Mr B", "C-3": "Chang",
    }  # fmt: skip
    report = await importer.take()
    assert (report.saved["customers"].unchanged, report.saved["customers"].updated) == (3, 0)


async def test_ndjson_order_is_imported_with_its_person(importer: Importer) -> None:
    customer = '{"number": "C-9", "first_name": "Ana", "last_name": "Trujillo"}'
    order = f'{{"number": "1", "customer": {customer}, "placed_at": "2026-03-01", "currency": "USD"}}\n'
    assert (await importer.take({"web.ndjson": order})).problems == []
    placed = await importer.order("1")
    assert placed is not None
    assert placed.customer == Customer(number="C-9", name="Ana Trujillo", first_name="Ana", last_name="Trujillo")
