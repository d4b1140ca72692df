"""The expressions of `when:` and `expr:`: their values, and what is rejected."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from connector.mapping.expression import Expression, ExpressionError
from connector.mapping.functions import FUNCTIONS
from connector.mapping.types import Kind
from connector.model.order import Line, Order
from tests.order_builders import changed
from tests.unit.mapping.conftest import ORDER

NO_CITY = changed(ORDER, ship_to_city=None, freight=None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('stage == "confirmed"', True),
        ('stage in ["placed", "confirmed"] and not (channel == "import")', True),
        ('stage not in ("placed", "verified")', True),
        ("freight * 2 + 0.24", Decimal("65.00")),
        ("1 / 4", Decimal("0.25")),
        ("freight % 1", Decimal("0.38")),
        ("-freight", Decimal("-32.38")),
        ('"PO " + po_number', "PO PO-7"),
        ('customer.name if freight > 10 else "small"', "Alfreds Futterkiste"),
        ('date(placed_at) >= date("2026-01-31")', True),
        ("days_between(placed_at, promised_on)", 28),
        ('join(", ", ship_to_postal_code, ship_to_city, ship_to_state)', "12209, Berlin"),
        ("coalesce(notes, po_number)", "PO-7"),
        ("round(freight / 3, 2)", Decimal("10.79")),
        ("round(2.5)", Decimal(3)),
        ("max(freight, 40)", 40),
        ("abs(0 - freight)", Decimal("32.38")),
        ('upper(trim(" a "))', "A"),
        ("length(number) + length(notes)", 5),
        ('contains(number, "02") and starts_with(number, "1") and ends_with(number, "8")', True),
        ('number("7") + 1', Decimal(8)),
        ("text(freight)", "32.38"),
        ("0.1 + 0.2 == 0.3", True),
        ("10 < freight < 40", True),
    ],
)
def test_expression_returns_its_value(text: str, value: object) -> None:
    result = Expression(text, Order).evaluate(ORDER)
    assert result == value
    assert not isinstance(result, float)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("freight > 10", False),
        ("freight < 10", False),
        ("freight == none", True),
        ("freight is none", True),
        ("freight + 1", None),
        ("-freight", None),
        ("upper(ship_to_city)", None),
        ("contains(ship_to_city, 'B')", False),
        ("length(ship_to_city)", 0),
        ("'x' in ship_to_city", False),
        ("coalesce(freight, 0)", 0),
    ],
)
def test_expression_of_an_absent_value_is_absent_and_comparison_is_false(text: str, value: object) -> None:
    assert Expression(text, Order).evaluate(NO_CITY) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("freight > 1", Kind.BOOLEAN),
        ("not notes", Kind.BOOLEAN),
        ("notes or 'x'", Kind.TEXT),
        ("notes or freight", Kind.ANY),
        ("freight * 2", Kind.DECIMAL),
        ("version + 1", Kind.INTEGER),
        ("version / 2", Kind.DECIMAL),
        ("date(placed_at)", Kind.DATE),
        ("coalesce(notes, 'x')", Kind.TEXT),
        ("none", Kind.ANY),
    ],
)
def test_type_of_an_expression_is_inferred_at_load(text: str, kind: Kind) -> None:
    assert Expression(text, Order).kind is kind


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "number.__class__",
        "().__class__.__bases__",
        "lambda: 1",
        "[x for x in lines]",
        "f'{number}'",
        "number[0]",
        "2 ** 100",
        "1 << 99",
        "(x := 1)",
        "number.upper()",
        "upper",
        "upper(*notes)",
        "upper(value=notes)",
        "upper()",
        "b'x'",
        "1j",
        "1e400",
        "9" * 30,
        "'a' * 3",
        "freight + 'a'",
        "freight - notes",
        "-notes",
        "freight == 'a'",
        "placed_at > promised_on",
        "['a']",
        "lines",
        "customer",
        "import os",
        "a; b",
        "",
        "x" * 501,
        "+".join("1" * 120),
    ],
)
def test_invalid_expression_is_rejected_at_load(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text, Order)


def test_expression_cannot_build_very_long_text() -> None:
    doubled = "join(notes, notes, notes, notes, notes, notes, notes, notes, notes, notes, notes, notes)"
    order = changed(ORDER, notes="x" * 32_000)
    with pytest.raises(ValueError, match="more than 131072 characters"):
        Expression(doubled, Order).evaluate(order)
    with pytest.raises(TypeError, match="text where a number is needed"):
        Expression("coalesce(notes, none) * 1000000", Order).evaluate(order)


def test_expression_reads_only_the_paths_it_names() -> None:
    expression = Expression("product.name if quantity > 1 else product.sku", Line)
    assert {path.text for path in expression.paths} == {"product.name", "quantity", "product.sku"}


def test_function_name_without_a_call_is_rejected() -> None:
    with pytest.raises(ExpressionError, match="names the function `upper` without calling it"):
        Expression("upper", Order)
    assert Expression("date(placed_at) == promised_on", Order).evaluate(ORDER) is (
        ORDER.header.promised_on == date(2026, 1, 31)
    )
    assert all(function.about for function in FUNCTIONS.values())
