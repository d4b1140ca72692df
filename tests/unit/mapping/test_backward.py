"""The way back of a mapped field: from the org's value to ours, and what has none."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.model.record import FieldValue
from tests.unit.mapping.conftest import Folder


def receiver(folder: Folder, entry: str) -> RecordReceiver:
    return RecordReceiver(folder.add_field(entry).load().order.spec.record)


@pytest.mark.parametrize(
    ("entry", "value", "attribute", "expected"),
    [
        ("X__c: {path: notes, owner: newest}", "call first", "notes", "call first"),
        ("X__c: {path: notes, owner: newest}", "", "notes", None),
        ("X__c: {path: notes, owner: newest}", None, "notes", None),
        ("X__c: {path: promised_on, owner: ask}", "2026-03-01", "promised_on", date(2026, 3, 1)),
        ("X__c: {path: freight, owner: salesforce}", Decimal("9.80"), "freight", Decimal("9.80")),
        ("X__c: {path: freight, owner: salesforce}", 9, "freight", Decimal(9)),
        ("X__c: {path: tax_rate, transform: percent, owner: ask}", Decimal(19), "tax_rate", Decimal("0.19")),
        ("X__c: {path: ship_complete, owner: newest}", True, "ship_complete", True),
        ("X__c: {path: ship_complete, transform: yes_no, owner: newest}", "no", "ship_complete", False),
        ("X__c: {path: ship_complete, transform: not, owner: newest}", True, "ship_complete", False),
    ],
)
def test_value_of_the_org_becomes_ours(
    folder: Folder, entry: str, value: FieldValue, attribute: str, expected: Any
) -> None:
    assert receiver(folder, entry).patch({"X__c": value}) == {attribute: expected}


@pytest.mark.parametrize(
    ("entry", "value", "reason"),
    [
        ("X__c: {path: promised_on, owner: ask}", "soon", "the value is not a date"),
        ("X__c: {path: freight, owner: ask}", "much", "the value is not a decimal number"),
        (
            "X__c: {path: ship_complete, transform: yes_no, owner: ask}",
            "maybe",
            "the value is not a text that `transform: yes_no` can turn back",
        ),
    ],
)
def test_value_that_does_not_suit_is_named_with_the_reason(
    folder: Folder, entry: str, value: FieldValue, reason: str
) -> None:
    with pytest.raises(UnreadableValueError, match=f"^X__c: {reason}$") as error:
        receiver(folder, entry).patch({"X__c": value})
    assert repr(value) not in str(error.value)  # it may be about a person


def test_value_table_is_read_backward_whatever_the_case(folder: Folder) -> None:
    folder.write("values/complete.yaml", "'true': All at once\n'false': As it comes\n")
    received = receiver(folder, "X__c: {path: ship_complete, values: complete, owner: ask}")
    assert received.patch({"X__c": "all at once"}) == {"ship_complete": True}
    assert received.patch({"X__c": "As it comes"}) == {"ship_complete": False}
    with pytest.raises(
        UnreadableValueError, match=r"^X__c: the value 'Never' is not in the value table `complete`$"
    ) as refused:
        received.patch({"X__c": "Never"})
    assert refused.value.fix.startswith("Add a row for it to the value table `complete`")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("'true': Yes\n'false': Yes\n", "`Yes` stands for both `true` and `false`"),
        ("'true': Yes\n'*': No\n", "`No` stands for every other value"),
    ],
)
def test_value_table_without_a_way_back_is_refused_for_a_shared_field(folder: Folder, rows: str, reason: str) -> None:
    folder.write("values/complete.yaml", rows)
    folder.add_field("X__c: {path: ship_complete, values: complete, owner: ask}")
    [problem] = folder.problems()
    assert f"the value table `complete` has no way back: {reason}" in problem


@pytest.mark.parametrize("path", ["stage", "number", "placed_at", "tracking_number", "currency"])
def test_attribute_that_no_edit_may_set_cannot_be_owned_by_the_org(folder: Folder, path: str) -> None:
    [problem] = folder.add_field(f"X__c: {{path: {path}, owner: newest}}").problems()
    assert f"`{path}` changes by commands on the order, or never" in problem


def test_moment_is_read_in_utc() -> None:
    from connector.mapping.backward import compile_backward
    from connector.mapping.paths import resolve
    from connector.mapping.problems import Position
    from connector.mapping.spec import FieldSpec
    from connector.mapping.types import Kind
    from connector.model.order import Order

    spec = FieldSpec(
        name="X__c", position=Position(file="order.yaml"), kind=Kind.DATETIME, path=resolve(Order, "placed_at")
    )
    read = compile_backward(spec)
    assert read("2026-01-31T11:00:00.000+0100") == datetime(2026, 1, 31, 10, tzinfo=UTC)
