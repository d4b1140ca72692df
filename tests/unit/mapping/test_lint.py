"""What lint says of mapping files beside their syntax: fields and picklist values of an org, and what is probably not
meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connector.mapping.lint import LintOrg, lint
from connector.mapping.version import read_texts
from tests.unit.mapping.conftest import Org, field

TEXTS = read_texts()
LEVELS = "standard: Standard\nexpress: Express\nsame_day: Same Day\n'*': null\n"
LEVEL = "Service_Level__c: {path: service_level, owner: newest"
WITH_LEVELS = {
    **TEXTS,
    "order.yaml": TEXTS["order.yaml"].replace(LEVEL, f"{LEVEL}, values: level"),
    "values/level.yaml": LEVELS,
}


def problems(org: Org, texts: dict[str, str] | None = None, **more: Any) -> list[str]:
    found = lint(texts or dict(TEXTS), LintOrg(describes=org.describes, **more))
    return [f"{item.level}: {item}" for item in found.problems]


def with_levels(org: Org, **changes: Any) -> None:
    """The field of service levels is a picklist."""
    order = org.describes["Order"]
    level = field("Service_Level__c", "picklist", **changes)
    org.describes["Order"] = replace(order, fields={**order.fields, level.name: level})


def test_shipped_mappings_have_no_problem_with_our_metadata(org: Org) -> None:
    assert problems(org) == []
    assert lint(TEXTS).problems == []


@pytest.mark.parametrize(
    ("restricted", "picklist", "inactive", "expected"),
    [
        (
            True,
            ("Standard", "Express"),
            ("Same Day",),
            "error: mappings/values/level.yaml:3:1: Service_Level__c: cannot be `Same Day`, which is inactive in the"
            " org's picklist: it has `Express`, `Standard`; use one, or activate it there.",
        ),
        (
            True,
            ("Standard", "Express"),
            (),
            "error: mappings/values/level.yaml:3:1: Service_Level__c: cannot be `Same Day`: the org's picklist has"
            " `Express`, `Standard`; use one, or add it there.",
        ),
        (
            False,
            ("Standard", "Express"),
            (),
            "warning: mappings/values/level.yaml:3:1: Service_Level__c: `Same Day` is not in the org's picklist, which"
            " takes it all the same: add it there, or use one of `Express`, `Standard`.",
        ),
        (
            True,
            ("Standard", "Express", "Same Day", "Drone"),
            (),
            "warning: mappings/order.yaml:28:3: Service_Level__c: can be `Drone` in the org, for which the value table"
            " `level` has no row: add one, or such a change of a rep waits in the inbox.",
        ),
    ],
)
def test_values_of_a_table_are_compared_with_the_picklist_both_ways(
    org: Org, restricted: bool, picklist: tuple[str, ...], inactive: tuple[str, ...], expected: str
) -> None:
    with_levels(org, restricted_picklist=restricted, picklist=picklist, inactive=inactive)
    assert problems(org, WITH_LEVELS) == [expected]


def test_table_that_no_field_uses_and_returns_that_the_org_refuses_are_warnings(org: Org) -> None:
    unused = {**TEXTS, "values/level.yaml": LEVELS}
    assert problems(org, unused) == [
        "warning: mappings/values/level.yaml:1:1: file: is used by no field: use it, or take it away."
    ]
    org.hide("Order", "Return_Status__c")
    before = [text for text in problems(org) if "return.yaml" in text]
    found = [text for text in problems(org, returns="return") if "return.yaml" in text]
    assert before == []
    assert found
    assert found[0].startswith("warning: mappings/return.yaml:")
    assert found[0].endswith("Returns cannot be sent before that.")
    expected = problems(org, returns="return", returns_expected=True)
    assert next(text for text in expected if "return.yaml" in text).startswith("error: mappings/return.yaml:")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"../order.yaml": "x"}, r"mappings:1:1: ../order.yaml: is no file of mappings"),
        ({"values/a/b.yaml": "x"}, r"is no file of mappings"),
        ({"order.yaml": "\ud800"}, "mappings/order.yaml:1:1: file: has half a character"),
        ({"order.yaml": "x" * 1_000_001}, "is larger than 1,000,000 bytes"),
        ({f"values/a{number}.yaml": "x" for number in range(201)}, "more than 200 files"),
        ({}, "customer.yaml:1:1: file: is missing"),
        ({**TEXTS, "order.yaml": "a: [\n"}, "mappings/order.yaml:2:1: file: is not YAML"),
    ],
)
def test_draft_that_cannot_be_files_is_refused_in_one_line_each(texts: dict[str, str], says: str) -> None:
    found = lint(texts)
    assert found.mappings is None
    assert any(says in str(item) for item in found.errors), found.errors
