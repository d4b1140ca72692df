"""Cells of a bulk query's results become the values that the REST API answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.model.describe import FieldDescribe
from connector.salesforce.bulk_query import ROWS_AT_ONCE, cell_reader, estimate_calls, read_csv
from connector.salesforce.errors import UnreadableResponseError


def field(kind: str) -> FieldDescribe:
    return FieldDescribe(
        name="F", label="F", type=kind, length=80, precision=18, scale=2, nillable=True, createable=True,
        updateable=True, defaulted_on_create=False, external_id=False, unique=False, restricted_picklist=False,
        picklist=(), reference_to=(), relationship_name=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "false", False),
        ("boolean", "true", True),
        ("currency", "9.80", Decimal("9.80")),
        ("double", "14.0", Decimal("14.0")),
        ("int", "3", 3),
        ("string", "false", "false"),
        ("string", "0017", "0017"),
        ("datetime", "2026-01-31T10:00:00.000Z", "2026-01-31T10:00:00.000Z"),
    ],
)
def test_cell_becomes_the_value_of_its_field(kind: str, text: str, value: Any) -> None:
    read = cell_reader("F", field(kind))(text)
    assert (read, type(read)) == (value, type(value))


def test_deleted_flag_is_read_without_its_describe() -> None:
    assert cell_reader("IsDeleted", None)("false") is False


def test_page_with_quotes_line_breaks_and_empty_cells_is_read() -> None:
    page = '"Id","F"\n"1","a ""b"",\nc"\n"2",""\n'.encode("utf-8-sig")
    assert list(read_csv(page, {})) == [[{"Id": "1", "F": 'a "b",\nc'}, {"Id": "2", "F": None}]]


def test_characters_that_no_database_stores_are_replaced() -> None:
    page = b"Id,F\n1,a\0b\n2,\xed\xa0\xbd\n3,\xff\n"
    assert [row["F"] for rows in read_csv(page, {}) for row in rows] == ["a\ufffdb", "\ufffd", "\ufffd"]


def test_large_page_is_read_in_parts() -> None:
    page = b"Id\n" + b"1\n" * (ROWS_AT_ONCE + 1)
    assert [len(rows) for rows in read_csv(page, {})] == [ROWS_AT_ONCE, 1]


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(UnreadableResponseError):
        list(read_csv(b"Id,F\n1\n", {}))


def test_result_without_rows_is_empty() -> None:
    assert list(read_csv(b"Id,F\n", {})) == []


def test_million_orders_with_four_lines_are_estimated_below_a_hundred_calls() -> None:
    assert estimate_calls(1_000_000) + estimate_calls(4_000_000) <= 100
