"""The fields that a filter of adoptions names."""

from __future__ import annotations

import pytest

from connector.inbound.adoption.filter_fields import unknown_fields

KNOWN = ("Type", "PoNumber", "EffectiveDate")


@pytest.mark.parametrize(
    ("condition", "unknown"),
    [
        ("", []),
        ("type != 'ERP' AND (PONUMBER LIKE 'X%' OR EffectiveDate = LAST_N_DAYS:30)", []),
        (r"Type = 'it\'s Foo = 1' AND NOT PoNumber IN ('a', 'b')", []),
        ("Account.Industry = 'x' AND CALENDAR_YEAR(Nope__c) = 2026", []),
        ("Id IN (SELECT OrderId FROM OrderItem WHERE Quantity > 1)", []),
        ("Foo = 1 AND Bar__c NOT IN ('x') AND foo2 > 2", ["Foo", "Bar__c", "foo2"]),
    ],
)
def test_fields_that_order_lacks_are_named_and_nothing_else(condition: str, unknown: list[str]) -> None:
    assert unknown_fields(condition, KNOWN) == unknown
