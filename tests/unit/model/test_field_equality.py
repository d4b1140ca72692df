"""Values that differ in form alone are equal."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.record import FieldValue


def field(kind: str, scale: int = 0) -> FieldDescribe:
    return FieldDescribe(
        name="Field__c", label="Field", type=kind, length=255, precision=18, scale=scale, nillable=True,
        createable=True, updateable=True, defaulted_on_create=False, external_id=False, unique=False,
        restricted_picklist=False, picklist=(), reference_to=(), relationship_name=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "described"),
    [
        ("", None, None),
        (" \n", None, None),
        ("Kiel ", "Kiel", None),
        ("two\r\nlines", "two\nlines", None),
        (14, Decimal("14.00"), None),
        (Decimal("14.005"), Decimal("14.01"), field("currency", 2)),
        ("2026-01-31T10:00:00.000+0000", "2026-01-31T10:00:00Z", field("datetime")),
        ("2026-01-31T11:00:00+01:00", "2026-01-31T10:00:00.000+0000", None),
        ("001000000000001", "001000000000001AAA", field("reference")),
        ("Ada@Example.com", "ada@example.com", field("email")),
        ("b;a", "a;b", field("multipicklist")),
    ],
)
def test_values_that_differ_in_form_are_equal(
    one: FieldValue, other: FieldValue, described: FieldDescribe | None
) -> None:
    assert same_value(one, other, described)
    assert same_value(other, one, described)


@pytest.mark.parametrize(
    ("one", "other", "described"),
    [
        (False, None, None),
        (0, None, None),
        (True, 1, None),
        ("kiel", "Kiel", None),
        ("two lines", "two\nlines", None),
        (Decimal("14.00"), Decimal("14.01"), field("currency", 2)),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:01Z", field("datetime")),
        ("001000000000001AAA", "001000000000002AAA", field("reference")),
        ("14", 14, None),
    ],
)
def test_values_that_differ_in_meaning_are_not(
    one: FieldValue, other: FieldValue, described: FieldDescribe | None
) -> None:
    assert not same_value(one, other, described)
    assert not same_value(other, one, described)
