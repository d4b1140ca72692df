"""Each transform by example, and its inverse if it has one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.mapping.transforms import TRANSFORMS, find_transform
from connector.mapping.types import Kind, to_wire

EXAMPLES = [
    ("date", datetime(2026, 1, 31, 23, tzinfo=UTC), date(2026, 1, 31)),
    ("date", date(2026, 1, 31), date(2026, 1, 31)),
    ("date", " 2026-01-31 ", date(2026, 1, 31)),
    ("datetime", date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
    ("datetime", "2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ("text", Decimal("9.80"), "9.8"),
    ("text", True, "true"),
    ("text", date(2026, 1, 31), "2026-01-31"),
    ("text", 7, "7"),
    ("trim", " a ", "a"),
    ("upper", "straße", "STRASSE"),
    ("lower", "ABC", "abc"),
    ("one_line", "a\n  b\tc", "a b c"),
    ("cut80", "x" * 90, "x" * 80),
    ("cut255", "x" * 300, "x" * 255),
    ("integer", Decimal("2.5"), 3),
    ("integer", "7", 7),
    ("decimal", " 9.80 ", Decimal("9.80")),
    ("decimal", True, Decimal(1)),
    ("round2", Decimal("0.125"), Decimal("0.13")),
    ("round4", Decimal("0.00005"), Decimal("0.0001")),
    ("percent", Decimal("0.15"), Decimal(15)),
    ("fraction", Decimal(15), Decimal("0.15")),
    ("negate", Decimal("1.5"), Decimal("-1.5")),
    ("not", True, False),
    ("yes_no", True, "Yes"),
]


@pytest.mark.parametrize(("name", "before", "after"), EXAMPLES)
def test_transform_gives_the_value_of_its_example(name: str, before: object, after: object) -> None:
    assert TRANSFORMS[name].forward(before) == after


def test_every_transform_has_an_example() -> None:
    assert {name for name, _, _ in EXAMPLES} == set(TRANSFORMS)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_number_transform_is_reversed_exactly(number: Decimal) -> None:
    for name in ("percent", "fraction", "negate"):
        transform = TRANSFORMS[name]
        assert transform.backward is not None
        assert transform.backward(transform.forward(number)) == number


@given(st.booleans())
def test_flag_transform_is_reversed_exactly(flag: bool) -> None:
    for name in ("not", "yes_no"):
        transform = TRANSFORMS[name]
        assert transform.backward is not None
        assert transform.backward(transform.forward(flag)) is flag


def test_invalid_text_is_rejected_by_the_transform() -> None:
    for bad in ("seven", "NaN", "Infinity", ""):
        with pytest.raises(ValueError, match="is not a number"):
            TRANSFORMS["decimal"].forward(bad)
    backward = TRANSFORMS["yes_no"].backward
    assert backward is not None
    with pytest.raises(ValueError, match="neither Yes nor No"):
        backward("maybe")


def test_value_that_no_field_can_hold_is_rejected() -> None:
    assert to_wire(date(2026, 1, 31)) == "2026-01-31"
    with pytest.raises(TypeError, match="cannot stand in a field"):
        to_wire(1.5)
    assert all(transform.yields is not Kind.ANY for transform in TRANSFORMS.values())


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("date in Europe/Berlin", datetime(2026, 9, 30, 22, tzinfo=UTC), date(2026, 10, 1)),
        ("date in America/New_York", datetime(2026, 10, 1, 2, tzinfo=UTC), date(2026, 9, 30)),
        ("date in Europe/Berlin", date(2026, 10, 1), date(2026, 10, 1)),
        ("date in Europe/Berlin", "2026-09-30T22:30:00Z", date(2026, 10, 1)),
    ],
)
def test_date_transform_uses_its_time_zone(name: str, before: object, after: date) -> None:
    found = find_transform(name)
    assert found is not None
    assert found.forward(before) == after


@pytest.mark.parametrize("name", ["date in ", "date in Mars/Base", "date in ../etc/passwd", "dates"])
def test_unknown_time_zone_is_rejected(name: str) -> None:
    assert find_transform(name) is None
