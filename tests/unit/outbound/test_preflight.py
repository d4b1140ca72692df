"""Values as the org will hold them, and what it would not take."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.model.record import FieldValue
from connector.outbound.preflight import fitted, misread, refusal
from tests.unit.outbound.conftest import facts


@pytest.mark.parametrize(
    ("sobject", "field", "given", "kept"),
    [
        ("Account", "Name", "  Acme ", "Acme"),
        ("Account", "Name", "   ", None),
        ("OrderItem", "UnitPrice", Decimal("10.8375"), Decimal("10.84")),
        ("OrderItem", "UnitPrice", Decimal("10.835"), Decimal("10.84")),
        ("OrderItem", "UnitPrice", Decimal("-10.835"), Decimal("-10.84")),
        ("Order", "Exact_Total__c", Decimal("10.83755"), Decimal("10.8376")),
        ("OrderItem", "Unknown__c", Decimal("1.23456"), Decimal("1.23456")),
        ("Order", "IsReductionOrder", True, True),
    ],
)
def test_values_are_as_the_org_will_hold_them(sobject: str, field: str, given: FieldValue, kept: FieldValue) -> None:
    assert fitted({field: given}, facts().describes[sobject]) == {field: kept}


def test_a_value_that_fits_keeps_its_digits() -> None:
    [value] = fitted({"UnitPrice": Decimal("9.80")}, facts().describes["OrderItem"]).values()
    assert str(value) == "9.80"


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
def test_what_the_org_would_refuse(sobject: str, values: dict[str, FieldValue], code: str | None) -> None:
    found = refusal(values, facts().describes[sobject], record="x", source=lambda *_: "line 1", creating=True)
    assert (found.code if found else None) == code


def test_nothing_is_missing_from_an_update() -> None:
    account = facts().describes["Account"]
    assert refusal({}, account, record="x", source=lambda *_: None, creating=False) is None
    assert refusal({}, account, record="x", source=lambda *_: None, creating=True, later={"Name"}) is None


def test_a_long_text_is_repeated_in_part() -> None:
    found = refusal(
        {"Name": "y" * 5_000}, facts().describes["Account"], record="x", source=lambda *_: None, creating=True
    )
    assert found is not None
    assert len(found.message) < 120
    assert "it has 5000" in found.fix


def test_only_text_can_look_like_a_reference() -> None:
    assert misread({"a": "@{b.id}", "b": "mail @ {x}", "c": Decimal(1), "d": None}) == {"a": "@{b.id}"}
