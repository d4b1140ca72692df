"""Ambiguous JSON is rejected, and fast."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.model.strict_json import parse_json


def test_numbers_keep_every_digit() -> None:
    assert parse_json('{"a": 1, "b": -1.50, "c": 1e3}') == {"a": 1, "b": Decimal("-1.50"), "c": Decimal("1e3")}
    assert parse_json("[1, 2.50]", number=str) == ["1", "2.50"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 1}}', 'it names "c" twice in one object'),
        ('{"a": 1, "\\u0061": 2}', 'it names "a" twice'),
        ("{" + ", ".join(f'"{index}": 1' for index in range(100_000)) + ', "99999": 2}', '"99999" twice'),
        ('["\\ud800"]', "half of a surrogate pair"),
        ('{"a": {"\\udfff": 1}}', "half of a surrogate pair"),
        ("NaN", "NaN is no number"),
        ("9" * 5000, "5,000 characters"),
        ("1e99999999999999999999", "exponent"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1', "it is not JSON"),
        ("", "it is not JSON"),
    ],
    ids=range(11),
)
def test_ambiguous_or_invalid_json_is_rejected(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^(it|NaN|the number)") as caught:
        parse_json(text)
    assert why in str(caught.value)


def test_complete_surrogate_pair_is_read_as_one_character() -> None:
    assert parse_json('"\\ud83d\\udc22"') == "\U0001f422"
