"""Persons as customers on the command line, in an org with person accounts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.cli.localorg import environment
from tests.acceptance.sides import Org
from tests.flow.cli_runner import ROOT, Shell
from tests.flow.forked_org import forked_org


@pytest.fixture(scope="module")
def beside() -> Iterator[Org]:
    with forked_org("--seed", str(ROOT / "fixtures" / "orgs" / "person-accounts.yaml")) as org:
        yield org


@pytest.fixture
def shell(tmp_path: Path, beside: Org) -> Shell:
    return Shell(tmp_path, environment(beside.banner))


@pytest.mark.usefixtures("empty_database")
def test_imported_person_becomes_a_person_account(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text(
        "number,name,email,first_name,last_name\nP-1,,ana@example.com,Ana,Trujillo\nP-2,Alder & Finch,,,\nP-3,,,,\n"
    )
    (tmp_path / "products.csv").write_text("sku,name,unit_price,currency\nP-TEA,Tea,4.50,USD\n")
    (tmp_path / "orders.csv").write_text(
        "number,customer,placed_at,currency,stage\nP-10,P-1,2026-03-01,USD,confirmed\nP-11,P-2,2026-03-01,USD,confirmed\n"
    )
    (tmp_path / "order_lines.csv").write_text("order,line,sku,quantity\nP-10,1,P-TEA,1\nP-11,1,P-TEA,2\n")
    assert shell("import", ".").status == 0

    foretold = shell("push", "--dry-run", "--json").document
    sent = shell("push", "--json").document
    assert (sent["in_sync"], sent["created"]["Account"]) == (True, 3)
    assert (sent["created"], sent["api_calls"]["writes"]) == (foretold["created"], foretold["api_calls"]["writes"])

    [person] = shell("show", "customer", "P-1", "--json").document["in_org"]
    assert person["snapshot"]["IsPersonAccount"] is True
    assert (person["snapshot"]["FirstName"], person["snapshot"]["LastName"]) == ("Ana", "Trujillo")
    assert "Name" not in person["snapshot"]
    assert "Nothing is due: the org has it as it is here." in shell("show", "customer", "P-1").out
    [unnamed] = shell("show", "customer", "P-3", "--json").document["in_org"]
    assert (unnamed["snapshot"]["Name"], unnamed["snapshot"]["IsPersonAccount"]) == ("P-3", False)

    assert shell("resync", "--all", "--json").document["api_calls"]["writes"] == 0
    assert shell("resync", "customer", "P-1", "--json").document["api_calls"]["writes"] == 0
    assert shell("resync", "--all", "--json").document["api_calls"]["writes"] == 0


@pytest.mark.usefixtures("empty_database")
def test_customer_that_becomes_a_person_is_refused_with_instructions(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("number,name\nQ-1,Berg Ltd\n")
    shell("import", ".")
    assert shell("push").status == 0
    (tmp_path / "customers.csv").write_text("number,first_name,last_name\nQ-1,Bo,Berg\n")
    shell("import", ".")
    assert shell("push").status == 1
    told = shell("dead-letters", "show", "customer", "Q-1").out
    assert "Customer Q-1 is a person by now, and its account in the org is a company's" in told
    assert "Give a person a customer number of its own, or take its last name out." in told


@pytest.mark.usefixtures("empty_database")
def test_person_mapping_is_checked_against_the_org(shell: Shell, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    file = tmp_path / "mappings" / "person.yaml"
    file.write_text(file.read_text().replace("  LastName: last_name\n", "  LastNam: last_name\n"))
    answer = shell("push", "--dry-run", CONNECTOR_MAPPINGS_DIR=str(tmp_path / "mappings"))
    assert answer.status == 2
    assert "mappings/person.yaml:11:3: LastNam: is not a field of Account, or this user cannot see it." in answer.err
    assert "mappings/person.yaml:3:1: LastName: is required to create a person's account" in answer.err
