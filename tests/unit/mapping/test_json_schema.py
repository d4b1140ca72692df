"""The JSON Schema of mapping files accepts what the parser accepts, and refuses common mistakes."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from connector.mapping.json_schema import build_schema
from connector.mapping.lint import lint
from connector.mapping.version import read_texts

TEXTS = read_texts()
VALIDATOR = Draft202012Validator(build_schema())


def errors_of(text: str) -> list[str]:
    document: Any = YAML(typ="safe", pure=True).load(text)
    return [error.message for error in VALIDATOR.iter_errors(document)]


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(build_schema())


@pytest.mark.parametrize("path", TEXTS)
def test_shipped_file_is_valid(path: str) -> None:
    assert errors_of(TEXTS[path]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Carrier__c: carrier", "Carrier__c: carier"),
        ("Carrier__c: carrier", "Carrier__c: {path: carrier, transform: uper}"),
        ("Carrier__c: carrier", "Carrier__c: {path: carrier, owner: nobody}"),
        ("Carrier__c: carrier", "Carrier__c: {path: carrier, const: x}"),
        ("Carrier__c: carrier", "Carrier__c: {paht: carrier}"),
        ("Carrier__c: carrier", "Carrier__c: {}"),
        ("Carrier__c: carrier", "Carrier__c: [carrier]"),
        ("Carrier__c: carrier", "'Carrier c': carrier"),
        ("{lookup: customer, path: customer.key}", "{lookup: custmer, path: customer.key}"),
        ("{lookup: customer, path: customer.key}", "{lookup: customer}"),
        ("external_id: External_Key__c\n#", "external_key: External_Key__c\n#"),
        ("entity: order", "entity: ordr"),
        ("children:\n  lines:", "children:\n  line:"),
        ("sobject: Order\n", ""),
    ],
)
def test_mistake_is_refused_by_the_schema_and_by_lint(before: str, after: str) -> None:
    assert before in TEXTS["order.yaml"]
    text = TEXTS["order.yaml"].replace(before, after, 1)
    assert errors_of(text)
    assert lint({**TEXTS, "order.yaml": text}).errors


@pytest.mark.parametrize(
    "entry",
    [
        "{path: placed_at, transform: date in Europe/Berlin}",
        "{path: ship_to_name, transform: [one_line, upper]}",
        "{expr: 'exact_total > 400'}",
        "{const: connector}",
        "{path: customer.tier, default: none}",
        "customer.name",
    ],
)
def test_every_form_of_a_field_is_valid(entry: str) -> None:
    text = TEXTS["order.yaml"].replace("Carrier__c: carrier", f"Carrier__c: {entry}")
    assert errors_of(text) == []
    assert lint({**TEXTS, "order.yaml": text}).errors == []
