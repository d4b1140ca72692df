"""docs/importing.md is true: its examples go in and give what it says, and its tables name everything there is."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from connector.model.stage import Stage
from connector.orders.importing.field_parsers import KINDS
from connector.orders.importing.grammar import FORMS
from connector.orders.importing.grammar_settings import SETTINGS
from tests.unit.importing.conftest import Importer

TEXT = (Path(__file__).parents[3] / "docs" / "importing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
FILES = {label.removeprefix("file="): body for label, body in BLOCKS if label.startswith("file=")}
[PROFILE] = [body for label, body in BLOCKS if label == "profile"]


async def test_example_files_of_the_documentation_are_imported(importer: Importer) -> None:
    names = ("customers.csv", "products.csv", "orders.csv", "order_lines.csv", "web.ndjson")
    report = await importer.take({name: FILES[name] for name in names})
    assert report.problems == []
    order, web = await importer.order("1001"), await importer.order("W-1")
    assert order is not None
    assert web is not None
    assert order.header.notes == "Deliver to the yard,\nnot to the shop"
    assert order.exact_total == 24 * Decimal("11.25") + 2 * Decimal("12.50")
    assert (web.customer.name, web.exact_total) == ("Web buyer", Decimal("37.5"))


async def test_example_profile_of_the_documentation_is_imported(importer: Importer) -> None:
    files = {name: FILES[name].encode("cp1252") for name in ("sales.txt", "reps.txt")}
    report = await importer.take(files, profile=PROFILE)
    assert report.problems == []
    order = await importer.order("7")
    assert order is not None
    assert (len(order.lines), order.stage, order.header.channel) == (2, Stage.SHIPPED, "phone")
    assert str(order.header.promised_on) == "2026-10-01"
    assert order.exact_total == Decimal("1249") + Decimal("7.35")


def test_documentation_names_every_field() -> None:
    for name, kind in KINDS.items():
        [row] = re.findall(rf"^\| {name} \|(.*)\|$", TEXT, flags=re.MULTILINE)
        keys, needed, rest = (re.findall(r"`(\w+)`", cell) for cell in row.split("|"))
        assert tuple(keys) == kind.keys
        assert tuple(needed) == kind.required
        assert {*keys, *needed, *rest} == set(kind.fields)


def test_documentation_names_every_setting_form_and_stage() -> None:
    settings = TEXT.split("\n| setting |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`[ ,]", settings)) >= SETTINGS
    forms = TEXT.split("\n| form |")[1].split("\n\n")[0]
    assert set(re.findall(r"[{ ](\w+): ", forms)) - {"a", "none"} == {
        "when",
        *(key for keys in FORMS.values() for key in keys),
    }
    stages = TEXT.split("Stages: ")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", stages)) == {stage.value for stage in Stage}
