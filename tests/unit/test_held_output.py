"""`connector held list`: with several orgs it says whose record a value is, and how that is released."""

from __future__ import annotations

import pytest

from connector.cli.held import print_page
from connector.jobs.held_values import HeldPage
from connector.store.queries.held_links import HeldField, HeldRecord

ORGS = {"00D1": "", "00D2": "emea"}


def record(org_id: str, key: str) -> HeldRecord:
    return HeldRecord(
        org_id=org_id, entity="order", key=key, part=None, sobject="Order", record_id="801",
        fields=(HeldField(name="PoNumber", ours="1", theirs=None),), place=(org_id, "order", key),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "columns", "rows", "sentence"),
    [
        ({"00D1": ""}, ["Entity"], [["order", "W-1"]], "`connector held release ENTITY KEY` sends ours."),
        (
            ORGS, ["Org", "Entity"], [["default", "order", "W-1"], ["emea", "order", "W-2"]],
            "`connector held release ENTITY KEY` sends ours, in the org emea with CONNECTOR_ORG=emea before it.",
        ),
        (ORGS, ["Org", "Entity"], [["default", "order", "W-1"]], "`connector held release ENTITY KEY` sends ours."),
    ],
)  # fmt: skip
def test_held_values_of_several_orgs_name_their_org(
    names: dict[str, str],
    columns: list[str],
    rows: list[list[str]],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = [record(org_id, f"W-{at}") for at, org_id in enumerate([*ORGS][: len(rows)], 1)]
    print_page(HeldPage(records=records, orgs=names))
    heading, *lines, last = capsys.readouterr().out.splitlines()
    assert heading.split()[: len(columns)] == columns
    assert [line.split()[: len(row)] for line, row in zip(lines, rows, strict=True)] == rows
    assert last.endswith(sentence)
