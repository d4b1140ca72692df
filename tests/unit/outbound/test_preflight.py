"""Values are normalized as the org stores them, and values that it would refuse are found."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.model.record import FieldValue
from connector.outbound.preflight import first_violation, normalize, reference_like_values, round_to_field
from tests.unit.outbound.conftest import profile


@pytest.mark.parametrize(("given", "kept"), [("  Acme ", "Acme"), ("   ", None), (True, True)])
def test_text_is_normalized_as_the_org_stores_it(given: FieldValue, kept: FieldValue) -> None:
    assert normalize({"Name": given}) == {"Name": kept}


@pytest.mark.parametrize(
    ("given", "kept"), [("10.8375", "10.84"), ("10.835", "10.84"), ("-10.835", "-10.84"), ("9.8", "9.80")]
)
def test_list_price_is_rounded_half_up(given: str, kept: str) -> None:
    assert str(round_to_field(Decimal(given), profile().describes["PricebookEntry"].fields["UnitPrice"])) == kept


@pytest.mark.parametrize(
    ("sobject", "values", "code"),
    [
        ("Account", {"Name": "x" * 255}, None),
        ("Account", {"Name": "x" * 256}, "STRING_TOO_LONG"),
        ("Account", {}, "REQUIRED_FIELD_MISSING"),
        ("Account", {"Name": None}, "REQUIRED_FIELD_MISSING"),
        ("Account", {"Name": "x", "Nothing__c": "whatever"}, None),
        ("Order", {"Status": "Lost"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ("OrderItem", {"UnitPrice": Decimal("1E16")}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ("OrderItem", {"UnitPrice": Decimal("NaN")}, "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_first_violation_has_the_code_of_the_org(sobject: str, values: dict[str, FieldValue], code: str | None) -> None:
    found = first_violation(
        values, profile().describes[sobject], record="x", source=lambda *_, **__: "line 1", creating=True
    )
    assert (found.code if found else None) == code


def test_update_requires_no_fields() -> None:
    account = profile().describes["Account"]
    assert first_violation({}, account, record="x", source=lambda *_, **__: None, creating=False) is None
    assert (
        first_violation({}, account, record="x", source=lambda *_, **__: None, creating=True, filled_later={"Name"})
        is None
    )


def test_long_text_is_quoted_in_part() -> None:
    found = first_violation(
        {"Name": "y" * 5_000}, profile().describes["Account"], record="x", source=lambda *_, **__: None, creating=True
    )
    assert found is not None
    assert len(found.message) < 120
    assert "it has 5000" in found.fix


def test_only_text_is_reference_like() -> None:
    assert reference_like_values({"a": "@{b.id}", "b": "mail @ {x}", "c": Decimal(1), "d": None}) == {"a": "@{b.id}"}
